"""FlyingThings3D (Mayer et al. 2016): 21,818 pairs for training and 4,248 for testing, 960x540.

The data are not shipped: data_dir/flying_things3d/ has either the full release,

    frames_cleanpass/{TRAIN,TEST}/{A,B,C}/NNNN/{left,right}/NNNN.png          (or frames_finalpass)
    disparity/{TRAIN,TEST}/{A,B,C}/NNNN/left/NNNN.pfm
    all_unused_files.txt                                  (the list of unusable files, TRAIN/A/0004/left/0006.png)

or the subset of 2018 for DispNet and FlowNet2.0, in which unusable files are left out already,

    {train,val}/image_clean/{left,right}/NNNNNNN.png                          (or image_final)
    {train,val}/disparity/left/NNNNNNN.pfm

The one has positive disparities, the other negative ones; their absolute value is taken.
"""

import re

import numpy as np

from rdarts_tf.tasks.disparity import files, pairs

TASK = "disparity"
UNUSED = "all_unused_files.txt"
_LINE = re.compile(r"((?:TRAIN|TEST)/[ABC]/\d{4})/(?:left|right)/(\d{4})\.(?:png|webp|pfm)")
_DEFAULT = "~/tensorflow_datasets"


def load(path="flying_things3d", *, data_dir=None, final=False, half=False):
    """Lists the files; pairs are read when they are asked for.

    Args:
        path: of the folder; if relative, then to `data_dir`.
        final: the final pass instead of the clean one.
        half: at half size, as in the search (Zela et al. 2020, app. E).
    Returns:
        tasks.disparity.pairs.Data without a validation part. Training pairs are in a fixed random order
        of scenes, so that a share of them has all kinds and no scene is on both sides but one.
    Raises:
        UserError: the files are not there, or cannot be used.
    """
    pairs.check_booleans(final=final, half=half)
    root = files.resolved(path, data_dir, _DEFAULT)
    if (root / "disparity" / "TRAIN").is_dir():
        lists = _full(root, "frames_finalpass" if final else "frames_cleanpass")
    elif (root / "train" / "disparity" / "left").is_dir():
        lists = _subset(root, "image_final" if final else "image_clean")
    else:
        raise pairs.PairsError(
            f"there is no FlyingThings3D in {root}; put the folders frames_cleanpass and disparity of "
            f"the full release and {UNUSED} there, or the folders train and val of its subset for "
            "DispNet, or take --dataset=motorcycle, which needs no download"
        )
    name = "flying_things3d" + " final" * final
    found = files.data(name, root, lists[0], None, lists[1])
    return found.halved() if half else found


def _full(root, images):
    """(training pairs, test pairs) of the full release."""
    unused = _unused(root / UNUSED)
    found = []
    for part in ("TRAIN", "TEST"):
        scenes = _shuffled(sorted((root / "disparity" / part).glob("[ABC]/*/left")))
        frames = [path for scene in scenes for path in sorted(scene.glob("*.pfm"))]
        used = [path for path in frames if _key(path, root) not in unused]
        found.append([_pair(path, root / images / _key(path, root)[0], path.stem) for path in used])
    return found


def _subset(root, images):
    """(training pairs, test pairs) of the subset."""
    return [
        [
            _pair(path, folder / images, path.stem)
            for path in sorted(folder.glob("disparity/left/*.pfm"))
        ]
        for folder in (root / "train", root / "val")
    ]


def _shuffled(scenes):
    order = np.random.RandomState(0).permutation(len(scenes))
    return [scenes[row] for row in order]


def _key(path, root):
    """(TRAIN/A/0004, 0006) of a file of disparities."""
    scene = path.parent.parent.relative_to(root / "disparity").as_posix()
    return scene, path.stem


def _pair(disparity, folder, stem):
    views = [folder / view / f"{stem}.png" for view in ("left", "right")]
    webp = [view.with_suffix(".webp") for view in views]
    return files.PairFiles(*(webp if webp[0].exists() else views), disparity, sign=0)


def _unused(path):
    """The keys that the list of unusable files names."""
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise pairs.PairsError(
            f"cannot read {path} ({getattr(error, 'strerror', 'no text')}); put the list of unusable files "
            "there, from the page of the data set, or an empty file to take all pairs"
        ) from error
    matches = [_LINE.fullmatch(line) for line in lines]
    if None in matches:
        raise pairs.PairsError(
            f"{path} has the entry {lines[matches.index(None)]!r}, but they look like "
            "TRAIN/A/0004/left/0006.png; replace it by the list from the page of the data set"
        )
    return {match.groups() for match in matches}
