"""Networks; each module exposes `Supernet` and, where cells are retrained, `DerivedNetwork`."""
