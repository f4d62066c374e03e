"""What stereo data are: parts of pairs, each read when it is asked for. No TensorFlow.

A pair is (left, right, disparity): uint8 [H, W, 3] twice and float32 [H, W] in pixels, NaN where the
truth is unknown. What the left image shows at x, the right one shows at x - disparity of the same row.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable

import numpy as np

from rdarts_tf.errors import UserError


class PairsError(UserError):
    """Stereo data cannot be used as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Pairs for training, validation or testing.

    Args:
        examples: functions without arguments, each of which returns its pair.
        sizes: (H, W) of each.
        crops: random crops of each pair in an epoch of training.
        max_offset: pixels by which training may shift the right crop, see `augment.Augmentation`.
        flip: training mirrors half of the pairs top to bottom.
    """

    examples: tuple[Callable, ...]
    sizes: tuple[tuple[int, int], ...]
    crops: int = 1
    max_offset: int = 0
    flip: bool = False

    def __len__(self):
        return len(self.examples)

    def read(self, i):
        """(left uint8 [H, W, 3], right uint8 [H, W, 3], disparity float32 [H, W])."""
        return self.examples[i]()

    @property
    def draws(self):
        """Crops of an epoch of training."""
        return len(self) * self.crops

    @property
    def largest(self):
        """(H, W) into which every pair fits."""
        return tuple(map(max, zip(*self.sizes, strict=True)))

    @property
    def smallest(self):
        """(H, W) that fits into every pair."""
        return tuple(map(min, zip(*self.sizes, strict=True)))

    def take(self, rows):
        """The Part of some of the pairs; rows: a slice."""
        return dataclasses.replace(self, examples=self.examples[rows], sizes=self.sizes[rows])

    def halved(self):
        """The Part of the same pairs at half their size."""
        return dataclasses.replace(
            self,
            examples=tuple(functools.partial(_read_half, example) for example in self.examples),
            sizes=tuple((height // 2, width // 2) for height, width in self.sizes),
            max_offset=self.max_offset // 2,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """A stereo data set.

    Args:
        name: as in messages and reports.
        train, valid, test: Parts; `train` and `valid` may be None.
        digest: of the content, or of the names and sizes of the files.
    Raises:
        PairsError: a part has no pair.
    """

    TASK = "disparity"

    name: str
    train: Part | None
    valid: Part | None
    test: Part
    digest: str

    def __post_init__(self):
        for what, part in self._parts().items():
            if not len(part):
                raise PairsError(f"{self.name} has no {what}; give at least one")

    def record(self):
        """What later stages need to tell other data, ready for JSON."""
        parts = self._parts()
        return {
            "name": self.name,
            "digest": self.digest,
            "num_examples": {what: len(part) for what, part in parts.items()},
        }

    def halved(self):
        """The same pairs at half their size."""
        halves = (part and part.halved() for part in (self.train, self.valid, self.test))
        return Data(f"{self.name} at half size", *halves, self.digest)

    def _parts(self):
        parts = {"training": self.train, "validation": self.valid, "test": self.test}
        return {f"{name} pairs": part for name, part in parts.items() if part is not None}


def check_booleans(**values):
    """Raises PairsError unless all arguments of a data set are True or False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise PairsError(f"{name}={value!r} must be True or False")


def training_part(data):
    """The Part to train on.

    Raises:
        PairsError: the data are for testing only.
    """
    if data.train is None:
        raise PairsError(
            f"{data.name} is for testing only; train on another data set, such as flying_things3d"
        )
    return data.train


def split_search(data, train_portion):
    """The two parts of the search: (train, valid).

    Where the data have no validation part, the first floor(train_portion * n) training pairs train
    the weights, the rest the architecture.

    Raises:
        PairsError: a part would be empty.
    """
    train = training_part(data)
    if data.valid is not None:
        return train, data.valid
    count = math.floor(train_portion * len(train))
    if not 0 < count < len(train):
        raise PairsError(
            f"train_portion={train_portion} leaves a search split of {data.name} empty, which has "
            f"{len(train)} training pairs; choose a number between 0 and 1, such as 0.5"
        )
    return train.take(slice(count)), train.take(slice(count, None))


def of_arrays(examples, **options):
    """The Part of pairs that are in memory, a list of (left, right, disparity)."""
    readers = tuple(functools.partial(tuple, example) for example in examples)
    return Part(readers, tuple(disparity.shape for *_, disparity in examples), **options)


def content_digest(parts):
    """sha256 over all pairs of some Parts."""
    found = hashlib.sha256()
    for part in parts:
        for row in range(len(part)):
            for array in part.read(row):
                found.update(f"{array.dtype} {array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _read_half(example):
    return halve(*example())


def halve(left, right, disparity):
    """A pair at half its size; an odd last row or column is left out.

    Images are means of 2x2 pixels; a disparity is half the mean of a block's known pixels, unknown if
    fewer than two are.

    Args and Returns:
        (left uint8 [H, W, 3], right, disparity float32 [H, W]) -> the same at [H // 2, W // 2].
    """
    images = [np.rint(_blocks(image).mean(axis=(1, 3))) for image in (left, right)]
    blocks = _blocks(disparity)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    half = np.where(count >= 2, total / (2 * np.maximum(count, 1)), np.nan)
    return *(image.astype(np.uint8) for image in images), half.astype(np.float32)


def _blocks(array):
    """[H, W, ...] -> [H // 2, 2, W // 2, 2, ...]."""
    height, width = array.shape[0] // 2, array.shape[1] // 2
    even = array[: 2 * height, : 2 * width]
    return even.reshape(height, 2, width, 2, *array.shape[2:])
