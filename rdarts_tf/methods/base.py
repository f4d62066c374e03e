"""What a search method decides. No TensorFlow: the decisions are functions of recorded numbers."""

import dataclasses

from rdarts_tf.errors import UserError

CONTINUE = None  # the decision to go on


@dataclasses.dataclass(frozen=True)
class Stop:
    """The decision to end the search with an earlier architecture.

    Attributes:
        epoch: whose architecture is the result.
    """

    epoch: int


@dataclasses.dataclass(frozen=True)
class Rollback:
    """The decision to go on from the state after an earlier epoch, regularised more strongly.

    Attributes:
        epoch: whose end is returned to; the next one is epoch + 1.
    """

    epoch: int


@dataclasses.dataclass(frozen=True)
class Selection:
    """How a method that samples architectures finds its result by the weights they share.

    Attributes:
        n_samples: architectures that are drawn; of equal ones one is scored.
        score_batches: validation batches that each is scored on.
        top: so many of the best are scored again on the whole validation split; the best of them is
            the result.
        every: epochs between selections, beside that of the last epoch; 0: none.
    """

    n_samples: int
    score_batches: int
    top: int
    every: int


def check_field(config, field, method):
    """Raises UserError unless searches of this task have a field of the configuration."""
    if not hasattr(config, field):
        raise UserError(
            f"method {method} varies --{field}, which searches on space {config.space} do not have; "
            "take another method or space"
        )


def check_method(method):
    """Raises UserError unless the argument `method` of a method is a text."""
    if not isinstance(method, str):
        raise UserError(
            f"method argument method={repr(method)[:60]} must name a method, such as darts"
        )


class Method:
    """Plain DARTS; other methods override what differs.

    Attributes:
        selection: Selection, if each step trains an architecture that `edge_weights` samples. The loss
            does not depend on alpha then: it is not trained, and there is no lambda_max. None: the
            architecture is derived from alpha.
        frequency: epochs between the values of lambda_max that decisions need; None: they need none.
        window: values in a local average of lambda_max, odd.
        stops: whether it may decide to Stop.
        extends: whether more --epochs make a run longer.
    """

    selection = None
    frequency = None
    window = 5
    stops = False
    extends = True

    def check(self, config):
        """Raises UserError where the method cannot work with `config`; called before any work."""

    def runs(self, config):
        """{name: config.search.SearchConfig} of the searches among whose cells the method selects.

        Empty: the run itself is the only search.
        """
        return {}

    def select(self, rows, score):
        """The row of the winner among the results of `runs`, in their order.

        Args:
            rows: one dict for each, as in selection.json.
            score: name of what its cell, trained from scratch, is compared by; less is better.
        """
        return min(rows, key=lambda row: row[score])

    def in_force(self, config, epoch, *, num_rollbacks=0):
        """The configuration of `epoch`: `config`, regularised as the method has it by then.

        Args:
            config: config.search.SearchConfig.
            epoch: from 0.
            num_rollbacks: how often the run has rolled back.
        """
        return config

    def strongest(self, config):
        """`config` with the strongest regularisation that the run may use, as networks are built for it."""
        return config

    def edge_weights(self, space, rng, num):
        """The architectures of `num` steps, sampled; asked only of a method with a `selection`.

        Args:
            space: spaces.base.Space.
            rng: numpy.random.Generator.
        Returns:
            {cell type: float32 [num, E, K]} of 0 and 1, at most a 1 for each edge.
        """
        raise NotImplementedError

    def total_steps(self, config, epoch_steps):
        """Training steps of the whole run, at most --epochs of `epoch_steps`; the last epoch may be cut.

        Raises:
            UserError: they cannot be so many; before any work.
        """
        return config.epochs * epoch_steps

    def after_epoch(self, config, history, *, num_rollbacks=0):
        """What to do after the last epoch of `history`: CONTINUE, Stop or Rollback.

        Args:
            config: config.search.SearchConfig.
            history: one dict for each finished epoch of the present branch, epochs 0, 1, ..., as in
                metrics.jsonl; "curvature/lambda_max" is missing or None where it was not measured.
            num_rollbacks: how often the run has rolled back.
        """
        return CONTINUE

    def may_return_to(self, epoch):
        """Whether a Rollback may name `epoch`, so that its end needs a checkpoint."""
        return False

    def oldest_epoch_needed(self, num_epochs_done):
        """Checkpoints of fewer finished epochs may be deleted."""
        return num_epochs_done
