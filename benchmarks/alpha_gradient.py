"""The second-order term by finite difference against the exact one, from a searched checkpoint.

    python benchmarks/alpha_gradient.py --run_dir=RUN [--batches=3] [--precision=float32]

Prints, for each radius R of w +- R v / ||v||, the norm of the implicit term
xi (d^2 L_train / d alpha d w) v by finite difference, its cosine to the exact one and its relative
error; of a run with noise or drop path also with draws that differ between w+ and w-, as in the
authors' code. Everything is as in the last epoch of the checkpoint, without cutout.
"""

import argparse
import functools
import gc

import rdarts_tf  # isort: skip  # noqa: F401 - before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf

from rdarts_tf import bilevel, optimizers
from rdarts_tf.config import search as config_lib
from rdarts_tf.engine import distribution
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import augment, data, streams, supernet, task
from rdarts_tf.tasks.image_classification.metrics import cross_entropy

TRAIN, VALID, PLUS, MINUS = ([1, use] for use in range(4))  # seeds of the random draws


class Problem:
    """The two losses and the weight step at a checkpoint.

    Attributes:
        w, alpha: lists of tensors.
        xi: learning rate of the virtual step.
        random: whether the training loss draws at random.
    """

    def __init__(self, settings, dataset, *, arrays, epoch, precision):
        self.net, self.momentum = _load(settings, dataset, arrays, precision)
        self.w = [tf.convert_to_tensor(v.value) for v in self.net.trainable_variables]
        self.alpha = [tf.convert_to_tensor(a.value) for a in self.net.alphas.values()]
        self.settings = settings
        in_force = settings.make_method().in_force(settings, epoch)
        self.rates = task.Search(settings, dataset).rates(in_force, epoch)
        self.xi = self.rates["learning_rate"]
        rows = self.net.space.primitives.values()
        noisy = any("noise" in names for by_edge in rows for names in by_edge)
        self.random = noisy or self.rates["drop_path_prob"] > 0

    def loss(self, w, alpha, images, labels, seed):
        logits, _ = self.net.stateless_call(
            w,
            [v.value for v in self.net.non_trainable_variables],
            images,
            edge_weights=dict(zip(self.net.alphas, map(tf.nn.softmax, alpha), strict=True)),
            drop_path_prob=self.rates["drop_path_prob"] or None,
            seed=seed,
            training=True,
        )
        return tf.reduce_mean(cross_entropy(logits, labels))

    def weight_step(self, w, g):
        return optimizers.sgd(
            w,
            self.momentum,
            g,
            learning_rate=self.xi,
            momentum=self.settings.momentum,
            weight_decay=self.rates["weight_decay"],
        )[0]


def differences(problem, batches, radii):
    """[the direct term of each batch], [{(radius, draws): gradient} of each batch].

    Only the first derivative of one loss is traced, for training and validation, all points and
    radii.
    """
    w, alpha, loss = problem.w, problem.alpha, tf.function(problem.loss)
    direct, gradients = [], []
    for train_batch, valid_batch in batches:
        train, plus, minus = (_at(loss, train_batch, seed) for seed in (TRAIN, PLUS, MINUS))
        valid = _at(loss, valid_batch, VALID)
        virtual = problem.weight_step(w, bilevel.gradient(train, w, alpha, of=w))
        direct.append(_flat(bilevel.first_order(None, valid, virtual, alpha)))
        draws = {"same": [train] * 3} | ({"own": [train, plus, minus]} if problem.random else {})
        gradients.append(
            {
                (radius, name): _difference(problem, losses, valid, radius)
                for name, losses in draws.items()
                for radius in radii
            }
        )
    return direct, gradients


def _difference(problem, train_losses, valid_loss, radius):
    return _flat(
        bilevel.finite_difference(
            train_losses,
            valid_loss,
            problem.w,
            problem.alpha,
            weight_step=problem.weight_step,
            xi=problem.xi,
            radius=radius,
        )
    )


