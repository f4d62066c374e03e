"""The inner loop of a search: blocks of search steps, a tf.function."""

import functools

import tensorflow as tf

from rdarts_tf import bilevel, optimizers
from rdarts_tf.engine import distribution
from rdarts_tf.engine.weight_steps import (
    ALPHA_MINUS,
    ALPHA_PLUS,
    ALPHA_TRAIN,
    ALPHA_VALID,
    VALIDATE,
    WEIGHT,
    WeightTraining,
    assign,
    share_of_mean,
    zeros_like,
)
from rdarts_tf.tasks.image_classification import metrics


class Search(WeightTraining):
    """State of a search beyond the network, and the steps that move it.

    Args:
        net: built Supernet.
        config: config.SearchConfig.
        strategy: in whose scope the network was built.
    """

    def __init__(self, net, *, config, strategy):
        gpus = len(tf.config.list_logical_devices("GPU"))
        super().__init__(
            net,
            config=config,
            strategy=strategy,
            seed=config.seed,
            jit=config.jit(net.space, gpus=gpus),
        )
        alpha = list(net.alphas.values())
        self.alpha_dtype = alpha[0].value.dtype
        self.drops_paths = config.make_method().max_drop_path_prob(config) > 0
        with strategy.scope():
            self.adam_m = [zeros_like(v) for v in alpha]
            self.adam_v = [zeros_like(v) for v in alpha]
            self.adam_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._run_search_step = self._compiled(self._search_step)

    def variables(self):
        named = super().variables()
        for i, name in enumerate(self.net.alphas):
            named[f"adam/m/{name}"], named[f"adam/v/{name}"] = self.adam_m[i], self.adam_v[i]
        return named | {"adam/step": self.adam_step}

    @tf.function
    def search_block(self, iterator, first, last, epoch, rates):
        """Runs the steps first .. last - 1 of an epoch, or up to the first loss that is not finite.

        Args:
            iterator: of (train_images, train_labels, valid_images, valid_labels), global batches.
            first, last, epoch: int32 scalars.
            rates: {"learning_rate", "weight_decay", "drop_path_prob"}: float32 scalars.
        Returns:
            (int32 the first step that was not run, float32 the loss of the last one that was).
        """
        return self._run_block(self._run_search_step, iterator, first, last, epoch, rates)

    def _search_step(self, batch, step, epoch, rates):
        """An alpha step, then a weight step on the same training batch (Liu et al. 2019, alg. 1)."""
        key = functools.partial(self.key, epoch, step)
        train, valid = batch[:2], batch[2:]
        loss = functools.partial(self.loss, drop_path_prob=rates["drop_path_prob"])
        self._alpha_step(
            [loss(train, key(use)) for use in self._train_uses()],
            loss(valid, key(ALPHA_VALID)),
            rates,
        )
        weight_loss, (_, alpha) = loss(train, key(WEIGHT), keep=True), self.parameters()
        _, labels = distribution.local_part(train)
        return self._weight_step(lambda w: weight_loss(w, alpha), labels, rates)

    def _train_uses(self):
        """Draws of the training loss at w, w+ and w- (the authors' code draws each time afresh)."""
        independent = self.config.independent_noise
        return (ALPHA_TRAIN, ALPHA_PLUS, ALPHA_MINUS) if independent else (ALPHA_TRAIN,) * 3

    def loss(self, batch, key, *, drop_path_prob, path=None, keep=False):
        """This replica's share of the loss of a batch, BatchNorm in training mode.

        Args:
            batch: the global (images, labels), of which the replica takes its part.
            key: of all random draws.
            drop_path_prob: scalar; not used where the method never drops paths.
            path: {cell type: [E, K]} of 0 and 1, the sampled edge weights; None: softmax(alpha).
            keep: whether the logits and the moved BatchNorm statistics are wanted, too.
        Returns:
            (w, alpha) -> loss, or (loss, logits, statistics).
        """
        images, labels = distribution.local_part(batch)
        scale = share_of_mean(batch[1])
        drop_path_prob = drop_path_prob if self.drops_paths else None

        def loss(w, alpha):
            state = [v.value for v in self.net.non_trainable_variables]
            logits, state = self.net.stateless_call(
                w,
                state,
                images,
                edge_weights=self._edge_weights(alpha) if path is None else path,
                sampled=path is not None,
                drop_path_prob=drop_path_prob,
                seed=key,
                training=True,
            )
            losses = metrics.cross_entropy(logits, labels)
            value = tf.cast(scale, losses.dtype) * tf.reduce_sum(losses)
            return (value, logits, [state[i] for i in self.statistics]) if keep else value

        return loss

    def _edge_weights(self, alpha):
        return {t: tf.nn.softmax(a) for t, a in zip(self.net.alphas, alpha, strict=True)}

    def _alpha_step(self, train_losses, valid_loss, rates):
        config, w, alpha = self.config, *self.parameters()
        sgd = self._sgd(rates)

        def weight_step(w, g):
            return sgd(w, g)[0]

        common = {"weight_step": weight_step, "all_mean": distribution.all_mean}
        if config.alpha_step == "finite_difference":
            g = bilevel.finite_difference(
                train_losses,
                valid_loss,
                w,
                alpha,
                xi=tf.cast(rates["learning_rate"], w[0].dtype),
                radius=config.finite_difference_radius,
                **common,
            )
        else:
            gradient = {"exact": bilevel.exact, "first_order": bilevel.first_order}
            g = gradient[config.alpha_step](train_losses[0], valid_loss, w, alpha, **common)
        alpha, m, v = optimizers.adam(
            alpha,
            [tf.convert_to_tensor(x) for x in self.adam_m],
            [tf.convert_to_tensor(x) for x in self.adam_v],
            g,
            step=self.adam_step.assign_add(1),
            learning_rate=config.arch_learning_rate,
            beta_1=0.5,
            beta_2=0.999,
            weight_decay=config.arch_weight_decay,
        )
        assign(self.net.alphas.values(), alpha)
        assign(self.adam_m, m)
        assign(self.adam_v, v)

    def parameters(self):
        """(w, alpha) as lists of tensors."""
        w = [tf.convert_to_tensor(v.value) for v in self.net.trainable_variables]
        return w, [tf.convert_to_tensor(v.value) for v in self.net.alphas.values()]


class PathSearch(Search):
    """A search that trains and validates one sampled path a batch; alpha stays as it was initialised.

    The elements of its iterators are (images, labels, path), global batches and {cell type: [E, K]}.
    Operations that are not on the path have no gradient, but weight decay and momentum move them.
    Differs from: the authors compute all operations and multiply by 0 and 1, so that the BatchNorm
        statistics of all of them move with every batch; here those of the path.
    """

    def _search_step(self, batch, step, epoch, rates):
        """A weight step."""
        train, key = batch[:2], self.key(epoch, step, WEIGHT)
        loss = self.loss(
            train, key, drop_path_prob=rates["drop_path_prob"], path=batch[2], keep=True
        )
        _, alpha = self.parameters()
        _, labels = distribution.local_part(train)
        return self._weight_step(lambda w: loss(w, alpha), labels, rates)

    def _validate_step(self, batch, step, epoch):
        images, labels = distribution.local_part(batch[:2])
        key = self.key(epoch, step, VALIDATE)
        logits = self.net(images, edge_weights=batch[2], sampled=True, seed=key, training=False)
        self._count(logits, labels)
