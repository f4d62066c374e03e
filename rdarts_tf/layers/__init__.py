"""Keras layers of the search and derived networks."""
