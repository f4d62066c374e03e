"""Data sets: each module defines `load(..., *, data_dir=None) -> base.Dataset`."""

HELPERS = ("augment",)
