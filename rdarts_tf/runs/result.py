"""The result.json of an evaluation, to be read in Python."""

import collections.abc


class Result(collections.abc.Mapping):
    """What an evaluation found: the fields of its result.json, as attributes and as items.

    Attributes:
        path: its folder, RUN/evaluate/<name>.
    """

    def __init__(self, path, fields):
        self.path, self._fields = path, fields

    def __getitem__(self, name):
        return self._fields[name]

    def __iter__(self):
        return iter(self._fields)

    def __len__(self):
        return len(self._fields)

    def __getattr__(self, name):
        fields = self.__dict__.get("_fields", {})
        if name not in fields:
            raise AttributeError(f"a Result has no {name!r}; it has {', '.join(fields)}")
        return fields[name]

    def __dir__(self):
        return [*super().__dir__(), *self]

    def __repr__(self):
        told = [f"{k}={v:.4g}" for k, v in self.items() if k.endswith(("_mean", "_std"))]
        seeds = ", ".join(str(each["seed"]) for each in self["seeds"])
        return f"Result {self.path.name}: {', '.join(told)}; seeds {seeds}"
