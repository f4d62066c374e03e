"""Search methods as decisions over plain numbers; each module defines `Method`, a `base.Method`."""
