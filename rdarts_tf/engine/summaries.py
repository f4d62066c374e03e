"""TensorBoard: every tag that a run writes, in one place.

Scalars (step = epoch): of each of STAGES `<stage>/<metric of the task>` and the rates, as metrics.jsonl
has them, and CURVATURE_TAGS. Per cell type: `alpha/<cell_type>` (histogram of raw alphas),
`alpha/<cell_type>_weights` (heat map of the edge weights), `cell/<cell_type>` (drawing of the
genotype). `example/<name>`: pictures of the task. Once a run: hyperparameters and, with them, `result/<metric>`.
"""

import json
import time

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api

from rdarts_tf.drawing import cell_plot, heatmap, plots
from rdarts_tf.runs.files import NotWritten

STAGES = {"search": "validation", "train": "score"}  # {what trains: what scores it}
CURVATURE_TAGS = (
    "curvature/lambda_max",
    "curvature/lambda_max_local_average",
    "curvature/error_bound",
    "curvature/converged",
    "curvature/products",
    "curvature/seconds",
)
SPECTRUM_TAG = "curvature/spectrum"
DECISION_TAG = "decision/{}"
ALPHA_TAG = "alpha/{}"
EDGE_WEIGHTS_TAG = "alpha/{}_weights"
CELL_TAG = "cell/{}"
PICTURE_TAG = "example/{}"
RESULT_TAG = "result/{}"


def of(run_dir, tags, *, resume_step=0):
    """The summaries of a runs.run_dir.RunDir; see `SearchSummaries`."""
    if run_dir.WRITES:
        return _Told(run_dir.tensorboard, tags, resume_step=resume_step)
    return NoSummaries()


def tags(stage, metrics, others, references=()):
    """The scalar tags of a run.

    Args:
        stage: that trains, of STAGES.
        metrics: tuple of tasks.base.Metric.
        others: names of what is recorded of that stage beside metrics, such as rates.
        references: names of what validation metrics are compared with.
    """
    names = dict.fromkeys(["loss", *(metric.name for metric in metrics)])
    trained = [f"{stage}/{name}" for name in (*names, *others)]
    scored = [f"{STAGES[stage]}/{name}" for name in names]
    return (*trained, *scored, *(f"validation/{name}" for name in references), *CURVATURE_TAGS)


