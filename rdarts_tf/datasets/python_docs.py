"""The English of Python's own documentation, which every interpreter brings along (pydoc_data.topics).

Each of its paragraphs is a line, repeated ones are left out; of ten blocks of lines the ninth is for
validation and the tenth for testing. Another version of Python has another text.
"""

import platform
import pydoc_data.topics
import re

from rdarts_tf.tasks.language_model import corpus

_BLOCK = 5  # paragraphs
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|([^\sa-z\d])\1*")


def load(*, data_dir=None, min_count=3):
    """Returns tasks.language_model.corpus.Corpus; rarer words are <unk>."""
    texts = {part: [] for part in corpus.PARTS}
    for number, paragraph in enumerate(_paragraphs()):
        part = ("train",) * 8 + ("valid", "test")
        texts[part[number // _BLOCK % 10]] += [*_tokens(paragraph), corpus.EOS]
    source = {"python": platform.python_version()}
    return corpus.make("python_docs", texts, min_count=min_count, source=source)


def _paragraphs():
    """All paragraphs in order of topics, each once."""
    topics = pydoc_data.topics.topics
    parts = [part for name in sorted(topics) for part in re.split(r"\n\s*\n", topics[name])]
    return dict.fromkeys(filter(None, (" ".join(part.lower().split()) for part in parts)))


def _tokens(text):
    """Words, numbers, punctuation; a run of the same sign counts as one."""
    return [match[1] or match[0] for match in _TOKEN.finditer(text)]
