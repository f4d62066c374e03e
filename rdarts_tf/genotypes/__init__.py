"""Found cells: the rule that derives them, their text forms, published ones; no TensorFlow."""
