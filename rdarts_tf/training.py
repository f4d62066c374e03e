"""Inner loops: blocks of search steps and of validation steps, each one tf.function.

A block takes an iterator and runs many steps; what changes from epoch to epoch comes in as tensors,
so that nothing is traced twice. Every replica gets the global batch and takes its part.
"""

import functools

import tensorflow as tf

from rdarts_tf import bilevel, distribution, optimizers
from rdarts_tf.tasks import classification

# Streams of random draws, folded into the key of an epoch; the data pipelines use 0 to 4.
ALPHA_TRAIN, ALPHA_VALID, WEIGHT, VALIDATE, ALPHA_PLUS, ALPHA_MINUS = range(16, 22)


class Search:
    """State of a search beyond the network, and the steps that move it.

    Args:
        net: built Supernet.
        config: config.SearchConfig.
        strategy: in whose scope the network was built.
    """

    def __init__(self, net, *, config, strategy):
        self.net, self.config, self.strategy = net, config, strategy
        w, alpha = net.trainable_variables, list(net.alphas.values())
        self.alpha_dtype = alpha[0].value.dtype
        self.drops_paths = config.make_method().max_drop_path_prob(config) > 0
        with strategy.scope():
            self.momentum = [_zeros_like(v) for v in w]
            self.adam_m = [_zeros_like(v) for v in alpha]
            self.adam_v = [_zeros_like(v) for v in alpha]
            self.adam_step = tf.Variable(0, dtype=tf.int64, trainable=False)
            self.totals = [tf.Variable(0.0, trainable=False) for _ in range(3)]
        alphas = {id(v) for v in net.alphas.values()}
        self.statistics = [
            i for i, v in enumerate(net.non_trainable_variables) if id(v) not in alphas
        ]
        self._run_search_step = self._compiled(self._search_step)
        self._run_validate_step = self._compiled(self._validate_step)

    def _compiled(self, step):
        """`step`, on a single device as a function of its own, under XLA if so configured.

        Inlined into the loop of a block it would be copied and optimised with it once more, which
        costs memory and seconds for a graph of second derivatives.
        """
        if self.strategy.num_replicas_in_sync > 1:
            return tf.autograph.experimental.do_not_convert(step)
        gpus = len(tf.config.list_logical_devices("GPU"))
        jit = self.config.jit(self.net.space, gpus=gpus)
        options = {"jit_compile": True} if jit else {"experimental_attributes": {"_noinline": True}}
        return tf.function(step, autograph=False, **options)

    def variables(self):
        """{name: variable} of everything that a checkpoint holds."""
        net, named = self.net, {}
        for v, m in zip(net.trainable_variables, self.momentum, strict=True):
            named[f"weights/{_path(v)}"], named[f"momentum/{_path(v)}"] = v.value, m
        for v in net.non_trainable_variables:
            named[f"state/{_path(v)}"] = v.value
        for i, name in enumerate(net.alphas):
            named[f"adam/m/{name}"], named[f"adam/v/{name}"] = self.adam_m[i], self.adam_v[i]
        named["adam/step"] = self.adam_step
        named |= {f"totals/{i}": v for i, v in enumerate(self.totals)}
        return named

    def reset_totals(self):
        for total in self.totals:
            total.assign(0.0)

    def mean_totals(self):
        """(mean loss, accuracy) of the examples since `reset_totals`."""
        loss, correct, count = (float(total.numpy()) for total in self.totals)
        return loss / max(count, 1.0), correct / max(count, 1.0)

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
        step, loss = first, tf.constant(0.0)
        while step < last and tf.math.is_finite(loss):
            losses = self.strategy.run(
                self._run_search_step, args=(next(iterator), step, epoch, rates)
            )
            loss = self.first(losses)
            step += 1
        return step, loss

    @tf.function
    def validate_block(self, iterator, first, last, epoch):
        """Adds the steps first .. last - 1 of a pass over (images, labels) to the totals."""
        for step in tf.range(first, last):
            self.strategy.run(self._run_validate_step, args=(next(iterator), step, epoch))

    def first(self, per_replica):
        """The value of the first replica."""
        return self.strategy.experimental_local_results(per_replica)[0]

    def key(self, epoch, step, use):
        """int32 [2]: the key of a replica's random draws for one use in a step of an epoch."""
        key = tf.random.fold_in(tf.random.fold_in([self.config.seed, 0], epoch), use)
        return distribution.fold_in_replica(tf.random.fold_in(key, step))

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
        weight_loss = loss(train, key(WEIGHT), keep=True)
        return self._weight_step(weight_loss, distribution.local_part(train), rates)

    def _train_uses(self):
        """Draws of the training loss at w, w+ and w- (the authors' code draws each time afresh)."""
        independent = self.config.independent_noise
        return (ALPHA_TRAIN, ALPHA_PLUS, ALPHA_MINUS) if independent else (ALPHA_TRAIN,) * 3

    def loss(self, batch, key, *, drop_path_prob, keep=False):
        """This replica's share of the loss of a batch, BatchNorm in training mode.

        Args:
            batch: the global (images, labels), of which the replica takes its part.
            key: of all random draws.
            drop_path_prob: scalar; not used where the method never drops paths.
            keep: whether the logits and the moved BatchNorm statistics are wanted, too.
        Returns:
            (w, alpha) -> loss, or (loss, logits, statistics).
        """
        images, labels = distribution.local_part(batch)
        scale = _scale(batch[1])
        drop_path_prob = drop_path_prob if self.drops_paths else None

        def loss(w, alpha):
            state = [v.value for v in self.net.non_trainable_variables]
            logits, state = self.net.stateless_call(
                w,
                state,
                images,
                edge_weights=self._edge_weights(alpha),
                drop_path_prob=drop_path_prob,
                seed=key,
                training=True,
            )
            losses = classification.cross_entropy(logits, labels)
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
        _assign(self.net.alphas.values(), alpha)
        _assign(self.adam_m, m)
        _assign(self.adam_v, v)

    def _weight_step(self, loss, batch, rates):
        config, w, alpha = self.config, *self.parameters()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(w)
            value, logits, state = loss(w, alpha)
        g = distribution.all_mean(tape.gradient(value, w))
        g, _ = optimizers.clip_by_global_norm(g, config.grad_clip)
        w, m = self._sgd(rates)(w, g)
        _assign(self.net.trainable_variables, w)
        _assign(self.momentum, m)
        moving = [self.net.non_trainable_variables[i] for i in self.statistics]
        _assign(moving, distribution.all_mean(state))
        return self._count(logits, batch[1])

    def _sgd(self, rates):
        """(w, g) -> (w, momentum) after a step of SGD from the momentum of now."""
        m = [tf.convert_to_tensor(buffer) for buffer in self.momentum]

        def step(w, g):
            return optimizers.sgd(
                w,
                m,
                g,
                learning_rate=tf.cast(rates["learning_rate"], w[0].dtype),
                momentum=self.config.momentum,
                weight_decay=tf.cast(rates["weight_decay"], w[0].dtype),
            )

        return step

    def _validate_step(self, batch, step, epoch):
        images, labels = distribution.local_part(batch)
        logits = self.net(images, seed=self.key(epoch, step, VALIDATE), training=False)
        self._count(logits, labels)

    def _count(self, logits, labels):
        """Adds a batch to the totals; its mean loss over all replicas."""
        loss = tf.cast(tf.reduce_sum(classification.cross_entropy(logits, labels)), tf.float32)
        correct = tf.reduce_sum(classification.correct(logits, labels))
        sums = distribution.all_sum([loss, correct, tf.cast(tf.size(labels), tf.float32)])
        for total, value in zip(self.totals, sums, strict=True):
            total.assign_add(value)
        return sums[0] / sums[2]

    def parameters(self):
        """(w, alpha) as lists of tensors."""
        w = [tf.convert_to_tensor(v.value) for v in self.net.trainable_variables]
        return w, [tf.convert_to_tensor(v.value) for v in self.net.alphas.values()]


def _scale(labels):
    """What turns a replica's sum over its part into a share of the mean over the global `labels`.

    With it the mean over replicas of losses and gradients is that of the whole batch, also where
    the parts differ in size.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return replicas / tf.size(labels)


def _zeros_like(variable):
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _path(variable):
    return variable.path.split("/", 1)[1]
