from rdarts_tf.config import search
from rdarts_tf.tasks.base import Metric, Score

CELL_TYPES, METRICS = ("toy",), (Metric("loss", -1),)
SCORE = Score("loss", lambda metrics: metrics["loss"])


class SearchConfig(search.SearchConfig):
    TASK = "tests.toy_task"
