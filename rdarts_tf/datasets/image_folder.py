"""Your own images, one folder per class: `image_folder(PATH)`, `image_folder(PATH, size=32)`.

    PATH/train/CLASS/*.png  and  PATH/test/CLASS/*.png      (test may be called val or validation)
    PATH/CLASS/*.png                                   (every fifth image of a class is for test)

Files may end in .png .jpg .jpeg .bmp .gif; of an animation the first frame counts.
"""

import concurrent.futures
import pathlib

import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.image_classification import augment, data

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_TEST_FOLDERS = ("test", "val", "validation")


def load(path, *, data_dir=None, size=None, channels=None, crop_padding=4, flip=True):
    """Loads a folder of images, statistics measured on its training part.

    Training images are put into one fixed random order, so that both search splits have every
    class.

    Args:
        path: of the folder; if relative, then to `data_dir`.
        data_dir: None is the working directory.
        size: resize every image to [size, size].
        channels: 1 (grey) or 3 (colour); None does as the first image does.
        crop_padding, flip: as in `data.Dataset`; flip=False for what has a handedness.
    Returns:
        data.Dataset.
    Raises:
        data.DatasetError: no such folder, an unreadable file, sizes differ.
    """
    data.check_size(size)
    if channels not in (None, 1, 3):
        raise data.DatasetError(f"cannot make channels={channels!r}; give 1 (grey) or 3 (colour)")
    root = pathlib.Path(data_dir or ".").expanduser() / pathlib.Path(str(path)).expanduser()
    class_names, train_files, test_files = _list_files(root)
    order = np.random.RandomState(0).permutation(len(train_files))
    files = [train_files[row] for row in order] + test_files
    images = _read(files, root, size=size, channels=channels)
    labels = np.array([class_names.index(file.parent.name) for file in files], np.int32)
    count = len(train_files)
    train = data.Split(images[:count], labels[:count])
    test = data.Split(images[count:], labels[count:])
    mean, std = data.channel_statistics(train.images)
    return data.Dataset(
        f"image_folder({path})",
        train,
        test,
        class_names,
        mean,
        std,
        crop_padding=crop_padding,
        flip=flip,
    )


def _list_files(root):
    """Returns (class_names, train_files, test_files), all sorted."""
    if not root.is_dir():
        raise data.DatasetError(
            f"there is no folder {root}; give the folder that holds the classes"
        )
    if not (root / "train").is_dir():
        classes = _classes(root)
        files = [(i % 5 == 1, file) for files in classes.values() for i, file in enumerate(files)]
        train = [file for for_test, file in files if not for_test]
        return tuple(classes), train, [file for for_test, file in files if for_test]
    test_root = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    if test_root is None:
        raise data.DatasetError(
            f"{root} has a folder train but none called {', '.join(_TEST_FOLDERS)}; add one, or put "
            "the classes directly below and a fifth is set aside"
        )
    classes, test_classes = _classes(root / "train"), _classes(test_root)
    unknown = sorted(set(test_classes) - set(classes))
    if unknown:
        raise data.DatasetError(
            f"{test_root} has the class {unknown[0]!r}, which {root / 'train'} lacks; both need the "
            "same class folders"
        )
    train = [file for files in classes.values() for file in files]
    return tuple(classes), train, [file for files in test_classes.values() for file in files]


def _classes(folder):
    """{class name: files}, both sorted."""
    folders = [path for path in _visible(folder) if path.is_dir()]
    if not folders:
        raise data.DatasetError(f"{folder} has no class folders; put images in {folder}/CLASS")
    classes = {
        path.name: [file for file in _visible(path) if file.suffix.lower() in _SUFFIXES]
        for path in folders
    }
    empty = [name for name, files in classes.items() if not files]
    if empty:
        raise data.DatasetError(
            f"{folder / empty[0]} holds no image; add some ({' '.join(_SUFFIXES)}) or remove it"
        )
    return classes


def _visible(folder):
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read(files, root, *, size, channels):
    """Decodes every file once -> uint8 [n, h, w, c]."""
    channels = channels or (1 if _decode(files[0]).shape[-1] <= 2 else 3)

    def read(file):
        with tf.device("CPU:0"):  # holds for one thread only
            image = _with_channels(_decode(file), channels)
            return (image if size is None else augment.resize(image, size)).numpy()

    height, width = read(files[0]).shape[:2]
    images = np.empty((len(files), height, width, channels), np.uint8)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for row, image in enumerate(pool.map(read, files)):
            if image.shape[:2] != (height, width):
                raise data.DatasetError(
                    f"{files[0]} is {height}x{width} but {files[row]} is "
                    f"{image.shape[0]}x{image.shape[1]}; resize them with "
                    f"image_folder({root}, size=32)"
                )
            images[row] = image
    return images


def _decode(file):
    """uint8 [h, w, channels of the file]."""
    try:
        return tf.io.decode_image(file.read_bytes(), expand_animations=False)
    except (OSError, tf.errors.InvalidArgumentError) as error:
        raise data.DatasetError(
            f"cannot read the image {file} ({type(error).__name__}); repair or remove it"
        ) from error


def _with_channels(image, channels):
    """Drops transparency and converts between grey and colour."""
    image = image[..., :1] if image.shape[-1] <= 2 else image[..., :3]
    if image.shape[-1] == channels:
        return image
    return tf.image.grayscale_to_rgb(image) if channels == 3 else tf.image.rgb_to_grayscale(image)
