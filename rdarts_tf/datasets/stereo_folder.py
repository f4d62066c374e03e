"""Your own stereo pairs: `stereo_folder(PATH)`, of one of these layouts.

    PATH/left/*.png  PATH/right/*.png  PATH/disparity/*.pfm             names without suffix are the same
    PATH/SCENE/im0.png  im1.png  disp0.pfm                              Middlebury 2014; ETH3D's disp0GT.pfm

Either may lie in PATH/train, PATH/valid and PATH/test, of which valid may be missing; else the last fifth,
by name, is for testing. Images may end in .png .jpg .jpeg .bmp .ppm .webp; disparities are .pfm, .npy
(infinite or NaN where unknown) or 16-bit .png as KITTI's (256 times the disparity, 0 where unknown). They
are positive: what the left image shows at x, the right one shows at x - disparity. A folder PATH/mask, or
mask0nocc.png of a scene, tells where they count: where its pixels are not black.

KITTI 2015: `stereo_folder(PATH, left=image_2, right=image_3, disparity=disp_occ_0)`.
"""

from rdarts_tf.tasks.disparity import files, formats, pairs

TASK = "disparity"
_PARTS = {
    "train": ("train",),
    "valid": ("valid", "validation", "val"),
    "test": ("test",),
}
_TRUTHS = ("disp0GT.pfm", "disp0.pfm")
_TEST_SHARE = 5


def load(
    path,
    *,
    data_dir=None,
    left="left",
    right="right",
    disparity="disparity",
    encoding=None,
    negative=False,
    half=False,
):
    """Lists the files; pairs are read when they are asked for.

    Args:
        path: of the folder; if relative, then to `data_dir`.
        data_dir: None is the working directory.
        left, right, disparity: names of the folders of the first layout.
        encoding: of the disparities: pfm, npy, kitti or sintel; None: as their suffix tells.
        negative: the files have x_right - x_left.
        half: at half size.
    Returns:
        tasks.disparity.pairs.Data.
    Raises:
        UserError: the files are not there, or cannot be used.
    """
    pairs.check_booleans(negative=negative, half=half)
    if encoding is not None and encoding not in formats.ENCODINGS:
        raise pairs.PairsError(
            f"unknown encoding {encoding!r}; there are: {', '.join(formats.ENCODINGS)}"
        )
    root = files.resolved(path, data_dir)
    if not root.is_dir():
        raise pairs.PairsError(f"there is no folder {root}; give the one that holds the pairs")
    options = {"encoding": encoding, "sign": -1 if negative else 1}
    parts = {
        part: next((root / name for name in names if (root / name).is_dir()), None)
        for part, names in _PARTS.items()
    }
    folders = (left, right, disparity)
    if parts["train"] and not parts["test"]:
        raise pairs.PairsError(f"{root} has a folder train but none called test; add one")
    if parts["train"]:
        lists = [part and _list(part, folders, options) for part in parts.values()]
    else:
        found = _list(root, folders, options)
        count = len(found) - max(len(found) // _TEST_SHARE, 1)
        lists = [found[:count], None, found[count:]]
    found = files.data(f"stereo_folder({path})", root, *lists)
    return found.halved() if half else found


def _list(root, folders, options):
    """PairFiles of a folder, sorted."""
    if all((root / name).is_dir() for name in folders):
        return _by_view(root, *(root / name for name in folders), options)
    scenes = [folder for folder in _visible(root) if _truth(folder)]
    if scenes:
        return [_scene(folder, options) for folder in scenes]
    raise pairs.PairsError(
        f"{root} has neither the folders {', '.join(folders)} nor scenes with im0.png, im1.png and "
        f"{_TRUTHS[1]}; give the folder that has"
    )


def _by_view(root, left, right, disparity, options):
    masks = root / "mask"
    found = []
    for file in _visible(disparity):
        views = [_image(folder, file) for folder in (left, right)]
        visible = _image(masks, file) if masks.is_dir() else None
        found.append(files.PairFiles(*views, file, visible=visible, **options))
    return found


def _image(folder, file):
    """The image of a folder that has the name of another file."""
    names = [folder / f"{file.stem}{suffix}" for suffix in formats.IMAGES]
    return next((name for name in names if name.exists()), names[0])


def _scene(folder, options):
    mask = folder / "mask0nocc.png"
    return files.PairFiles(
        folder / "im0.png",
        folder / "im1.png",
        _truth(folder),
        visible=mask if mask.exists() else None,
        **options,
    )


def _truth(folder):
    return next((folder / name for name in _TRUTHS if (folder / name).is_file()), None)


def _visible(folder):
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
