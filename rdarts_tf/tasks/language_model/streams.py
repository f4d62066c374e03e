"""The pipelines that feed windows of text: tokens and targets [B, T], and how long the window was to be."""

import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.language_model import corpus, windows


def columns(tokens, batch, *, name, flag, least):
    """Text in columns [rows, batch].

    Args:
        tokens: int32 [tokens].
        name: what the text is called.
        flag: that gives the batch.
        least: rows that are needed.
    Raises:
        CorpusError: there are fewer.
    """
    found = windows.columns(tokens, batch)
    if len(found) < least:
        raise corpus.CorpusError(
            f"--{flag}={batch} is too large for the {name} text of {len(tokens)} tokens; choose at "
            f"most {max(len(tokens) // least, 1)}"
        )
    return found


def epoch(text, sequence, bptt, *, first_step=0):
    """tf.data.Dataset of (tokens, targets, share): int32 [B, T] twice, float32 [B].

    Args:
        text: [rows, B].
        sequence: list of windows.Window.
        bptt: of which the nominal length of a window is a share.
        first_step: steps to skip.
    """
    with tf.device("CPU:0"):
        rows = tf.constant(text)
        table = np.array(sequence[first_step:], np.int32).reshape(-1, 3)

    def load(window):
        start, length, nominal = tf.unstack(window)
        read = tf.transpose(rows[start : start + length + 1])
        share = tf.cast(nominal, tf.float32) / bptt
        return read[:, :-1], read[:, 1:], tf.fill([text.shape[1]], share)

    return tf.data.Dataset.from_tensor_slices(table).map(load).prefetch(tf.data.AUTOTUNE)
