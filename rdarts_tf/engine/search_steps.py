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
    zeros_like,
)
from rdarts_tf.layers import batch_norm, traced_once


class Search(WeightTraining):
    """State of a search beyond the network, and the steps that move it.

    Args:
        problem: tasks.base.Problem of a search.
        net: its built network, with alphas.
        config: config.search.SearchConfig.
        strategy: in whose scope the network was built.
    """

    def __init__(self, problem, net, *, config, strategy):
        super().__init__(problem, net, config=config, strategy=strategy, seed=config.seed)
        alpha = list(net.alphas.values())
        self.alpha_dtype = alpha[0].value.dtype
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
            iterator: of (training batch, validation batch), global ones.
            first, last, epoch: int32 scalars.
            rates: {name: float32 scalar}, "learning_rate" among them.
        Returns:
            (int32 the first step that was not run, float32 the loss of the last one that was).
        """
        return self._run_block(self._run_search_step, iterator, first, last, epoch, rates)

    def _search_step(self, batch, step, epoch, rates):
        """An alpha step, then a weight step on the same training batch (Liu et al. 2019, alg. 1)."""
        (train, valid), w = batch, self.weights()
        key, rates = functools.partial(self.key, epoch, step), self.scaled(rates, train)
        forward = functools.partial(self.forward, rates=rates)
        at_w, *beside = [forward(train, key(use), stream="train") for use in self._train_uses()]
        with batch_norm.statistics_kept():
            self._alpha_step(
                w,
                [_value(at_w), *(_value(_of_alpha(at)) for at in beside)],
                forward(valid, key(ALPHA_VALID), stream="valid"),
                rates,
            )
        last = forward(train, key(WEIGHT), stream="train", regularized=True)
        alpha = self.alpha()
        return self._weight_step(w, lambda w: last(w, alpha), train, rates)

    def _train_uses(self):
        """Draws of the training loss at w, w+ and w- (the authors' code draws each time afresh)."""
        independent = self.config.independent_noise or self.recipe.alpha_step.independent_noise
        return (ALPHA_TRAIN, ALPHA_PLUS, ALPHA_MINUS) if independent else (ALPHA_TRAIN,) * 3

    def forward(self, batch, key, *, rates, stream, path=None, regularized=False):
        """The network on a global batch as a function of (w, alpha), BatchNorm in training mode.

        Args:
            key: of all random draws.
            rates: {name: scalar}.
            stream: whose carry it starts from.
            path: {cell type: [E, K]} of 0 and 1, the sampled edge weights; None: softmax(alpha).
            regularized: see `tasks.base.Problem.loss`.
        Returns:
            (w, alpha) -> weight_steps.Pass.
        """

        def at(w, alpha):
            return self._pass(
                w,
                batch,
                key,
                rates=rates,
                training=True,
                stream=stream,
                regularized=regularized,
                edge_weights=self._edge_weights(alpha) if path is None else path,
                sampled=path is not None,
            )

        return at

    def loss(self, batch, key, *, rates):
        """(w, alpha) -> this replica's share of the validation loss of a global batch, see `forward`.

        It has derivatives in alpha only, and moves no statistics.
        """
        at = _of_alpha(self.forward(batch, key, rates=rates, stream="valid"))

        def loss(w, alpha):
            with batch_norm.statistics_kept():
                return at(w, alpha).value

        return loss

    def _edge_weights(self, alpha):
        return {t: tf.nn.softmax(a) for t, a in zip(self.net.alphas, alpha, strict=True)}

    def _alpha_step(self, w, train_losses, valid, rates):
        """Moves alpha and keeps the carry of the validation stream.

        Args:
            w: `weights`.
            train_losses: (w, alpha) -> scalar at w, w+ and w-.
            valid: (w, alpha) -> Pass.
        """
        config, alpha, carries = self.config, self.alpha(), []
        update, own = self._update(rates), self.recipe.alpha_step
        valid_at = _of_alpha(valid) if config.alpha_step == "first_order" else valid

        def valid_loss(w, alpha):
            found = valid_at(w, alpha)
            carries.append(found.carry)
            return found.value

        common = {
            "weight_step": lambda w, g: own.step(lambda w, g: update(w, g)[0], w, g),
            "all_mean": distribution.all_mean,
        }
        if config.alpha_step == "finite_difference":
            xi = tf.cast(rates["learning_rate"], w[0].dtype)
            g = bilevel.finite_difference(
                train_losses,
                valid_loss,
                w,
                alpha,
                xi=(lambda g: xi * own.factor(g)) if own.factor else xi,
                radius=config.finite_difference_radius,
                direction=own.direction or bilevel.identity,
                **common,
            )
        else:
            gradient = {"exact": bilevel.exact, "first_order": bilevel.first_order}
            train_loss = _differentiated_once(train_losses[0])
            g = gradient[config.alpha_step](train_loss, valid_loss, w, alpha, **common)
        beta_1, beta_2 = self.recipe.alpha_betas
        alpha, m, v = optimizers.adam(
            alpha,
            [tf.convert_to_tensor(x) for x in self.adam_m],
            [tf.convert_to_tensor(x) for x in self.adam_v],
            g,
            step=self.adam_step.assign_add(1),
            learning_rate=config.arch_learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            weight_decay=config.arch_weight_decay,
        )
        assign(self.net.alphas.values(), alpha)
        assign(self.adam_m, m)
        assign(self.adam_v, v)
        self._keep("valid", carries[-1])

    def alpha(self):
        """alpha as a list of tensors, one for each cell type."""
        return [tf.convert_to_tensor(v.value) for v in self.net.alphas.values()]

    def _validate_step(self, batch, step, epoch):
        self._score(
            batch,
            self.key(epoch, step, VALIDATE),
            edge_weights=self._edge_weights(self.alpha()),
            sampled=False,
        )


class PathSearch(Search):
    """A search that trains and validates one sampled path a batch; alpha stays as it was initialised.

    The elements of its iterators are (batch, path), a global batch and {cell type: [E, K]}.
    Operations that are not on the path have no gradient, but weight decay and momentum move them.
    Differs from: the authors compute all operations and multiply by 0 and 1, so that the BatchNorm
        statistics of all of them move with every batch; here those of the path.
    """

    def _search_step(self, batch, step, epoch, rates):
        """A weight step."""
        (train, path), alpha = batch, self.alpha()
        rates = self.scaled(rates, train)
        forward = self.forward(
            train,
            self.key(epoch, step, WEIGHT),
            rates=rates,
            stream="train",
            path=path,
            regularized=True,
        )
        return self._weight_step(self.weights(), lambda w: forward(w, alpha), train, rates)

    def _validate_step(self, batch, step, epoch):
        key = self.key(epoch, step, VALIDATE)
        self._score(batch[0], key, edge_weights=batch[1], sampled=True)


def _of_alpha(forward):
    """A function of (w, alpha) without derivatives in w."""
    return _in(traced_once.weights_held, forward)


def _differentiated_once(loss):
    """A function of (w, alpha) of which nobody asks d^2 / dw^2."""
    return _in(traced_once.weights_differentiated_once, loss)


def _in(context, function):
    def at(w, alpha):
        with context():
            return function(w, alpha)

    return at


def _value(forward):
    """(w, alpha) -> Pass as (w, alpha) -> its loss."""
    return lambda w, alpha: forward(w, alpha).value
