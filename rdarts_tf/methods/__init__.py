"""Search methods as decisions over plain numbers; each module defines `Method`, a `base.Method`."""

HELPERS = ("tracker",)  # modules of this folder that are no methods
