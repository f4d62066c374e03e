"""Pictures of cells, alphas and curves."""
