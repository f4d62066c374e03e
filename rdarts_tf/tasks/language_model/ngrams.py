"""Perplexities of counting, for scale beside those of a network. No TensorFlow."""

import numpy as np


def unigram_perplexity(train, valid, vocabulary):
    """Of valid, words as often as in train and one more (Laplace).

    Args:
        train, valid: integers [tokens].
        vocabulary: number of words.
    """
    return float(np.exp(-np.log(_unigram(train, vocabulary)[valid[1:]]).mean()))


def bigram_perplexity(train, valid, vocabulary):
    """Of valid, each word after the one before it, smoothed by the unigrams (Witten & Bell 1991).

    P(w | u) = (c(u w) + t(u) P(w)) / (c(u) + t(u)),  t(u) the number of different words after u.

    Args: as `unigram_perplexity`.
    """
    base, size = _unigram(train, vocabulary), np.int64(vocabulary)
    pairs, counts = np.unique(train[:-1] * size + train[1:], return_counts=True)
    after = np.bincount(pairs // size, weights=counts, minlength=vocabulary)
    kinds = np.bincount(pairs // size, minlength=vocabulary)
    u, w = valid[:-1], valid[1:]
    wanted = u * size + w
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    count = np.where(pairs[at] == wanted, counts[at], 0)
    total = after[u] + kinds[u]
    seen = (count + kinds[u] * base[w]) / np.maximum(total, 1)
    return float(np.exp(-np.log(np.where(total > 0, seen, base[w])).mean()))


def _unigram(train, vocabulary):
    return (np.bincount(train, minlength=vocabulary) + 1) / (len(train) + vocabulary)