class NoSummaries:
    """Those of a worker that is not the chief: every method of `SearchSummaries` does nothing."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class _Told:
    """`SearchSummaries`, whose methods raise a NotWritten where the disk gives way."""

    def __init__(self, log_dir, tags=(), *, resume_step=0):
        self._log_dir = log_dir
        make = self._telling(SearchSummaries)
        self._summaries = make(log_dir, tags, resume_step=resume_step)

    def __getattr__(self, name):
        return self._telling(getattr(self._summaries, name))

    def _telling(self, method):
        def told(*args, **kwargs):
            try:
                return method(*args, **kwargs)
            except tf.errors.OpError as error:
                raise NotWritten.of(self._log_dir, error.message.splitlines()[0]) from error

        return told


class SearchSummaries:
    """Writes one run's TensorBoard events.

    Args:
        log_dir: directory; a resumed run passes the same one.
        tags: of the scalars, see `tags`.
        resume_step: first epoch that this process writes. Events of it and of later epochs that a
            killed process left in log_dir no longer show.
    """

    def __init__(self, log_dir, tags=(), *, resume_step=0):
        self._tags, self._heatmaps = tags, {}
        self._writer = tf.summary.create_file_writer(str(log_dir))
        self.rewind(resume_step)

    def rewind(self, epoch):
        """Hides what was written for `epoch` and later, e.g. before a rollback to it.

        TensorBoard drops events of step >= s at every SessionLog.START event of step s but the
        first, so the first process has to write one, too. tf.summary has no function for it; the op
        puts it into the writer's own file, where its place between the other events is certain.
        """
        start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        event = tf.compat.v1.Event(wall_time=time.time(), step=epoch, session_log=start)
        tf.raw_ops.ImportEvent(writer=self._writer._resource, event=event.SerializeToString())
        self.flush()

    def epoch(self, epoch, *, scalars):
        """Writes {tag: number}; None: it is missing.

        Raises:
            ValueError: unknown tag; nothing is written then.
        """
        for tag in scalars:
            if tag not in self._tags:
                raise ValueError(f"unknown scalar tag {tag!r}; known are {', '.join(self._tags)}")
        with self._writer.as_default(step=epoch):
            for tag, value in scalars.items():
                if value is not None:
                    tf.summary.scalar(tag, value)

    def spectrum(self, epoch, values):
        """Writes the histogram of the Hessian's eigenvalues, [n]."""
        with self._writer.as_default(step=epoch):
            tf.summary.histogram(SPECTRUM_TAG, values)

    def decision(self, kind, epoch, *, text, lambda_max=None):
        """Marks a decision at the epoch that it leads back to: a text and a point at lambda_max.

        Args:
            kind: "stop" or "rollback".
            lambda_max: of that epoch, or None.
        """
        with self._writer.as_default(step=epoch):
            tf.summary.text(DECISION_TAG.format(kind), text)
            if lambda_max is not None:
                tf.summary.scalar(f"curvature/{kind}", lambda_max)
        self.flush()

    def alphas(self, epoch, cells, *, alphas, edge_weights):
        """Writes a histogram of the raw alphas and a heat map of the edge weights per cell type.

        Args:
            cells: {cell type: spaces.base.CellSpace}.
            alphas, edge_weights: {cell type: [E, K]}.
        """
        with self._writer.as_default(step=epoch):
            for name, cell in cells.items():
                tf.summary.histogram(ALPHA_TAG.format(name), alphas[name])
                if name not in self._heatmaps:
                    self._heatmaps[name] = heatmap.AlphaHeatmap(
                        edge_weights[name].shape,
                        primitives=cell.primitives,
                        num_inputs=cell.num_inputs,
                    )
                title = f"{name} cell, epoch {epoch}"
                pixels = self._heatmaps[name].pixels(edge_weights[name], title=title)
                tf.summary.image(EDGE_WEIGHTS_TAG.format(name), pixels)

    def genotype(self, epoch, genotype):
        """Draws each cell of a Genotype."""
        with self._writer.as_default(step=epoch):
            for cell_type in genotype.cells:
                title = f"{cell_type} cell, epoch {epoch}"
                figure = cell_plot.draw_cell(genotype, cell_type, title=title)
                tf.summary.image(CELL_TAG.format(cell_type), plots.to_image(figure))

    def pictures(self, epoch, pictures):
        """Writes {name: uint8 [H, W, 3]}."""
        with self._writer.as_default(step=epoch):
            for name, picture in pictures.items():
                tf.summary.image(PICTURE_TAG.format(name), picture[None])

    def hparams(self, hparams, metrics=None, *, step=0):
        """Writes hyperparameters for the HPARAMS tab and, when they are known, the results.

        Args:
            hparams: {name: value}; values other than bool, int, float, str are written as JSON.
            metrics: {name: number}, written as scalars `result/<name>` at `step`.
        """
        simple = {name: _simple(value) for name, value in hparams.items()}
        with self._writer.as_default(step=step):
            hparams_api.hparams(simple)
            for name, value in (metrics or {}).items():
                tf.summary.scalar(RESULT_TAG.format(name), value)

    def figure(self, tag, figure, *, step):
        """Draws a matplotlib Figure."""
        with self._writer.as_default(step=step):
            tf.summary.image(tag, plots.to_image(figure))

    def text(self, tag, text, *, step=0):
        """Writes Markdown text."""
        with self._writer.as_default(step=step):
            tf.summary.text(tag, text)

    def flush(self):
        """Writes out what is still in memory; call it once an epoch."""
        self._writer.flush()

    def close(self):
        """Flushes and closes the file; the object is of no use afterwards."""
        self._writer.close()


def _simple(value):
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
