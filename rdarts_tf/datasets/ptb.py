"""Penn Treebank as Mikolov et al. 2010 prepared it: 929,589 training tokens, 10,000 words.

The text is not free and not shipped: data_dir/ptb/{ptb.train.txt,ptb.valid.txt,ptb.test.txt}.
"""

import pathlib

from rdarts_tf.tasks.language_model import corpus

TASK = "language_model"
TOKENS = {"train": 929_589, "valid": 73_760, "test": 82_430}
WORDS = 10_000


def load(*, data_dir=None):
    """Returns tasks.language_model.corpus.Corpus.

    Raises:
        CorpusError: the files are not there, or not the standard ones.
    """
    folder = pathlib.Path(data_dir or "~/tensorflow_datasets").expanduser() / "ptb"
    paths = {part: folder / f"ptb.{part}.txt" for part in corpus.PARTS}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise corpus.CorpusError(
            f"there is no {missing[0]} in {folder}; put ptb.train.txt, ptb.valid.txt and ptb.test.txt "
            "there (the folder data of Mikolov's simple-examples), or take --dataset=python_docs, "
            "which needs no download"
        )
    texts = {part: corpus.words(corpus.read(path)) for part, path in paths.items()}
    for part, tokens in texts.items():
        if len(tokens) != TOKENS[part]:
            raise corpus.CorpusError(
                f"{paths[part]} has {len(tokens):,} tokens, the standard file {TOKENS[part]:,}; "
                f"replace it, or take --dataset='text_folder({folder})' for a text of your own"
            )
    found = corpus.make("ptb", texts)
    if len(found.vocabulary) != WORDS:
        raise corpus.CorpusError(
            f"the files in {folder} have {len(found.vocabulary):,} words, the standard ones {WORDS:,}; "
            "replace them"
        )
    return found
