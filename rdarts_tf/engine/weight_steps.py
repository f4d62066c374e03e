"""Training the weights of a network: state, the weight step, totals; the part that every trainer shares.

A block takes an iterator and runs many steps; what changes from epoch to epoch comes in as tensors,
so that nothing is traced twice. Every replica gets the global batch and takes its part.
"""

import typing

import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.engine import distribution
from rdarts_tf.engine.packing import Packing
from rdarts_tf.errors import UserError
from rdarts_tf.layers import traced_once

# Streams of random draws, folded into the key of an epoch; the data pipelines use 0 to 4.
ALPHA_TRAIN, ALPHA_VALID, WEIGHT, VALIDATE, ALPHA_PLUS, ALPHA_MINUS = range(16, 22)


class Pass(typing.NamedTuple):
    """A network on this replica's part of a batch.

    Attributes:
        value: this replica's share of the mean loss: their mean over replicas is that of the batch.
        outputs: see `tasks.base.Output`.
        statistics: moved BatchNorm statistics.
        carry: list of tensors for the next step.
    """

    value: tf.Tensor
    outputs: typing.Any
    statistics: list
    carry: list


class WeightTraining:
    """State beyond the network, and the steps that move it.

    Args:
        problem: tasks.base.Problem.
        net: its built network.
        config: with `jit_compile`.
        strategy: in whose scope the network was built.
        seed: of noise and drop path.
    """

    def __init__(self, problem, net, *, config, strategy, seed):
        self.problem, self.net, self.config, self.strategy = problem, net, config, strategy
        self.seed, self.recipe = seed, problem.recipe()
        self.jit = strategy.num_replicas_in_sync == 1 and _compiles(problem, config)
        if config.jit_compile == "true" and strategy.num_replicas_in_sync > 1:
            raise UserError(
                f"--jit_compile=true compiles on a single device, not on "
                f"{strategy.num_replicas_in_sync}; leave it out, or take --strategy=one"
            )
        if config.batch_size < strategy.num_replicas_in_sync:
            raise UserError(
                f"--batch_size={config.batch_size} leaves some of {strategy.num_replicas_in_sync} "
                "devices without any; raise it, or take --strategy=one"
            )
        self.packing = Packing([v.shape for v in net.trainable_variables])
        dtype = net.trainable_variables[0].dtype
        with strategy.scope():
            self.slots = {
                name: [tf.Variable(tf.zeros(sum(self.packing.sizes), dtype), trainable=False)]
                for name in self.recipe.slots
            }
            self.slots |= {
                name: [tf.Variable(0.0, trainable=False)] for name in self.recipe.scalars
            }
            self.totals = [tf.Variable(0.0, trainable=False) for _ in range(problem.num_sums)]
            self.carries = {
                stream: [tf.Variable(tf.zeros(shape), trainable=False) for shape in shapes]
                for stream, shapes in problem.carries.items()
            }
        alphas = {id(v) for v in getattr(net, "alphas", {}).values()}
        self.statistics = [
            i for i, v in enumerate(net.non_trainable_variables) if id(v) not in alphas
        ]
        self._run_validate_step = self._compiled(self._validate_step)

    def _compiled(self, step):
        """`step`; on a single device under XLA, if so configured and its primitives do not see to it."""
        alone = self.strategy.num_replicas_in_sync == 1
        if alone and self.jit and not self.problem.compiled_by_primitive:
            return tf.function(step, autograph=False, jit_compile=True)
        return tf.autograph.experimental.do_not_convert(step)

    def variables(self):
        """{name: variable} of everything that a checkpoint holds."""
        net, named = self.net, {}
        paths = [path(v) for v in net.trainable_variables]
        for name, v in zip(paths, net.trainable_variables, strict=True):
            named[f"weights/{name}"] = v.value
        for slot in self.recipe.slots:
            parts = self.packing.slices(*self.slots[slot])
            named |= {f"{slot}/{p}": part for p, part in zip(paths, parts, strict=True)}
        for v in net.non_trainable_variables:
            named[f"state/{path(v)}"] = v.value
        named |= {name: self.slots[name][0] for name in self.recipe.scalars}
        for stream, carry in self.carries.items():
            named |= {f"carry/{stream}/{i}": v for i, v in enumerate(carry)}
        return named | {f"totals/{i}": v for i, v in enumerate(self.totals)}

    def reset(self, *streams):
        """Starts the totals anew, and what flows from step to step of these streams."""
        for variable in (*self.totals, *(v for s in streams for v in self.carries.get(s, ()))):
            variable.assign(tf.zeros_like(variable))

    def metrics(self):
        """{metric: number} of the examples since `reset`."""
        return self.problem.metrics([float(total.numpy()) for total in self.totals])

    def _run_block(self, run_step, iterator, first, last, epoch, rates):
        """The loop of a block of training, to be traced; see `search_steps.Search.search_block`.

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
        """Adds the steps first .. last - 1 of a pass over batches to the totals."""
        for step in tf.range(first, last):
            self.strategy.run(self._run_validate_step, args=(next(iterator), step, epoch))

    def _validate_step(self, batch, step, epoch):
        self._score(batch, self.key(epoch, step, VALIDATE))

    def _score(self, batch, key, *, stream="score", **network):
        """Adds a batch to the totals, the network in inference mode."""
        found = self._pass(
            self.scored_weights(), batch, key, rates={}, training=False, stream=stream, **network
        )
        self._keep(stream, found.carry)
        self._count(found.outputs, batch)

    def first(self, per_replica):
        """The value of the first replica."""
        return self.strategy.experimental_local_results(per_replica)[0]

    def key(self, epoch, step, use):
        """int32 [2]: the key of a replica's random draws for one use in a step of an epoch."""
        key = tf.random.fold_in(tf.random.fold_in([self.seed, 0], epoch), use)
        return distribution.fold_in_replica(tf.random.fold_in(key, step))

    def weights(self):
        """w as a list of one tensor, all weights together [P]."""
        return [self.packing.pack([tf.convert_to_tensor(v) for v in self.net.trainable_variables])]

    def scored_weights(self):
        """The weights that are scored, list of tensors."""
        scored = self.recipe.scored
        return self.weights() if scored is None else scored(self.weights(), self._slots())

    def _pass(self, w, batch, key, *, rates, training, stream, **network):
        """The Pass of a global batch, of which the replica takes its part, at weights w."""
        moved = state = [v.value for v in self.net.non_trainable_variables]

        w = self.packing.unpack(*w)

        def call(*inputs, **kwargs):
            nonlocal moved
            with traced_once.compiling(self.jit):
                outputs, moved = self.net.stateless_call(
                    w, state, *inputs, training=training, **kwargs
                )
            return outputs

        carry = [tf.convert_to_tensor(v) for v in self.carries.get(stream, ())]
        found = self.problem.loss(
            call,
            distribution.local_part(batch),
            distribution.local_part(carry),
            rates=rates,
            seed=key,
            training=training,
            **network,
        )
        scale = tf.cast(share_of_mean(self.problem.count(batch)), found.total.dtype)
        statistics = [moved[i] for i in self.statistics]
        return Pass(scale * found.total, found.outputs, statistics, found.carry)

    def _weight_step(self, w, forward, batch, rates):
        """A step of the recipe on a global batch.

        Args:
            w: `weights`.
            forward: w -> Pass, in training mode.
            rates: {name: scalar}.
        Returns:
            mean loss over all replicas.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(w)
            found = forward(w)
        g = distribution.all_mean(tape.gradient(found.value, w, unconnected_gradients="zero"))
        g, _ = optimizers.clip_by_global_norm(g, self.recipe.grad_clip)
        w, slots = self._update(rates)(w, g)
        assign(self.net.trainable_variables, self.packing.unpack(*w))
        for name, values in slots.items():
            assign(self.slots[name], values)
        moving = [self.net.non_trainable_variables[i] for i in self.statistics]
        assign(moving, distribution.mean_by_rows(found.statistics, batch))
        self._keep("train", found.carry)
        return self._count(found.outputs, batch)

    def _slots(self):
        """The slots of now, {name: list of tensors}."""
        return {
            name: [tf.convert_to_tensor(buffer) for buffer in buffers]
            for name, buffers in self.slots.items()
        }

    def _update(self, rates):
        """(w, g) -> (w, slots) after a step of the recipe from the slots of now."""
        slots = self._slots()
        return lambda w, g: self.recipe.update(w, slots, g, rates)

    def scaled(self, rates, batch):
        """`rates`, the learning rate as this batch scales it."""
        scale = self.problem.learning_rate_scale(batch)
        return rates if scale is None else rates | {"learning_rate": scale * rates["learning_rate"]}

    def _keep(self, stream, carry):
        """Keeps what flows to the next step of a stream, detached."""
        assign(
            self.carries.get(stream, ()),
            [tf.stop_gradient(distribution.whole(part)) for part in carry],
        )

    def _count(self, outputs, batch):
        """Adds a batch to the totals; its mean loss over all replicas."""
        sums = distribution.all_sum(self.problem.sums(outputs, distribution.local_part(batch)))
        for total, value in zip(self.totals, sums, strict=True):
            total.assign_add(value)
        return sums[0] / sums[-1]


def share_of_mean(count):
    """What turns a replica's sum over its part into a share of the mean over a global batch.

    With it the mean over replicas of losses and gradients is that of the whole batch, also where
    the parts differ in size.

    Args:
        count: of the global batch, scalar.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return replicas / count


def zeros_like(variable):
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def path(variable):
    """The variable's path below the network's name."""
    return variable.path.split("/", 1)[1]


def _compiles(problem, config):
    if config.jit_compile == "auto":
        return problem.compiled(gpus=len(tf.config.list_logical_devices("GPU")))
    return config.jit_compile == "true"
