"""MPI Sintel, the stereo data of its training scenes: 1,064 pairs, 1024x436, for testing only.

Butler et al. 2012. The data are not shipped: data_dir/sintel_stereo/ has

    training/{clean,final}_{left,right}/SCENE/frame_NNNN.png
    training/disparities/SCENE/frame_NNNN.png
    training/{occlusions,outofframe}/SCENE/frame_NNNN.png           (needed for occluded=False)
"""

from rdarts_tf.tasks.disparity import files, pairs

TASK = "disparity"
_DEFAULT = "~/tensorflow_datasets"


def load(path="sintel_stereo", *, data_dir=None, final=False, occluded=True):
    """Lists the files; pairs are read when they are asked for.

    Args:
        path: of the folder; if relative, then to `data_dir`.
        final: the final pass instead of the clean one.
        occluded: pixels count that the right image does not show.
    Returns:
        tasks.disparity.pairs.Data with a test part only.
    Raises:
        UserError: the files are not there, or cannot be used.
    """
    pairs.check_booleans(final=final, occluded=occluded)
    root = files.resolved(path, data_dir, _DEFAULT) / "training"
    found = sorted((root / "disparities").glob("*/*.png"))
    if not found:
        raise pairs.PairsError(
            f"there is no Sintel in {root.parent}; put the folder training of its stereo data there, with "
            "clean_left, clean_right, disparities, occlusions and outofframe"
        )
    name = "sintel_stereo" + " final" * final + " non-occluded" * (not occluded)
    test = [_pair(root, file, final, occluded) for file in found]
    return files.data(name, root, None, None, test)


def _pair(root, disparity, final, occluded):
    frame = disparity.relative_to(root / "disparities")
    images = [
        root / f"{'final' if final else 'clean'}_{view}" / frame for view in ("left", "right")
    ]
    masks = () if occluded else tuple(root / name / frame for name in ("occlusions", "outofframe"))
    return files.PairFiles(*images, disparity, hidden=masks, encoding="sintel")
