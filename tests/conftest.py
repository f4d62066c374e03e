"""What holds for all tests."""

import sys

import pytest

import rdarts_tf  # noqa: F401 - before TensorFlow, whose kernels it chooses


@pytest.fixture(autouse=True, scope="session")
def _graphs_as_of_the_commands():
    """Without Grappler, which takes longer than tracing, and with sums in order."""
    import tensorflow as tf

    from rdarts_tf.layers import sums

    sums.order_gradients()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run what is marked slow, too")
    parser.addoption(
        "--all-crash-points",
        action="store_true",
        help="kill before every file operation, not before a sample of them (test_crash_points)",
    )


def pytest_collection_modifyitems(config, items):
    """What takes long and shows once more, on real sizes or by real processes, what quicker tests show."""
    if not config.getoption("--slow"):
        slow = [item for item in items if "slow" in item.keywords]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]


@pytest.fixture(autouse=True)
def _settings_of_one_test():
    """`distribution.configure_runtime` is for good, in a process that may run other tests next."""
    yield
    config = sys.modules.get("tensorflow.python.framework.config")
    if config is not None and config.is_op_determinism_enabled():
        config.disable_op_determinism()
