from rdarts_tf.config import search
from rdarts_tf.tasks.base import Metric

CELL_TYPES, METRICS = ("toy",), (Metric("loss", -1),)


class SearchConfig(search.SearchConfig):
    TASK = "tests.toy_task"
