"""What a method decided in a run, as decisions.json keeps it."""

import dataclasses

from rdarts_tf.methods import base
from rdarts_tf.runs import lengths


def stop_epoch(decisions):
    """The epoch whose architecture is the result of an early stop, or None.

    Args:
        decisions: dicts with "decision" ("stop" or "rollback") and "epoch".
    """
    return next((d["epoch"] for d in decisions if d["decision"] == "stop"), None)


class Decisions:
    """The decisions of a run, and what follows from them.

    Args:
        method: methods.base.Method.
        config: config.search.SearchConfig.
        logbook: logbook.Logbook, which keeps them.
    Attributes:
        history: lengths that the run had before, see `lengths`.
    """

    def __init__(self, method, config, logbook):
        self.method, self.config, self.logbook = method, config, logbook
        self.history = []

    @property
    def made(self):
        """Dicts, as decisions.json has them."""
        return self.logbook.decisions

    @property
    def stop_epoch(self):
        return stop_epoch(self.made)

    def extend(self, recorded, num_epochs):
        """Keeps the lengths of the epochs that are there or begun where the run becomes longer.

        Args:
            recorded: fields of the run's config.json; {} if there is none.
            num_epochs: that are there or begun.
        Returns:
            whether the result will replace that of a former length.
        """
        former = recorded.get("epochs", self.config.epochs)
        self.history = recorded.get("history", [])
        if former == self.config.epochs:
            return recorded.get("extending", False)
        each = [self._length(epoch, former) for epoch in range(num_epochs)]
        self.history = lengths.history_of(each)
        return True

    def _length(self, epoch, present):
        """The length in force in `epoch`; epochs that were run again after a rollback have its length."""
        again = [d.get("epochs", 0) for d in self.made if self._is_back_before(epoch, d)]
        return max([lengths.at(self.history, epoch, present), *again])

    @staticmethod
    def _is_back_before(epoch, decision):
        return decision["decision"] == "rollback" and decision["epoch"] < epoch

    def in_force(self, epoch):
        """The configuration that was or is in force in `epoch`: since the last rollback to before it."""
        config = dataclasses.replace(self.config, epochs=self._length(epoch, self.config.epochs))
        rollbacks = [d["epoch"] for d in self.made if d["decision"] == "rollback"]
        num_rollbacks = max((k + 1 for k, s in enumerate(rollbacks) if s < epoch), default=0)
        return self.method.in_force(config, epoch, num_rollbacks=num_rollbacks)

    def make(self, history):
        """Asks the method what to do after the last epoch of `history`, and records it.

        Returns:
            the recorded dict, or None to go on.
        """
        if self.stop_epoch is not None:
            return None
        decision = self.method.after_epoch(self.config, history, num_rollbacks=len(self.made))
        if decision is base.CONTINUE:
            return None
        last = len(history) - 1
        self.logbook.decide(
            {
                "decision": "stop" if isinstance(decision, base.Stop) else "rollback",
                "epoch": decision.epoch,
                "decided_after": last,
                "text": f"after epoch {last}: {self._told(decision)}",
                "epochs": self.config.epochs,
            }
        )
        return self.made[-1]

    def _told(self, decision):
        """A decision in words."""
        epoch, n = decision.epoch, len(self.made)
        if isinstance(decision, base.Stop):
            return f"stop; the result is the architecture of epoch {epoch}"
        last = self.config.epochs - 1
        old, new = (
            vars(self.method.in_force(self.config, last, num_rollbacks=k)) for k in (n, n + 1)
        )
        changes = [f"{k} {old[k]:g} -> {new[k]:g}" for k in old if old[k] != new[k]]
        return f"back to the end of epoch {epoch}, {', '.join(changes)}"
