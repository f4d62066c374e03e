"""Search spaces as pure data; each module defines `SPACE`, a `base.Space`."""
