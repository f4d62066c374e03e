"""Training the weights of a network: state, the step of SGD, totals; the part that every trainer shares.

A block takes an iterator and runs many steps; what changes from epoch to epoch comes in as tensors,
so that nothing is traced twice. Every replica gets the global batch and takes its part.
"""

import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.engine import distribution
from rdarts_tf.tasks.image_classification import metrics

# Streams of random draws, folded into the key of an epoch; the data pipelines use 0 to 4.
ALPHA_TRAIN, ALPHA_VALID, WEIGHT, VALIDATE, ALPHA_PLUS, ALPHA_MINUS = range(16, 22)


class WeightTraining:
    """State beyond the network, and the steps that move it.

    Args:
        net: built network.
        config: with `momentum` and `grad_clip`.
        strategy: in whose scope the network was built.
        seed: of noise and drop path.
        jit: compile steps by XLA, on a single device.
    """

    def __init__(self, net, *, config, strategy, seed, jit):
        self.net, self.config, self.strategy = net, config, strategy
        self.seed, self.jit = seed, jit
        with strategy.scope():
            self.momentum = [zeros_like(v) for v in net.trainable_variables]
            self.totals = [tf.Variable(0.0, trainable=False) for _ in range(3)]
        alphas = {id(v) for v in getattr(net, "alphas", {}).values()}
        self.statistics = [
            i for i, v in enumerate(net.non_trainable_variables) if id(v) not in alphas
        ]
        self._run_validate_step = self._compiled(self._validate_step)

    def _compiled(self, step):
        """`step`, on a single device as a function of its own, under XLA if so configured.

        Inlined into the loop of a block it would be copied and optimised with it once more, which
        costs memory and seconds for a graph of second derivatives.
        """
        if self.strategy.num_replicas_in_sync > 1:
            return tf.autograph.experimental.do_not_convert(step)
        options = {"experimental_attributes": {"_noinline": True}}
        return tf.function(
            step, autograph=False, **({"jit_compile": True} if self.jit else options)
        )

    def variables(self):
        """{name: variable} of everything that a checkpoint holds."""
        net, named = self.net, {}
        for v, m in zip(net.trainable_variables, self.momentum, strict=True):
            named[f"weights/{path(v)}"], named[f"momentum/{path(v)}"] = v.value, m
        for v in net.non_trainable_variables:
            named[f"state/{path(v)}"] = v.value
        return named | {f"totals/{i}": v for i, v in enumerate(self.totals)}

    def reset_totals(self):
        for total in self.totals:
            total.assign(0.0)

    def mean_totals(self):
        """(mean loss, accuracy) of the examples since `reset_totals`."""
        loss, correct, count = (float(total.numpy()) for total in self.totals)
        return loss / max(count, 1.0), correct / max(count, 1.0)

    def _run_block(self, run_step, iterator, first, last, epoch, rates):
        """The loop of a block of training, to be traced; see `training.Search.search_block`.

        Args:
            run_step: (batch, step, epoch, rates) -> loss, in replica context.
        """
        step, loss = first, tf.constant(0.0)
        while step < last and tf.math.is_finite(loss):
            losses = self.strategy.run(run_step, args=(next(iterator), step, epoch, rates))
            loss = self.first(losses)
            step += 1
        return step, loss

    @tf.function
    def validate_block(self, iterator, first, last, epoch):
        """Adds the steps first .. last - 1 of a pass over (images, labels) to the totals."""
        for step in tf.range(first, last):
            self.strategy.run(self._run_validate_step, args=(next(iterator), step, epoch))

    def _validate_step(self, batch, step, epoch):
        images, labels = distribution.local_part(batch)
        logits = self.net(images, seed=self.key(epoch, step, VALIDATE), training=False)
        self._count(logits, labels)

    def first(self, per_replica):
        """The value of the first replica."""
        return self.strategy.experimental_local_results(per_replica)[0]

    def key(self, epoch, step, use):
        """int32 [2]: the key of a replica's random draws for one use in a step of an epoch."""
        key = tf.random.fold_in(tf.random.fold_in([self.seed, 0], epoch), use)
        return distribution.fold_in_replica(tf.random.fold_in(key, step))

    def _weight_step(self, loss, labels, rates):
        """A step of clipped SGD.

        Args:
            loss: w -> (loss, logits, moved BatchNorm statistics) of this replica's part.
            labels: of that part.
            rates: {"learning_rate", "weight_decay"}: scalars.
        Returns:
            mean loss of the logits over all replicas.
        """
        w = [tf.convert_to_tensor(v.value) for v in self.net.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(w)
            value, logits, state = loss(w)
        g = distribution.all_mean(tape.gradient(value, w, unconnected_gradients="zero"))
        g, _ = optimizers.clip_by_global_norm(g, self.config.grad_clip)
        w, m = self._sgd(rates)(w, g)
        assign(self.net.trainable_variables, w)
        assign(self.momentum, m)
        moving = [self.net.non_trainable_variables[i] for i in self.statistics]
        assign(moving, distribution.all_mean(state))
        return self._count(logits, labels)

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

    def _count(self, logits, labels):
        """Adds a batch to the totals; its mean loss over all replicas."""
        loss = tf.cast(tf.reduce_sum(metrics.cross_entropy(logits, labels)), tf.float32)
        correct = tf.reduce_sum(metrics.correct(logits, labels))
        sums = distribution.all_sum([loss, correct, tf.cast(tf.size(labels), tf.float32)])
        for total, value in zip(self.totals, sums, strict=True):
            total.assign_add(value)
        return sums[0] / sums[2]


def share_of_mean(labels):
    """What turns a replica's sum over its part into a share of the mean over the global `labels`.

    With it the mean over replicas of losses and gradients is that of the whole batch, also where
    the parts differ in size.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return replicas / tf.size(labels)


def zeros_like(variable):
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def path(variable):
    """The variable's path below the network's name."""
    return variable.path.split("/", 1)[1]
