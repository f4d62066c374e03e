"""How many epochs a run was to have when each of its epochs was run: --extend makes it longer.

config.json has, beside the fields of the configuration, whose `epochs` is the present length:

    "history": [{"epochs": 20, "until": 20}]   epochs 0 to 19 were run as those of a run of 20; not there:
                                               all were run with the present length. Of an evaluation
                                               {seed: such a list}
    "extending": true                          genotype.json, if there, is the result of a former length

No TensorFlow.
"""

import itertools


def at(history, epoch, present):
    """The length that was or is in force in `epoch`.

    Args:
        history: see above.
        present: the length of the run as it is now.
    """
    return next((part["epochs"] for part in history if epoch < part["until"]), present)


def history_of(lengths):
    """The history of a run whose epochs 0, 1, ... were run with these lengths."""
    history, until = [], 0
    for epochs, same in itertools.groupby(lengths):
        until += len(list(same))
        history.append({"epochs": epochs, "until": until})
    return history


def told(history):
    """A history in words: "20 of 20, 30 of 40 epochs"; none: "no epoch"."""
    parts = [f"{part['until']} of {part['epochs']}" for part in history or ()]
    return f"{', '.join(parts)} epochs" if parts else "no epoch"
