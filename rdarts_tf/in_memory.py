"""Images of a Python caller, see docs/python_api.md."""

from rdarts_tf.datasets import arrays


class Dataset:
    """Images of your own, in memory; `from_arrays` makes one.

    Attributes:
        data: tasks.image_classification.data.Dataset.
        spec: "arrays(NAME_DIGEST)", as --dataset of the runs that hold it.
    """

    def __init__(self, data):
        self.data = data
        self.spec = f"arrays({arrays.folder_name(data)})"

    @classmethod
    def from_arrays(
        cls,
        x_train,
        y_train,
        x_test,
        y_test,
        *,
        class_names=None,
        name="arrays",
        crop_padding=4,
        flip=True,
    ):
        """Checks arrays; a search stores them in its run directory.

        Args:
            x_train, x_test: uint8 [n, height, width] or [n, height, width, channels]; floats are
                refused, since their scale would have to be guessed.
            y_train, y_test: integers [n], classes numbered from 0 on.
            class_names: a text for each class; default: the numbers.
            name: in messages and reports.
            crop_padding, flip: what training augments with; flip=False for what has a handedness.
        Raises:
            UserError: something does not fit.
        """
        options = {"class_names": class_names, "name": name}
        options |= {"crop_padding": crop_padding, "flip": flip}
        return cls(arrays.from_arrays(x_train, y_train, x_test, y_test, **options))

    def __repr__(self):
        d = self.data
        shape = "x".join(map(str, d.image_shape))
        return (
            f"Dataset {self.spec}: {len(d.train)} training and {len(d.test)} test images of {shape}, "
            f"{d.num_classes} classes"
        )