def exact(problem, batches):
    """[the exact gradient of each batch]."""

    @tf.function
    def gradient(train_batch, valid_batch):
        train = _at(problem.loss, train_batch, TRAIN)
        valid = _at(problem.loss, valid_batch, VALID)
        step = problem.weight_step
        return bilevel.exact(train, valid, problem.w, problem.alpha, weight_step=step)

    return [_flat(gradient(*batch)) for batch in batches]


def _at(loss, batch, seed):
    """(w, alpha) -> loss of a batch."""
    images, labels = batch
    return functools.partial(loss, images=images, labels=labels, seed=tf.constant(seed))


def _flat(tensors):
    return np.concatenate([x.numpy().ravel() for x in tensors])


def _load(settings, dataset, arrays, precision):
    """The network with the checkpoint's state, and the momentum buffers."""
    net = supernet.Supernet(
        settings.make_space(),
        dataset.num_classes,
        channels=settings.init_channels,
        num_cells=settings.layers,
        dtype=precision,
        name="supernet",
    )
    net.build((None, *dataset.image_shape))
    named = {v.path.split("/", 1)[1]: v for v in net.variables}
    for name, array in arrays.items():
        kind, _, path = name.partition("/")
        if kind in ("weights", "state"):
            named[path].assign(array)
    order = [v.path.split("/", 1)[1] for v in net.trainable_variables]
    return net, [tf.constant(arrays[f"momentum/{path}"], precision) for path in order]


def _batches(settings, dataset, epoch, args):
    """[((images, labels) for training, the same for validation)]."""
    train, valid = data.split_search(dataset, settings.train_portion)
    transform = augment.Augmentation(
        dataset.mean, dataset.std, crop_padding=dataset.crop_padding, flip=dataset.flip
    )
    epoch = streams.search_epoch(
        train,
        valid,
        batch_size=settings.batch_size,
        augment=transform,
        seed=settings.seed,
        epoch=epoch,
    )
    return [
        ((tf.cast(a, args.precision), b), (tf.cast(c, args.precision), d))
        for (a, b), (c, d) in epoch.take(args.batches)
    ]


def _row(index, radius, draws, exact, difference):
    norms = np.linalg.norm(exact), np.linalg.norm(difference)
    cosine = exact @ difference / (norms[0] * norms[1])
    error = np.linalg.norm(difference - exact) / norms[0]
    numbers = f"{norms[0]:.3g} | {norms[1]:.3g} | {cosine:.2f} | {error:.3g}"
    return f"| {index} | {radius} | {draws} | {numbers} |"


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--radii", type=float, nargs="+", default=[0.1, 0.01, 0.001])
    parser.add_argument("--precision", choices=("float32", "float64"), default="float64")
    args = parser.parse_args(argv)
    distribution.configure_runtime()
    run_dir = RunDir(args.run_dir)
    settings = config_lib.of_record(run_dir.read_json("config.json"))
    (num_epochs, _), arrays = run_dir.load_newest_checkpoint(print)
    epoch = max(num_epochs - 1, 0)
    dataset = settings.load_dataset()
    problem = Problem(settings, dataset, arrays=arrays, epoch=epoch, precision=args.precision)
    batches = _batches(settings, dataset, epoch, args)
    direct, by_difference = differences(problem, batches, args.radii)
    gc.collect()  # frees the graphs: at real size both together would not fit into 12 GiB
    by_derivative = exact(problem, batches)
    print(f"{args.run_dir}, epoch {epoch}, {args.precision}")
    print("| batch | radius | draws | norm exact | norm difference | cosine | relative error |")
    print("|---|---|---|---|---|---|---|")
    for index, d in enumerate(direct):
        for (radius, draws), difference in by_difference[index].items():
            print(_row(index, radius, draws, by_derivative[index] - d, difference - d))


if __name__ == "__main__":
    main()
