"""What a domain supplies. The engine imports this file of `tasks` and nothing else.

A task is a folder `tasks/<name>` (or a package of the user's), whose spaces name it as their `task`:

    options.py   no TensorFlow: SearchConfig and EvaluateConfig, the flags; CELL_TYPES, METRICS, SCORE;
                 SIZES, the names of what tells how large evaluated networks are, if there are any;
                 what spaces are checked by: PRIMITIVES, INPUTS {cell type: number}, KEPT_EDGES of a node
    task.py      Search(config, data) and Evaluation(config, data, seed=), both Problems
    export.py    if its networks can be exported: served(config, record, arrays) -> a Keras model, see
                 engine.exporting; samples(data, num), calibration(data, num); cell(genotype, config);
                 options.py has an ExportConfig then

The data are what the `load` of a data set of the task returns; they have a `name` and a `record()`, a
dict ready for JSON that dataset.json keeps. By its "digest" of the content a run knows them again; what
differs is told by its "num_examples" {what: number} and "class_names". All three may be missing, as
may `notes`, sentences for the user.
"""

import dataclasses
import typing
from collections.abc import Callable


class Quantity:
    """How a number is told: by its `name`, `unit` and `digits` behind the point.

    The unit "%" is that of a fraction: percent in reports, with two more digits as it is.
    """

    @property
    def words(self):
        return self.name.replace("_", " ")

    @property
    def heading(self):
        """Of a column or an axis: "accuracy, %"."""
        return ", ".join(filter(None, (self.words, self.unit)))

    @property
    def factor(self):
        """What a number is multiplied by in reports."""
        return 100 if self.unit == "%" else 1

    def number(self, value):
        """Below the heading: "91.20"."""
        return f"{self.factor * value:.{self.digits}f}"

    def told(self, value, deviation=None):
        """In words: "8.80 +- 0.12 %"."""
        spread = "" if deviation is None else f" +- {self.number(deviation)}"
        return f"{self.number(value)}{spread} {self.unit}".rstrip()

    def plain(self, value):
        """In a line of progress: "0.9120", "1.23 pixels"."""
        return f"{value:.{self.digits + 2}f}" if self.unit == "%" else self.told(value)


@dataclasses.dataclass(frozen=True)
class Metric(Quantity):
    """A number that training and scoring report, as `stage/name` in metrics.jsonl and TensorBoard.

    Attributes:
        name: e.g. "accuracy".
        better: 1 if more is better, -1 if less is.
        unit, digits: see Quantity; e.g. "nats", 4.
    """

    name: str
    better: int
    unit: str = ""
    digits: int = 4


@dataclasses.dataclass(frozen=True)
class Score(Quantity):
    """The number by which trained networks are compared; less is better.

    Attributes:
        name: e.g. "error"; result.json has <name>_mean and <name>_std.
        of: {metric: number} -> the score.
        unit, digits: see Quantity; e.g. "%", 2.
    """

    name: str
    of: Callable[[dict], float]
    unit: str = ""
    digits: int = 4


class Output(typing.NamedTuple):
    """Of one pass over a replica's part of a batch.

    Attributes:
        total: scalar to differentiate, summed over the examples; the engine divides by `count`.
        outputs: what `Problem.sums` reads.
        carry: list of tensors for the next step of the same stream, axis 0 as that of the batch.
    """

    total: typing.Any
    outputs: typing.Any
    carry: list


