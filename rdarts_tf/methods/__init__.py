"""Search methods as decisions over plain numbers; each module defines `Method`, a `base.Method`."""

HELPERS = ("tracker", "strengths")  # modules of this folder that are no methods
