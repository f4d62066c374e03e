"""Image classification as a task: one supernet or derived network, and how images train it."""

import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.drawing import plots
from rdarts_tf.tasks import base
from rdarts_tf.tasks.image_classification import augment, by_class, data, kept, metrics, streams
from rdarts_tf.tasks.image_classification.derived_network import derived, stem_for
from rdarts_tf.tasks.image_classification.options import METRICS, SCORE
from rdarts_tf.tasks.image_classification.supernet import Supernet


class Classification(base.Problem):
    """What searches and evaluations share: mean cross entropy and accuracy of (images, labels).

    Args:
        config: options.SearchConfig or EvaluateConfig.
        dataset: data.Dataset.
        seed: of data order and augmentation.
        train, scored: data.Splits.
    """

    METRICS, SCORE = METRICS, SCORE

    def __init__(self, config, dataset, *, seed, train, scored):
        super().__init__(config, dataset)
        self.seed = seed
        self.train, self.scored = train, scored
        self.num_steps = streams.num_steps(len(train), config.batch_size)
        self.score_steps = streams.num_steps(len(scored), config.batch_size)
        self.cutout_length = augment.cutout_side(config.cutout_length, dataset.image_shape)
        self.class_weights = None
        if config.class_weights == "balanced":
            self.class_weights = by_class.balanced_weights(train.labels, dataset.num_classes)

    def recipe(self):
        return base.Recipe(
            optimizers.momentum_sgd(self.config.momentum), ("momentum",), self.config.grad_clip
        )

    def train_epoch(self, config, epoch, *, first_step=0):
        return self._pass_over(self.train, self.augmentation(config, epoch), epoch, first_step)

    def count(self, batch):
        return tf.size(batch[1])

    def sums(self, outputs, batch):
        logits, labels = outputs, batch[1]
        loss = tf.cast(tf.reduce_sum(metrics.cross_entropy(logits, labels)), tf.float32)
        correct = tf.reduce_sum(metrics.correct(logits, labels))
        return [loss, correct, tf.cast(tf.size(labels), tf.float32)]

    def _pass_over(self, split, augmentation, number, first_step):
        return streams.train_epoch(
            split,
            batch_size=self.config.batch_size,
            augment=augmentation,
            seed=self.seed,
            epoch=number,
            first_step=first_step,
        )

    def augmentation(self, config, epoch):
        """The augment.Augmentation of training images in an epoch."""
        dataset = self.data
        return augment.Augmentation(
            dataset.mean,
            dataset.std,
            crop_padding=dataset.crop_padding,
            flip=dataset.flip,
            cutout_length=self.cutout_length,
            cutout_probability=config.cutout_probability(epoch),
        )

    def _drop_path_prob(self, rates, training):
        """None where the network never drops paths."""
        return rates["drop_path_prob"] if training and self.config.drop_path_prob > 0 else None


