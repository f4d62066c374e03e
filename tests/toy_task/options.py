from rdarts_tf.config import evaluate, search
from rdarts_tf.tasks.base import Metric, Score

CELL_TYPES, METRICS = ("toy",), (Metric("loss", -1),)
SCORE = Score("loss", lambda metrics: metrics["loss"])


class SearchConfig(search.SearchConfig):
    TASK = "tests.toy_task"


class EvaluateConfig(evaluate.EvaluateConfig):
    TASK = "tests.toy_task"

    @staticmethod
    def defaults(preset, dataset, searched):
        return {"epochs": 5, "batch_size": 1}
