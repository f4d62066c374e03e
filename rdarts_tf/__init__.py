"""Robust differentiable architecture search (R-DARTS) in TensorFlow and Keras 3."""

__version__ = "0.1.0"
