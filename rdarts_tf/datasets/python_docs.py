"""The English of Python's own documentation, which every interpreter brings along (pydoc_data.topics).

Each of its paragraphs is a line, repeated ones are left out; of ten blocks of lines the ninth is for
validation and the tenth for testing. Another version of Python has another text.
"""

import platform
import pydoc_data.topics
import re

from rdarts_tf.tasks.language_model import corpus

TASK = "language_model"
_BLOCK = 5  # paragraphs
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|([^\sa-z\d])\1*")


def load(*, data_dir=None, level="word", min_count=3):
    """Loads the text in lower case.

    Args:
        level: "word": words, numbers and signs, a run of the same sign counts as one; "char": characters.
        min_count: rarer tokens of the training part are <unk>.
    Returns:
        tasks.language_model.corpus.Corpus.
    Raises:
        CorpusError: another level.
    """
    if level not in _LEVELS:
        raise corpus.CorpusError(f"unknown level {level!r}; there are: {', '.join(_LEVELS)}")
    texts = {part: [] for part in corpus.PARTS}
    for number, paragraph in enumerate(_paragraphs()):
        part = ("train",) * 8 + ("valid", "test")
        texts[part[number // _BLOCK % 10]] += [*_LEVELS[level](paragraph), corpus.EOS]
    source = {"python": platform.python_version()}
    name = "python_docs" if level == "word" else f"python_docs(level={level})"
    return corpus.make(name, texts, min_count=min_count, source=source)


def _paragraphs():
    """All paragraphs in order of topics, each once."""
    topics = pydoc_data.topics.topics
    parts = [part for name in sorted(topics) for part in re.split(r"\n\s*\n", topics[name])]
    return dict.fromkeys(filter(None, (" ".join(part.lower().split()) for part in parts)))


def _tokens(text):
    """Words, numbers, punctuation; a run of the same sign counts as one."""
    return [match[1] or match[0] for match in _TOKEN.finditer(text)]


_LEVELS = {"word": _tokens, "char": list}
