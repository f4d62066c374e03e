"""Data sets: each module defines `load(..., *, data_dir=None) -> Dataset`
of tasks.image_classification.data."""
