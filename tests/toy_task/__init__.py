"""min_p ((w*(p) - A)^2 + (p - B)^2) / 2, w*(p) = argmin_w (w - p)^2 / 2 = p: space and data."""

from rdarts_tf.spaces.base import CellSpace, Space

A, B = 0.2, 0.6
SPACE = Space("toy", {"toy": CellSpace((("on", "off"),), 1, 1, 1)}, task="tests.toy_task")


def load(*, data_dir=None):
    return type("Data", (), {"name": "toy", "record": staticmethod(dict)})
