"""What a corpus is: a vocabulary, and three parts of its numbers. No TensorFlow."""

import collections
import dataclasses
import functools
import hashlib
import json
import pathlib

import numpy as np

from rdarts_tf.errors import UserError

EOS, UNKNOWN = "<eos>", "<unk>"
PARTS = ("train", "valid", "test")
_LEAST = 4  # tokens of a part
_LONGEST = 64 * 1024  # bytes of a token


class CorpusError(UserError):
    """A text cannot be used as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Text as numbers of words, checked when it is made.

    Args:
        name: as in messages and reports.
        vocabulary: the words by their numbers.
        train, valid, test: int32 [tokens].
        source: what else is recorded of where it comes from, ready for JSON.
    Raises:
        CorpusError: fewer than two words, or too short a part.
    """

    TASK = "language_model"

    name: str
    vocabulary: tuple
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    source: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        words = [word for word in self.vocabulary if word not in (EOS, UNKNOWN)]
        if len(words) < 2:
            raise CorpusError(
                f"{self.name} has {len(words)} different words; at least 2 are needed, give a longer "
                "text or a smaller min_count"
            )
        for part in PARTS:
            if (num := len(getattr(self, part))) < _LEAST:
                raise CorpusError(
                    f"the {part} part of {self.name} has {num} tokens; at least {_LEAST} are needed, "
                    "give a longer text"
                )

    @functools.cached_property
    def digest(self):
        """sha256 over the vocabulary and the numbers of all parts."""
        found = hashlib.sha256(json.dumps(list(self.vocabulary)).encode())
        for part in PARTS:
            tokens = getattr(self, part)
            found.update(f"{part} {len(tokens)}".encode())
            found.update(np.ascontiguousarray(tokens, "<i4").data)
        return found.hexdigest()

    def record(self):
        """What later stages need to feed a network, and to tell other data, ready for JSON."""
        counts = {f"{part} tokens": len(getattr(self, part)) for part in PARTS}
        return {
            "name": self.name,
            "digest": self.digest,
            "num_examples": counts | {"words in the vocabulary": len(self.vocabulary)},
            "vocabulary": list(self.vocabulary),
            **self.source,
        }


def make(name, texts, *, max_vocabulary=None, min_count=None, source=None):
    """The Corpus of three lists of tokens.

    Words are numbered as they first appear in train, then valid, then test (the authors' code). With a
    bound the words that training has often enough are kept, the most frequent of them, and all others
    are <unk>.

    Args:
        texts: {"train", "valid", "test": list of tokens}.
        max_vocabulary: largest number of words, <unk> and <eos> included.
        min_count: of a word in the training part.
    Raises:
        CorpusError.
    """
    for label, value, low in (("max_vocabulary", max_vocabulary, 4), ("min_count", min_count, 1)):
        if value is not None and (type(value) is not int or value < low):
            raise CorpusError(f"{label}={value!r} must be a whole number of at least {low}")
    if max_vocabulary or min_count:
        kept = _kept(texts["train"], max_vocabulary, min_count or 1)
        texts = {part: [t if t in kept else UNKNOWN for t in texts[part]] for part in PARTS}
    numbers = {}
    arrays = {}
    for part in PARTS:
        ids = [numbers.setdefault(token, len(numbers)) for token in texts[part]]
        arrays[part] = np.array(ids, np.int32)
    return Corpus(name, tuple(numbers), **arrays, source=source or {})


def _kept(tokens, max_vocabulary, min_count):
    counts = collections.Counter(tokens)
    often = [t for t, count in counts.most_common() if count >= min_count and t != EOS]
    return set(often[: max_vocabulary and max_vocabulary - 2]) | {EOS}


def words(text):
    """Tokens of a text: what white space separates, and <eos> at the end of each line (the authors' code)."""
    return [token for line in text.splitlines() for token in (*line.split(), EOS)]


def characters(text):
    """Tokens of a text: its characters, and <eos> at the end of each line."""
    return [token for line in text.splitlines() for token in (*line, EOS)]


def read(path):
    """The text of a file in UTF-8.

    Raises:
        CorpusError: it cannot be read, is empty or no text, or holds too long a word.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
    if not content.strip():
        raise CorpusError(f"{path} is empty; give a text")
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise CorpusError(f"{path} is binary, line {line} has a zero byte; give a text in UTF-8")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CorpusError(
            f"{path} is no text in UTF-8, line {line} has the byte {content[error.start]:#04x}; "
            "convert it, e.g. with iconv"
        ) from error
    for number, row in enumerate(content.splitlines(), 1):
        if len(row) > _LONGEST and (length := max(map(len, row.split()), default=0)) > _LONGEST:
            raise CorpusError(
                f"{path} has a token of {length} bytes in line {number}; at most {_LONGEST} are "
                "possible, put spaces between words"
            )
    return text


def split(tokens):
    """{"train", "valid", "test"}: the first 80, the next 10 and the last 10 percent."""
    first, second = len(tokens) * 8 // 10, len(tokens) * 9 // 10
    return {"train": tokens[:first], "valid": tokens[first:second], "test": tokens[second:]}
