"""The outer loop of retraining: epochs and records."""

import dataclasses
import time

import keras
import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.engine import evaluation_steps, summaries
from rdarts_tf.engine.epochs import EpochRun
from rdarts_tf.runs.progress import Stop
from rdarts_tf.tasks.image_classification import augment, data


class RetrainingRun(EpochRun):
    """One training, with one seed, in its run directory.

    Args:
        config: evaluate_config.EvaluateConfig, resolved.
        run_dir: run_dir.RunDir, created; a checkpoint in it is taken up.
        dataset: datasets.base.Dataset.
        strategy: tf.distribute.Strategy.
        seed: of initialisation, data order, augmentation, noise and drop path.
        say: called with each line for the user.
    Raises:
        UserError: before any work.
    """

    def __init__(self, config, run_dir, *, dataset, strategy, seed, say=print):
        self.config, self.run_dir, self.say = config, run_dir, say
        self.dataset, self.seed = dataset, seed
        self.train, self.scored = splits(config, dataset)
        self.num_steps = data.num_steps(len(self.train), config.batch_size)
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            self.net = evaluation_steps.make_network(
                config, dataset.image_shape, dataset.num_classes
            )
        self.trainer = evaluation_steps.Retraining(
            self.net, config=config, strategy=strategy, seed=seed
        )
        self.epoch, self.first_step = self._resume()

    def run(self):
        """Trains to the last epoch.

        Returns:
            the last epoch's record, as in metrics.jsonl.
        Raises:
            Interrupted, Diverged.
        """
        self.board = summaries.SearchSummaries(self.run_dir.tensorboard, resume_step=self.epoch)
        hparams = dataclasses.asdict(self.config) | {"seed": self.seed}
        self.board.hparams(hparams)
        with Stop.on_signals() as self.stop:
            while self.epoch < self.config.epochs:
                self._run_epoch()
        last = self.run_dir.read_metrics()[-1]
        results = {"score_loss": last["score/loss"], "score_error": 1 - last["score/accuracy"]}
        self.board.hparams(hparams, results, step=self.config.epochs)
        self.board.close()
        return last

    def _run_epoch(self):
        config, epoch, start = self.config, self.epoch, time.monotonic()
        rates = {
            "learning_rate": optimizers.cosine(epoch, config.epochs, config.learning_rate),
            "weight_decay": config.weight_decay,
            "drop_path_prob": config.drop_path_prob * epoch / config.epochs,
        }
        augmentation, steps = make_augmentation(config, self.dataset), self.num_steps
        steps -= self.first_step
        loss, accuracy = self._train_epoch(augmentation, rates)
        step_seconds = (time.monotonic() - start) / max(steps, 1)
        batches = data.test_epoch(self.scored, batch_size=config.batch_size, augment=augmentation)
        score_loss, score_accuracy = self._score(
            batches,
            label="scoring",
            num_steps=data.num_steps(len(self.scored), config.batch_size),
        )
        self.epoch, self.first_step = epoch + 1, 0
        row = {
            "epoch": epoch,
            "train/loss": loss,
            "train/accuracy": accuracy,
            "score/loss": score_loss,
            "score/accuracy": score_accuracy,
            **{f"train/{name}": rate for name, rate in rates.items()},
            "train/step_seconds": step_seconds,
        }
        self._record(row)

    def _train_epoch(self, augmentation, rates):
        """(mean loss, accuracy) of the epoch's training batches; the auxiliary head does not count."""
        epoch = self.epoch
        batches = data.train_epoch(
            self.train,
            batch_size=self.config.batch_size,
            augment=augmentation,
            seed=self.seed,
            epoch=epoch,
            first_step=self.first_step,
        )
        iterator, block = iter(batches), self.trainer.train_block
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        return self._train_blocks(
            lambda first, last: block(iterator, first, last, tf.constant(epoch), rates)
        )

    def _record(self, row):
        """Writes a finished epoch: files first, the checkpoint last, since it decides where to resume."""
        self.run_dir.append_metrics(row)
        self.board.epoch(row["epoch"], scalars={k: v for k, v in row.items() if k != "epoch"})
        self.board.flush()
        if self.epoch % self.config.checkpoint_every == 0 or self.epoch == self.config.epochs:
            self._checkpoint(0)
        self.say(
            f"epoch {self.epoch}/{self.config.epochs}: loss {row['train/loss']:.4f}, "
            f"accuracy {row['train/accuracy']:.4f}, {self.config.split} error "
            f"{100 * (1 - row['score/accuracy']):.2f} %, {row['train/step_seconds']:.2f} s/step"
        )


def splits(config, dataset):
    """(training split, split that is scored), large enough for a batch.

    Raises:
        DatasetError.
    """
    if config.split == "search":
        train, scored = data.split_search(dataset, config.train_portion)
    else:
        train, scored = dataset.train, dataset.test
    data.check_batch_size(config.batch_size, train, name="training")
    return train, scored


def make_augmentation(config, dataset):
    """Crop, flip and cutout as the data set and the configuration say.

    Raises:
        UserError: a cutout that would blank every image.
    """
    return augment.Augmentation(
        dataset.mean,
        dataset.std,
        crop_padding=dataset.crop_padding,
        flip=dataset.flip,
        cutout_length=augment.cutout_side(config.cutout_length, dataset.image_shape),
    )
