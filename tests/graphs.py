"""What stands in the graph of a tf.function and of all that it calls."""

import tensorflow as tf

from rdarts_tf.engine import search_steps


def of_search_block(config, problem):
    """The concrete function of a step of a search."""
    strategy = tf.distribute.get_strategy()
    search = search_steps.Search(problem, problem.network(), config=config, strategy=strategy)
    rates = {name: tf.constant(rate) for name, rate in problem.rates(config, 0).items()}
    at = tf.constant(0), tf.constant(1), tf.constant(0)
    batches = iter(problem.search_epoch(config, 0))
    return search.search_block.get_concrete_function(batches, *at, rates)


def unordered(concrete):
    """Names of the sums that may begin with their third term or a later one, see `rdarts_tf.layers.sums`."""
    graph = concrete.graph.as_graph_def()
    found = []
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        readers = [_data(node) for node in nodes if node.op == "IdentityN"]
        for node in nodes:
            if node.op == "AddN" and len(terms := _data(node)) > 2:
                after = (terms_read for total, *terms_read in readers if _name(total) == node.name)
                if next(after, None) != terms[2:]:
                    found.append(node.name)
    return found


def _data(node):
    return [name for name in node.input if not name.startswith("^")]


def _name(tensor):
    return tensor.partition(":")[0]
