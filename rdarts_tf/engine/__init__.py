"""The engine of searches and evaluations: epochs, steps, curvature; knows no domain."""
