"""Your own images: `image_folder(PATH)`, `image_folder(PATH, size=32)`; docs/own_data.md has the layouts.

PATH/train/CLASS/*.png  and  PATH/test/CLASS/*.png      (or val, valid, validation; any format of Pillow)
PATH/CLASS/*.png                                        (a fifth of each class is set aside for test)
PATH/labels.csv                                         (files and labels)
"""

import pathlib

import numpy as np

from rdarts_tf.tasks.image_classification import data, decoding, folders, pictures

TASK = "image_classification"
STORES = True  # `load` takes a store


def load(
    path,
    *,
    data_dir=None,
    size=None,
    fit="squash",
    channels=None,
    background=None,
    train=None,
    test=None,
    labels=None,
    test_portion=0.2,
    on_error="raise",
    crop_padding=4,
    flip=True,
    store=None,
):
    """Loads a folder of images, statistics measured on its training part.

    Training images are put into one fixed random order, so that both search splits have every
    class.

    Args:
        path: of the folder; if relative, then to `data_dir`.
        data_dir: None is the working directory.
        size, fit, channels, background: see `pictures.Form`.
        train, test: folder or table of a part; None: as its name tells.
        labels: table of files and labels; None: the only one, where there are no class folders.
        test_portion: share of each class that is for test where no part is, see `data.set_aside`.
        on_error: "raise" lists all images that cannot be read, "skip" leaves out at most 1 %.
        crop_padding, flip: as in `data.Dataset`; flip=False for what has a handedness.
        store: storing.Store; None keeps the images in memory.
    Returns:
        data.Dataset.
    Raises:
        data.DatasetError: no such folder, unreadable files, sizes differ.

    Example:
        >>> loaded = load("photos", size=(24, 32), fit="crop", test_portion=0.25)
        >>> loaded.image_shape
        (24, 32, 3)
    """
    data.check_portion(test_portion)
    form = pictures.Form(size, fit, channels, background)
    root = pathlib.Path(data_dir or ".").expanduser() / pathlib.Path(str(path)).expanduser()
    found = folders.find(root, train=train, test=test, labels=labels)
    if found.test is None:
        found = folders.with_test(found, test_portion)
    order = np.random.RandomState(0).permutation(len(found.train))
    parts = {"train": [found.train[row] for row in order], "test": found.test}
    name = f"image_folder({path})"
    images, kept, notes = decoding.read(parts, form, name=name, on_error=on_error, store=store)
    numbers = {name: number for number, name in enumerate(found.class_names)}
    splits = {
        part: data.Split(
            images[part], np.array([numbers[label] for _, label in kept[part]], np.int32)
        )
        for part in parts
    }
    mean, std = data.channel_statistics(splits["train"].images)
    return data.Dataset(
        name,
        splits["train"],
        splits["test"],
        found.class_names,
        mean,
        std,
        crop_padding=crop_padding,
        flip=flip,
        notes=(f"{name}: {folders.told(kept, found)}", *notes),
    )