class Search(Classification):
    """The bilevel problem on the two halves of the training images.

    Args:
        config: options.SearchConfig with the strongest regularisation that the run may use.
        dataset: data.Dataset.
    Raises:
        UserError: a split that is too small, or a cutout that blanks every image.
    """

    compiled_by_primitive = True

    def __init__(self, config, dataset):
        train, valid = data.split_search(dataset, config.train_portion)
        streams.check_batch_size(config.batch_size, train, name="search training")
        streams.check_batch_size(config.batch_size, valid, name="search validation")
        super().__init__(config, dataset, seed=config.seed, train=train, scored=valid)
        self.space = config.make_space()
        if not config.uses_cutout:
            self.cutout_length = 0

    def network(self):
        config = self.config
        net = Supernet(
            self.space,
            self.data.num_classes,
            channels=config.init_channels,
            num_cells=config.layers,
            stem=stem_for(self.data.image_shape) if config.stem == "auto" else config.stem,
            batch_norm=config.batch_norm,
            dtype=config.dtype,
            name="supernet",
        )
        net.build((None, *self.data.image_shape))
        return net

    def kept_values(self, net):
        height, width = (-(-side // (8 if net.stem else 1)) for side in self.data.image_shape[:2])
        cells = [("reduce" if cell.reduction else "normal", cell.channels) for cell in net.cells]
        return kept.values(self.space, cells, height * width)

    def rates(self, config, epoch):
        """Cosine annealing; drop path rises linearly to the last epoch (Zela et al. 2020, sec. 5.1)."""
        base_rate, least = config.learning_rate, config.learning_rate_min
        return {
            "learning_rate": optimizers.cosine(epoch, config.epochs, base_rate, least),
            "weight_decay": config.weight_decay,
            "drop_path_prob": config.drop_path_prob * config.progress(epoch),
        }

    def search_epoch(self, config, epoch, *, first_step=0):
        return streams.search_epoch(
            self.train,
            self.scored,
            batch_size=config.batch_size,
            augment=self.augmentation(config, epoch),
            seed=self.seed,
            epoch=epoch,
            first_step=first_step,
        )

    def score_epoch(self, config, epoch):
        """The validation split, augmented as in training."""
        return streams.test_epoch(
            self.scored,
            batch_size=config.batch_size,
            augment=self.augmentation(config, epoch),
            seed=self.seed,
            epoch=epoch,
        )

    def sample_epoch(self, config, epoch, number, *, first_step=0):
        """Each pass is permuted, so that a few batches hold all classes, and augmented as in training."""
        return self._pass_over(self.scored, self.augmentation(config, epoch), number, first_step)

    def loss(self, call, batch, carry, *, rates, seed, training, regularized=False, **network):
        images, labels = batch
        drop_path_prob = self._drop_path_prob(rates, training)
        logits = call(images, drop_path_prob=drop_path_prob, seed=seed, **network)
        total = metrics.total_loss(logits, labels, self.class_weights)
        return base.Output(total, logits, carry)


class Evaluation(Classification):
    """A derived network from scratch, with an auxiliary head in training.

    Args:
        config: options.EvaluateConfig, resolved.
        dataset: data.Dataset.
        seed: of data order and augmentation.
    Raises:
        UserError: a split that is too small, or a cutout that blanks every image.
    """

    def __init__(self, config, dataset, *, seed):
        if config.split == "search":
            train, scored = data.split_search(dataset, config.train_portion)
        else:
            train, scored = dataset.train, dataset.test
        streams.check_batch_size(config.batch_size, train, name="training")
        super().__init__(config, dataset, seed=seed, train=train, scored=scored)

    def network(self):
        shape, num_classes = self.data.image_shape, self.data.num_classes
        return derived(self.config, shape, num_classes)

    def facts(self, net):
        return {
            "num_parameters": net.num_parameters(auxiliary=False),
            "num_parameters_with_auxiliary_head": net.num_parameters(),
            "multiply_adds": net.multiply_adds(*self.data.image_shape[:2]),
        }

    def told(self, facts):
        return (
            f"{facts['num_parameters']:,} parameters "
            f"({facts['num_parameters_with_auxiliary_head']:,} with auxiliary head), "
            f"{facts['multiply_adds']:,} multiply-adds; {self.config.layers} cells, "
            f"{self.config.init_channels} channels"
        )

    def examined(self, answers):
        """By class, see `by_class.facts`; a picture of the confusions."""
        names, table, top_5 = self.data.class_names, 0, 0
        for logits, (_, labels) in answers:
            table = table + by_class.confusions(logits, labels)
            top_5 += by_class.in_top_5(logits, labels)
        found, figures = by_class.facts(table, top_5, names), {}
        if "confusions" in found:
            figures["score/confusions"] = plots.confusions(table, names)
        return found, figures

    def rates(self, config, epoch):
        progress = epoch / config.epochs
        return {
            "learning_rate": optimizers.cosine(epoch, config.epochs, config.learning_rate),
            "weight_decay": config.weight_decay,
            "drop_path_prob": config.drop_path_prob * progress,
        }

    def score_epoch(self, config, epoch):
        augmentation = self.augmentation(config, epoch)
        return streams.test_epoch(self.scored, batch_size=config.batch_size, augment=augmentation)

    def loss(self, call, batch, carry, *, rates, seed, training, regularized=False):
        images, labels = batch
        drop_path_prob = self._drop_path_prob(rates, training)
        outputs = call(images, drop_path_prob=drop_path_prob, seed=seed)
        logits, *auxiliary = outputs if training and self.config.auxiliary else (outputs,)
        total = metrics.total_loss(logits, labels, self.class_weights)
        for side in auxiliary:
            weight = tf.cast(self.config.auxiliary_weight, side.dtype)
            total += weight * metrics.total_loss(side, labels, self.class_weights)
        return base.Output(total, logits, carry)
