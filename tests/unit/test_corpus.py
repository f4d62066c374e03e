"""Texts become numbers; what cannot is told in one sentence."""

import numpy as np
import pytest

from rdarts_tf import registry
from rdarts_tf.tasks.language_model import corpus, ngrams


def load(spec, **options):
    module, args, kwargs = registry.load("datasets", spec)
    return module.load(*args, **(kwargs | options))


@pytest.fixture
def folder(tmp_path):
    """A folder with the three files."""
    (tmp_path / "train.txt").write_text("the cat sat\n\nthe dog sat\n")
    (tmp_path / "valid.txt").write_text("the bird sat\n")
    (tmp_path / "test.txt").write_text("a cat sat\n")
    return tmp_path


def test_words_are_numbered_as_they_appear_and_every_line_ends(folder):
    found = load(f"text_folder({folder})")
    assert found.vocabulary == ("the", "cat", "sat", "<eos>", "dog", "bird", "a")
    assert found.train.tolist() == [0, 1, 2, 3, 3, 0, 4, 2, 3]
    assert found.valid.tolist() == [0, 5, 2, 3]
    assert found.record()["num_examples"] == {
        "train tokens": 9,
        "valid tokens": 4,
        "test tokens": 4,
        "words in the vocabulary": 7,
    }


def test_rare_words_are_unknown(folder):
    often = load(f"text_folder({folder}, min_count=2)")
    assert often.vocabulary == ("the", "<unk>", "sat", "<eos>")
    few = load(f"text_folder({folder}, max_vocabulary=5)")
    assert few.vocabulary == ("the", "cat", "sat", "<eos>", "<unk>")


def test_characters(folder):
    found = load(f"text_folder({folder}, level=char)")
    assert "".join(found.vocabulary[i] for i in found.train[:7]) == "the cat"


def test_a_single_file_is_split(tmp_path):
    (tmp_path / "all.txt").write_text("one two three four\n" * 20)
    for path in (tmp_path, tmp_path / "all.txt"):
        found = load(f"text_folder({path})")
        assert [len(found.train), len(found.valid), len(found.test)] == [80, 10, 10]


def test_pythons_documentation_is_the_same_every_time():
    first, second = load("python_docs"), load("python_docs")
    assert first.digest == second.digest
    assert len(first.train) > 8 * len(first.valid) / 1.3 > 20_000
    assert first.record()["python"].count(".") == 2


def test_another_text_has_another_digest(folder):
    before = load(f"text_folder({folder})").digest
    (folder / "test.txt").write_text("the cat sat\n")
    assert load(f"text_folder({folder})").digest != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b" \n\n", ["is empty"]),
        (b"alone\n" * 40, ["1 different words", "at least 2"]),
        (b"a\nb " + b"c" * 70_000, ["70000 bytes", "line 2", "65536"]),
        (b"one\ntwo\0", ["is binary", "line 2"]),
        (b"one\ntwo \xff three\n", ["no text in UTF-8", "line 2", "0xff"]),
        (b"one two\n", ["part", "tokens", "longer text"]),
    ],
)
def test_what_is_no_text_is_told(tmp_path, content, words):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(corpus.CorpusError) as error:
        load(f"text_folder({tmp_path / 'text.txt'})")
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("text_folder(nowhere)", ["nowhere", "no file or folder"]),
        ("text_folder(FOLDER, level=line)", ["'line'", "word, char"]),
        ("text_folder(FOLDER, min_count=0)", ["min_count=0", "at least 1"]),
        ("text_folder(FOLDER, max_vocabulary=2)", ["max_vocabulary=2", "at least 4"]),
    ],
)
def test_wrong_arguments_are_told(folder, spec, words):
    with pytest.raises(corpus.CorpusError) as error:
        load(spec.replace("FOLDER", str(folder)))
    assert all(word in str(error.value) for word in words), error.value


def test_a_folder_without_all_parts_is_told(folder):
    (folder / "test.txt").unlink()
    with pytest.raises(corpus.CorpusError, match=r"has 2 .txt files"):
        load(f"text_folder({folder})")


def test_missing_penn_treebank_tells_where_it_goes(tmp_path):
    with pytest.raises(corpus.CorpusError) as error:
        load("ptb", data_dir=str(tmp_path))
    for word in ("ptb.train.txt", str(tmp_path / "ptb"), "python_docs"):
        assert word in str(error.value)


def test_another_treebank_is_refused(tmp_path):
    (tmp_path / "ptb").mkdir()
    for part in corpus.PARTS:
        (tmp_path / f"ptb/ptb.{part}.txt").write_text("no treebank\n")
    with pytest.raises(corpus.CorpusError, match="3 tokens, the standard file 929,589"):
        load("ptb", data_dir=str(tmp_path))


def test_perplexities_of_counting():
    """train: a b a b b over {a, b, c}; valid: a b c. By hand."""
    train, valid = np.array([0, 1, 0, 1, 1]), np.array([0, 1, 2])
    one = np.array([3, 4, 1]) / 8  # and one more of each
    expected = np.exp(-(np.log(one[1]) + np.log(one[2])) / 2)
    assert ngrams.unigram_perplexity(train, valid, 3) == pytest.approx(expected)
    # after a: b twice, 1 kind; after b: a, b, 2 kinds
    p = [(2 + 1 * one[1]) / 3, (0 + 2 * one[2]) / 4]
    expected = np.exp(-np.log(p).mean())
    assert ngrams.bigram_perplexity(train, valid, 3) == pytest.approx(expected)
    unseen = np.array([2, 0])  # nothing follows c in train
    assert ngrams.bigram_perplexity(train, unseen, 3) == pytest.approx(1 / one[0])
