"""A language model as others use it: numbers of words and a state in, log-probabilities and the next state out."""

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.language_model import derived_network  # noqa: F401 - a .keras file names it


@keras.saving.register_keras_serializable("rdarts_tf.language_model")
class ServedModel(keras.Model):
    """The network in inference mode, and a softmax.

    Args:
        network: built derived_network.DerivedNetwork, or its configuration.
        vocabulary: the words by their numbers.
    """

    INPUT_TYPES = ("int32",)

    def __init__(self, network, *, vocabulary, **kwargs):
        super().__init__(**kwargs)
        if isinstance(network, dict):
            network = keras.saving.deserialize_keras_object(network)
        self.network, self.vocabulary = network, tuple(vocabulary)
        self.build()

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "vocabulary": list(self.vocabulary),
        }

    def build(self, input_shape=None):
        if not self.network.built:
            self.network.build()
        self.built = True

    def call(self, tokens, state):
        """{"log_probabilities" [N, T, V] of the word after each token, "next_state" [N, n]}.

        Args:
            tokens: int32 [N, T].
            state: float32 [N, n]; zeros at the beginning of a text.
        """
        found = self.network(tokens, state, training=False)
        log_p = tf.nn.log_softmax(tf.transpose(found.logits, [1, 0, 2]))
        return {"log_probabilities": log_p, "next_state": found.hidden}

    def signature(self, input_type):
        """{"tokens": TensorSpec [None, None], "state": TensorSpec [None, n]}."""
        return {
            "tokens": tf.TensorSpec([None, None], input_type, name="tokens"),
            "state": tf.TensorSpec([None, self.network.hidden], "float32", name="state"),
        }

    def as_input(self, tokens, input_type):
        """int32 tokens [N, T] as {name: array}, from states that are drawn."""
        shape = (len(tokens), self.network.hidden)
        state = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
        return {"tokens": tokens.astype(input_type), "state": state}

    def agreement(self, ours, theirs):
        """How often two outputs have the same most probable word, in words."""
        best = [found["log_probabilities"].argmax(-1) for found in (ours, theirs)]
        return f"{100 * np.mean(best[0] == best[1]):.1f} % same word"

    def metadata(self):
        """What a user of the file should know, ready for JSON."""
        return {
            "vocabulary": list(self.vocabulary),
            "genotype": str(self.network.genotype),
            "input": f"tokens int32 [N, T], state float32 [N, {self.network.hidden}]",
        }
