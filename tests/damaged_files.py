"""Files that are damaged, or that a stranger made up: a seeded stream of them."""

import copy
import io
import json
import os
import random
import shutil

import numpy as np

HOSTILE = (None, True, -1, 0, 1.5, 10**400, -(10**400), 1e999, float("nan"), 2**63, 10**12, "", "x")
HOSTILE += ("../../x", "=1+1", "$a_{", "\0", "\ud800", "<b>|`", "a" * 3000, [], {}, [[]], [None])
HOSTILE += ({"epoch": 0}, [1, 2, 3], "Genotype(", "best_of(4)", "darts_ada(increase=1.0000001)")
HOSTILE += ("tests.nowhere", "Genotype(x=[('a', 0)], x_concat=range(999999999999))", "s1", "rnn")
ARRAYS = (np.zeros(0), np.array(1.0), np.full((3, 1, 2), np.nan), np.zeros((3, 4, 5)), np.arange(6))
ARRAYS += (
    np.array(["text"]),
    np.zeros((2, 1, 2), np.float16),
    np.array([True]),
    np.zeros((9, 14, 2)),
)


def damage(path, rng):
    """Replaces a file by a damaged one."""
    content = path.read_bytes()
    path.unlink()
    kinds = [_torn, _flipped, _strange, _no_file]
    kinds += [_other_value] * 8 * (path.suffix in (".json", ".jsonl"))
    kinds += [_other_array] * 6 * (path.suffix == ".npz")
    rng.choice(kinds)(path, content, rng)


def restore(path, content):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    path.write_bytes(content)


def _torn(path, content, rng):
    cut = rng.randrange(len(content) + 1)
    path.write_bytes(rng.choice([content[:cut], content[cut:], content + content[:cut]]))


def _flipped(path, content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 5, 50])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    path.write_bytes(changed)


def _strange(path, content, rng):
    deep = b"[" * 1000 + b"]" * 1000
    texts = [b"", b"\0" * 50, b"\xef\xbb\xbf" + content, b"\xff\xfe", deep, b"null", b"[]", b"{}"]
    texts += [
        b"3",
        b'"x"',
        b"[1]\n[2]\n",
        content + b"\n\n",
        b"PK\x05\x06" + b"\0" * 18,
        b"9" * 5000,
    ]
    path.write_bytes(rng.choice(texts))


def _no_file(path, content, rng):
    kind = rng.choice(["directory", "link", "pipe", "nothing", "device"])
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "nothing":
        path.symlink_to("/dev/zero" if kind == "device" else path.with_name("nowhere"))


def _other_value(path, content, rng):
    """JSON with another value at some place, or without it."""
    lines = content.decode().splitlines() if path.suffix == ".jsonl" else [content.decode()]
    number = rng.randrange(len(lines))
    value = json.loads(lines[number])
    for _ in range(rng.choice([1, 1, 2])):
        value = _changed(value, rng)
    lines[number] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")


def _changed(value, rng):
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(HOSTILE)
    value = copy.copy(value)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if rng.random() < 0.15:
        del value[key]
    elif rng.random() < 0.1 and isinstance(value, dict):
        value[rng.choice(["", "new", "../x", "$", "extending", "history"])] = rng.choice(HOSTILE)
    else:
        value[key] = _changed(value[key], rng)
    return value


def _other_array(path, content, rng):
    """An archive with another array, other names, or none at all."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = {
            name: archive[name] for name in archive.files if not isinstance(archive[name], bytes)
        }
    kind, name = rng.random(), rng.choice([*arrays, "new"])
    if kind < 0.1:
        with open(path, "wb") as file:
            np.save(file, rng.choice(ARRAYS))
    elif kind < 0.2:
        np.savez_compressed(path, **arrays)
    elif kind < 0.3:
        np.savez(path, **{name: np.array([object()])})
    else:
        arrays[name] = rng.choice(ARRAYS)
        if kind < 0.4:
            del arrays[rng.choice(list(arrays))]
        np.savez(path, **arrays)


def stream(seed):
    return random.Random(seed)
