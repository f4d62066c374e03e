"""The graphs of search steps hold no sum whose order is left to chance, whatever the domain."""

import numpy as np
import pytest

from rdarts_tf.tasks.disparity import options as stereo
from rdarts_tf.tasks.disparity import task as disparity
from rdarts_tf.tasks.image_classification import task as images
from rdarts_tf.tasks.image_classification.options import SearchConfig
from rdarts_tf.tasks.language_model import corpus
from rdarts_tf.tasks.language_model import options as language
from rdarts_tf.tasks.language_model import task as language_model
from tests import graphs, tiny_stereo
from tests.contracts.test_training import images_of_three_classes


def image_search(**options):
    config = SearchConfig(
        space="s5", dataset="digits", batch_size=4, init_channels=2, layers=3, **options
    )
    return config, images.Search(config, images_of_three_classes())


def language_search(**options):
    config = language.SearchConfig(space="rnn", batch_size=4, bptt=3, hidden=4, nodes=3, **options)
    text = np.arange(100, dtype=np.int32) % 7
    data = corpus.Corpus("counting", tuple("abcdefg"), text, text[::-1], text)
    return config, language_model.Search(config, data)


def disparity_search(**options):
    config = stereo.SearchConfig(
        space="s6", dataset="tests.tiny_stereo", batch_size=2, init_channels=2, stems=1,
        encoder_cells=1, decoder_cells=1, max_displacement=2, crop_height=8, crop_width=12, **options,
    )  # fmt: skip
    return config, disparity.Search(config, tiny_stereo.load())


@pytest.mark.parametrize("alpha_step", ["exact", "finite_difference"])
@pytest.mark.parametrize("make", [image_search, language_search, disparity_search])
def test_every_sum_has_an_order(make, alpha_step):
    assert not graphs.unordered(graphs.of_search_block(*make(alpha_step=alpha_step)))
