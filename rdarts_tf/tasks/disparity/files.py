"""Pairs that lie on disk. No TensorFlow."""

import concurrent.futures
import dataclasses
import hashlib
import pathlib

import numpy as np

from rdarts_tf.tasks.disparity import formats, pairs

_SMALL = 2**28  # bytes up to which a digest reads content, too
_THREADS = 16


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """The files of a pair; called, it reads them.

    Args:
        left, right, disparity: paths.
        hidden: masks of pixels whose truth is left out.
        visible: mask of pixels whose truth counts; None: all.
        encoding: of the disparity, see `formats.read_disparity`.
        sign: of disparities in the file; 0: either.
    """

    left: pathlib.Path
    right: pathlib.Path
    disparity: pathlib.Path
    hidden: tuple[pathlib.Path, ...] = ()
    visible: pathlib.Path | None = None
    encoding: str | None = None
    sign: int = 1

    @property
    def paths(self):
        visible = [] if self.visible is None else [self.visible]
        return [self.left, self.right, self.disparity, *self.hidden, *visible]

    def size(self):
        """(H, W) of all files, by their headers.

        Raises:
            UserError: one is missing, cut off or of another size.
        """
        truth = formats.disparity_size(self.disparity, self.encoding)
        self._check_presence()
        left, right, _, *masks = self.paths
        sizes = [formats.image_size(path) for path in (left, right, *masks)]
        return self._common([*sizes[:2], truth, *sizes[2:]])

    def __call__(self):
        """(left, right, disparity), see `pairs`.

        Raises:
            UserError: a file cannot be read, or holds what cannot be disparities.
        """
        left, right = (formats.read_image(path) for path in (self.left, self.right))
        disparity = formats.read_disparity(self.disparity, self.encoding)
        disparity = self.sign * disparity if self.sign else np.abs(disparity)
        hidden = [formats.read_mask(path) for path in self.hidden]
        hidden += [] if self.visible is None else [~formats.read_mask(self.visible)]
        self._common([array.shape[:2] for array in (left, right, disparity, *hidden)])
        for mask in hidden:
            disparity[mask] = np.nan
        self._check_range(disparity)
        return left, right, disparity

    def _check_presence(self):
        for path in self.paths:
            if not path.is_file():
                raise pairs.PairsError(
                    f"there is no {path}, which belongs to {self.disparity}; add it, or remove the pair"
                )

    def _common(self, sizes):
        for path, (height, width) in zip(self.paths, sizes, strict=True):
            if (height, width) != sizes[0]:
                raise pairs.PairsError(
                    f"{path} has {height}x{width} pixels but {self.left} {sizes[0][0]}x{sizes[0][1]}; "
                    "all files of a pair need one size"
                )
        return sizes[0]

    def _check_range(self, disparity):
        known = disparity[np.isfinite(disparity)]
        if known.size and known.min() < 0:
            raise pairs.PairsError(
                f"{self.disparity} has disparities down to {known.min():.1f} pixels; they must be positive "
                "where the right image shows things further left, with negative=True it is the other way"
            )
        if known.size and np.median(known) > disparity.shape[1]:
            raise pairs.PairsError(
                f"{self.disparity} has mostly disparities above {np.median(known):.1f} pixels in images "
                f"{disparity.shape[1]} pixels wide; convert them to pixels"
            )


def part(found, **options):
    """The pairs.Part of a list of PairFiles, all headers and the first pair checked.

    Raises:
        UserError: see PairFiles.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        sizes = tuple(pool.map(PairFiles.size, found))
    for pair in found[:1]:
        pair()
    return pairs.Part(tuple(found), sizes, **options)


def data(name, root, train, valid, test):
    """The pairs.Data of lists of PairFiles below a folder; `train` and `valid` may be None."""
    lists = (train, valid, test)
    parts = [None if found is None else part(found) for found in lists]
    return pairs.Data(name, *parts, digest([found or [] for found in lists], root))


def digest(parts, root):
    """sha256 over names and lengths of the files of lists of PairFiles; of small data also their content."""
    paths = [path for part in parts for pair in part for path in pair.paths]
    lengths = [path.stat().st_size for path in paths]
    small = sum(lengths) <= _SMALL
    found = hashlib.sha256(repr([len(part) for part in parts]).encode())
    for path, length in zip(paths, lengths, strict=True):
        found.update(f"{path.relative_to(root)} {length}".encode())
        if small:
            found.update(path.read_bytes())
    return found.hexdigest()


def resolved(path, data_dir, default="."):
    """The folder of a data set: a path that, if relative, is below `data_dir`."""
    return pathlib.Path(data_dir or default).expanduser() / pathlib.Path(str(path)).expanduser()
