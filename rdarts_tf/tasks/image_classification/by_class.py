"""How a classifier does on each class, counted from its answers. No TensorFlow."""

import numpy as np

TOP_FROM = 10  # classes, from which on the five best answers count
MOST_COUNTED = 100  # classes of which the whole table of confusions is kept


def confusions(logits, labels):
    """How often a class is taken for another: int [true class, answer].

    Args:
        logits: [n, classes].
        labels: [n].
    """
    num = logits.shape[-1]
    pairs = num * labels.astype(np.int64) + logits.argmax(-1)
    return np.bincount(pairs, minlength=num * num).reshape(num, num)


def in_top_5(logits, labels):
    """How many labels are among the five largest logits; ties count as the lower class first."""
    best = np.argsort(-logits, axis=-1, kind="stable")[:, :5]
    return int((best == labels[:, np.newaxis]).sum())


def facts(table, top_5, class_names):
    """What result.json tells of a scored network.

    Args:
        table: `confusions` of all examples.
        top_5: `in_top_5` of all examples.
        class_names: one string per class.
    Returns:
        balanced_accuracy: mean over the classes that occur of the share that is recognised;
        error_by_class: None of classes that do not; top_5_accuracy and confusions where there are
        enough or not too many classes.
    """
    counts = table.sum(axis=1)
    recalls = np.diag(table)[counts > 0] / counts[counts > 0]
    errors = [1 - right / n if n else None for right, n in zip(np.diag(table), counts, strict=True)]
    found = {
        "balanced_accuracy": float(recalls.mean()),
        "error_by_class": {
            name: None if error is None else float(error)
            for name, error in zip(class_names, errors, strict=True)
        },
    }
    if len(class_names) >= TOP_FROM:
        found["top_5_accuracy"] = top_5 / int(counts.sum())
    if len(class_names) <= MOST_COUNTED:
        found["confusions"] = table.tolist()
    return found


def balanced_weights(labels, num_classes):
    """Weight of each class in the loss, n / (classes * n_c), so that all count alike; 1 on average."""
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)
