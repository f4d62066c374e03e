"""Text of your own: a folder with train, valid and test files, or one file that is split."""

import pathlib

from rdarts_tf.tasks.language_model import corpus

TASK = "language_model"
_LEVELS = {"word": corpus.words, "char": corpus.characters}
_NAMES = {"train": ("train",), "valid": ("valid", "validation", "val"), "test": ("test",)}


def load(path, *, data_dir=None, level="word", max_vocabulary=None, min_count=None):
    """Loads text in UTF-8.

    Args:
        path: of a folder with train.txt, valid.txt and test.txt, or with a single .txt file, or of a
            file, whose tokens are split 80 : 10 : 10; if relative, then to `data_dir`.
        data_dir: None is the working directory.
        level: "word": tokens are what white space separates; "char": characters.
        max_vocabulary, min_count: see `corpus.make`.
    Returns:
        corpus.Corpus.
    Raises:
        corpus.CorpusError: no such file, no text, or too little of it.
    """
    if level not in _LEVELS:
        raise corpus.CorpusError(f"unknown level {level!r}; there are: {', '.join(_LEVELS)}")
    root = pathlib.Path(data_dir or ".").expanduser() / pathlib.Path(str(path)).expanduser()
    tokens = _LEVELS[level]
    files = _files(root)
    if len(files) == 1:
        texts = corpus.split(tokens(corpus.read(files[0])))
    else:
        texts = {
            part: tokens(corpus.read(file)) for part, file in zip(corpus.PARTS, files, strict=True)
        }
    bounds = {"max_vocabulary": max_vocabulary, "min_count": min_count}
    return corpus.make(f"text_folder({path})", texts, **bounds)


def _files(root):
    """[the only file], or those of the three parts."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise corpus.CorpusError(f"there is no file or folder {root}; give the one with the text")
    found = sorted(root.glob("*.txt"))
    by_stem = {file.stem: file for file in found}
    parts = [
        next((by_stem[name] for name in names if name in by_stem), None)
        for names in _NAMES.values()
    ]
    if all(parts):
        return parts
    if len(found) == 1:
        return found
    raise corpus.CorpusError(
        f"{root} has {len(found)} .txt files, but not train.txt, valid.txt and test.txt; add them, or "
        "give a single file, which is split"
    )