@dataclasses.dataclass(frozen=True)
class AlphaStep:
    """What a task has otherwise in the virtual step and in the finite difference of `bilevel`.

    Attributes:
        step: (update, w, g) -> w', differentiable; update is (w, g) -> w'.
        factor: g -> by what the step multiplies g before the update, scalar; None: 1.
        direction: see `bilevel.finite_difference`; None: v.
        independent_noise: draw afresh at w+ and w-, as --independent_noise.
    """

    step: Callable = lambda update, w, g: update(w, g)
    factor: Callable | None = None
    direction: Callable | None = None
    independent_noise: bool = False


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How weights and alphas move.

    Attributes:
        update: (w, slots, g, rates) -> (w, slots), lists of tensors, slots by name; differentiable in
            g. The alpha step takes its virtual step by it.
        slots: names of what the update remembers, each like w, from zeros.
        grad_clip: largest global norm of g.
        alpha_betas: (beta_1, beta_2) of Adam.
        alpha_step: AlphaStep.
        scalars: names of further slots, each a list of one float32 scalar, from zero.
        scored: (w, slots) -> the weights that are scored, list of tensors; None: w.
    """

    update: Callable
    slots: tuple[str, ...]
    grad_clip: float
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_step: AlphaStep = AlphaStep()
    scalars: tuple[str, ...] = ()
    scored: Callable | None = None


class Problem:
    """One network and how it is trained on data, as the engine sees it; made anew by each process.

    A batch is a tuple of tensors whose axis 0 is the batch. Everything drawn is a function of (seed,
    epoch, step), so that a resumed run sees what it would have seen.

    Attributes:
        METRICS, SCORE: tuple of Metric, the last of which compares sampled architectures; the Score.
        num_steps: training steps of an epoch.
        score_steps: steps of a pass over the split that is scored.
        num_sums: numbers that `sums` returns, the last of which is what they are divided by.
        carries: {"train" | "valid" | "score" | "test": shapes of what flows from step to step}; empty:
            nothing.
        COUNTED: what a second's worth of is told, e.g. "tokens", the last of the sums; None: nothing.
        KEEPS_BEST: an evaluation keeps the weights that scored best, returns to them where the loss is
            not finite, and is judged by them.
        returns: how often an evaluation has so returned; what is drawn should follow from it.
        test_steps: steps of the pass by which the best weights are judged; 0: by their score.
        examined: answers -> ({name: number, list or dict}, {tag: figure}) of a trained network, for
            result.json and TensorBoard; answers are pairs (outputs, batch) of a pass over the scored
            split as arrays. None: nothing more is told than the metrics.
        compiled_by_primitive: XLA compiles the functions of each primitive instead of whole steps; for
            supernets, whose second derivatives in one graph it takes many minutes to compile.
    """

    carries = {}
    compiled_by_primitive = False
    COUNTED, KEEPS_BEST = None, False
    returns = test_steps = 0
    examined = None

    def __init__(self, config, data):
        self.config, self.data = config, data

    @property
    def num_sums(self):
        return len(self.METRICS) + 1

    def network(self):
        """The built Keras model; of a search with `alphas` {cell type: non-trainable variable [E, K]}."""
        raise NotImplementedError

    def kept_values(self, net):
        """Numbers that a pass of the supernet keeps for its derivative, for an example; None: not known."""
        return None

    def facts(self, net):
        """What result.json tells of a derived network, a dict; "num_parameters" at least."""
        raise NotImplementedError

    def told(self, facts):
        """The facts in words."""
        raise NotImplementedError

    def recipe(self):
        """The Recipe."""
        raise NotImplementedError

    def compiled(self, *, gpus):
        """Whether XLA compiles the steps where --jit_compile=auto leaves it open."""
        return gpus > 0

    def rates(self, config, epoch):
        """{name: float} of an epoch, "learning_rate" among them, recorded and passed to `loss`.

        The names are the same in every epoch.

        Args:
            config: as the method has it in force in this epoch.
        """
        return {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}

    def rates_after(self, config, epoch, history):
        """`rates` of an epoch of an evaluation, which may follow from the epochs before.

        Args:
            history: their rows of metrics.jsonl.
        """
        return self.rates(config, epoch)

    def pictures(self, net):
        """{name: uint8 [H, W, 3]} that show after an epoch what the network does; none by default."""
        return {}

    def further_tests(self, net):
        """{name: float} that result.json has beside the score, of the weights that were scored last."""
        return {}

    def references(self):
        """{name: float} of numbers to compare the validation metrics with, recorded beside them."""
        return {}

    def epoch_steps(self, epoch):
        """Training steps of an epoch."""
        return self.num_steps

    def train_epoch(self, config, epoch, *, first_step=0):
        """tf.data.Dataset of training batches from a step on."""
        raise NotImplementedError

    def search_epoch(self, config, epoch, *, first_step=0):
        """tf.data.Dataset of (training batch, validation batch) from a step on; of a search only."""
        raise NotImplementedError

    def score_epoch(self, config, epoch):
        """tf.data.Dataset: one pass over the split that is scored."""
        raise NotImplementedError

    def test_epoch(self, config):
        """tf.data.Dataset: one pass over the part that judges the best weights, of `test_steps` steps."""
        raise NotImplementedError

    def curvature_epoch(self, config, epoch, num):
        """`num` validation batches of one size, on which lambda_max is measured after an epoch."""
        first = self.epoch_steps(epoch) - num
        batches = self.search_epoch(config, epoch, first_step=first)
        return [valid for _, valid in batches]

    def sample_epoch(self, config, epoch, number, *, first_step=0):
        """tf.data.Dataset: pass `number` over the scored split, permuted; for random_ws only."""
        raise NotImplementedError

    def count(self, batch):
        """What the loss of a global batch is the mean over, e.g. its examples: scalar."""
        raise NotImplementedError

    def learning_rate_scale(self, batch):
        """What a batch multiplies the learning rate by, scalar; None: nothing."""
        return None

    def loss(self, call, batch, carry, *, rates, seed, training, regularized=False, **network):
        """The Output of a replica's part of a batch.

        Args:
            call: the network as a function of tensors, with its weights bound.
            batch: of this replica.
            carry: list of tensors, of this replica.
            rates: {name: scalar}; used in training only.
            seed: int32 [2], of all draws.
            training: the mode of the network.
            regularized: it is the loss of a weight step, which may have penalties of its own.
            network: further arguments of the network: of a search edge_weights {cell type: [E, K]}
                and sampled.
        """
        raise NotImplementedError

    def sums(self, outputs, batch):
        """float32 scalars that `metrics` turns into numbers, summed over a replica's part."""
        raise NotImplementedError

    def metrics(self, sums):
        """{name of each of METRICS: float} of summed `sums`; by default their means."""
        *totals, count = sums
        means = (total / max(count, 1.0) for total in totals)
        return dict(zip((metric.name for metric in self.METRICS), means, strict=True))
