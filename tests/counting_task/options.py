import dataclasses

from rdarts_tf.config import evaluate, search
from rdarts_tf.tasks.base import Metric, Score

CELL_TYPES = ("count",)
METRICS = (Metric("loss", -1, "nats"), Metric("counting_error", -1, "words", 1))
SCORE = Score("counting_error", lambda metrics: metrics["counting_error"], "words", 1)


@dataclasses.dataclass(frozen=True)
class SearchConfig(search.SearchConfig):
    TASK = "tests.counting_task"


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(evaluate.EvaluateConfig):
    TASK = "tests.counting_task"
