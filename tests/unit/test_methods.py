"""Decisions of the methods on plain numbers."""

import dataclasses

import pytest

from rdarts_tf import optimizers, registry
from rdarts_tf.config import base as config_base
from rdarts_tf.config import flags
from rdarts_tf.config import search as config_lib
from rdarts_tf.errors import UserError
from rdarts_tf.methods import base, darts_ada, darts_es
from rdarts_tf.runs.decisions import Decisions
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig


def rates(method, settings, epoch, **rollbacks):
    """The numbers of an epoch, which the configuration in force alone gives."""
    return task.Search.rates(None, method.in_force(settings, epoch, **rollbacks), epoch)


def cutout(method, settings, epoch, **rollbacks):
    return method.in_force(settings, epoch, **rollbacks).cutout_probability(epoch)


def test_drop_path_ramps_from_0_to_its_maximum():
    settings, method = SearchConfig(drop_path_prob=0.6, weight_decay=9e-4), base.Method()
    assert rates(method, settings, 0)["drop_path_prob"] == 0
    assert rates(method, settings, 25)["drop_path_prob"] == pytest.approx(0.306122, abs=1e-6)
    assert rates(method, settings, 49)["drop_path_prob"] == 0.6
    assert rates(method, settings, 49)["weight_decay"] == 9e-4


def test_cutout_comes_with_drop_path_from_the_first_epoch():
    method = base.Method()
    assert cutout(method, SearchConfig(drop_path_prob=0.6), 0) == 1
    assert cutout(method, SearchConfig(), 49) == 0
    assert cutout(method, SearchConfig(cutout="true"), 0) == 1
    assert cutout(method, SearchConfig(cutout="false", drop_path_prob=0.6), 49) == 0


def test_cutout_ramps_where_asked():
    settings = SearchConfig(drop_path_prob=0.6, cutout_ramp=True, cutout_prob=0.5)
    assert cutout(base.Method(), settings, 0) == 0
    assert cutout(base.Method(), settings, 49) == 0.5


def rows(values):
    return [{"epoch": e, "curvature/lambda_max": value} for e, value in enumerate(values)]


def search(method, curvature, *, epochs=50, **settings):
    """Plays a search whose lambda_max is curvature(epoch, weight_decay or drop path).

    Returns:
        [(epoch, decision)] of all decisions; history and rollbacks as the loop keeps them.
    """
    settings = SearchConfig(epochs=epochs, **settings)
    history, decisions = [], []
    while len(history) < epochs:
        epoch, num_rollbacks = len(history), len(decisions)
        used = method.in_force(settings, epoch, num_rollbacks=num_rollbacks)
        history += rows([curvature(epoch, used)])
        history[-1]["epoch"] = epoch
        decision = method.after_epoch(settings, history, num_rollbacks=num_rollbacks)
        if decision is not base.CONTINUE:
            decisions.append((epoch, decision))
            if isinstance(decision, base.Stop):
                break
            history = history[: decision.epoch + 1]
    return decisions


def growing(epoch, used):
    return 1.1**epoch


def test_darts_es_stops_once_curvature_has_grown():
    # LA(18) / LA(10) = 1.1 ** 8 = 2.1 at the first test; the paper's needs 1.1 ** 5 = 1.6.
    assert search(darts_es.Method(), growing) == [(22, base.Stop(10))]
    assert search(darts_es.Method("paper"), growing) == [(7, base.Stop(0))]
    assert search(darts_es.Method(start_epoch=20), growing) == [(32, base.Stop(20))]
    assert search(darts_es.Method(factor=2.2), growing) == []
    assert search(darts_es.Method(), lambda *_: 0.0) == []


def test_darts_ada_rolls_back_twice_and_multiplies_weight_decay():
    ada, settings = darts_ada.Method(), SearchConfig()
    assert search(ada, growing) == [(22, base.Rollback(10)), (22, base.Rollback(10))]
    decays = [rates(ada, settings, 11, num_rollbacks=number)["weight_decay"] for number in range(3)]
    assert decays == pytest.approx([3e-4, 3e-3, 3e-2], rel=1e-12)


def test_darts_ada_goes_back_to_where_curvature_began_to_grow():
    def curvature(epoch, used):
        """Rises after epoch 30 unless weight decay is stronger."""
        return 1.0 if epoch <= 30 or used.weight_decay > 1e-3 else 2.0

    # LA(30), complete at 34, is of 1, 1, 1, 2, 2 = 1.4; LA(22) is 1.
    assert search(darts_ada.Method(), curvature) == [(34, base.Rollback(22))]


def test_the_learning_rate_goes_on_by_the_absolute_epoch():
    """0.001 + 0.012 (1 + cos(11 pi / 50)), not that of epoch 0 nor of epoch 23."""
    decision = darts_ada.Method().after_epoch(SearchConfig(), rows([1.1**e for e in range(23)]))
    rate = optimizers.cosine(decision.epoch + 1, 50, 0.025, 0.001)
    assert rate == pytest.approx(0.02224616, abs=1e-7)


@pytest.mark.parametrize(
    ("arguments", "settings", "strengths"),
    [
        ({}, {"weight_decay": 3e-4}, [3e-4, 3e-3, 3e-2]),
        ({}, {"weight_decay": 4e-4}, [4e-4, 4e-3]),
        ({}, {"weight_decay": 3e-2}, [3e-2]),
        ({}, {"weight_decay": 9e-2}, [9e-2]),
        ({}, {"weight_decay": 0.0}, [0.0]),
        ({"increase": 3, "maximum": 0.0243}, {}, [3e-4, 9e-4, 2.7e-3, 8.1e-3, 2.43e-2]),
        ({"regularizer": "drop_path"}, {}, [0.0, 0.2, 0.4, 0.6]),
        ({"regularizer": "drop_path"}, {"drop_path_prob": 0.3}, [0.3, 0.5]),
        ({"regularizer": "drop_path", "increase": 0.5, "maximum": 0.9}, {}, [0.0, 0.5]),
    ],
)
def test_strengths_of_darts_ada(arguments, settings, strengths):
    """As many rollbacks as the maximum allows, and no more."""
    ada, settings = darts_ada.Method(**arguments), SearchConfig(**settings)
    history, found = rows([1.1**epoch for epoch in range(23)]), []
    for number in range(10):
        used = rates(ada, settings, 49, num_rollbacks=number)
        l2 = arguments.get("regularizer") != "drop_path"
        found.append(used["weight_decay" if l2 else "drop_path_prob"])
        decision = ada.after_epoch(settings, history, num_rollbacks=number)
        assert decision == (base.Rollback(10) if number < len(strengths) - 1 else base.CONTINUE)
    assert found == pytest.approx(strengths + strengths[-1:] * (10 - len(strengths)))


def test_drop_path_of_darts_ada_ramps_to_each_maximum_and_brings_cutout():
    settings = SearchConfig(method="darts_ada(regularizer=drop_path)")
    ada = settings.make_method()
    assert ada.strongest(settings).drop_path_prob == pytest.approx(0.6)
    assert ada.strongest(settings).uses_cutout
    assert rates(ada, settings, 25)["drop_path_prob"] == 0
    assert cutout(ada, settings, 25) == 0
    after = rates(ada, settings, 25, num_rollbacks=2)
    assert after["drop_path_prob"] == pytest.approx(0.4 * 25 / 49)
    assert after["weight_decay"] == 3e-4
    assert cutout(ada, settings, 25, num_rollbacks=2) == 1
    never = dataclasses.replace(settings, cutout="false")
    assert not ada.strongest(never).uses_cutout
    assert cutout(ada, never, 25, num_rollbacks=2) == 0


def test_darts_ada_with_l2_has_the_drop_path_of_the_configuration():
    ada = darts_ada.Method()
    assert ada.strongest(SearchConfig()).drop_path_prob == 0
    assert ada.strongest(SearchConfig(drop_path_prob=0.2)).drop_path_prob == 0.2


def test_a_checkpoint_is_kept_as_long_as_a_rollback_may_need_it():
    ada = darts_ada.Method()
    # Checkpoint 11, the end of epoch 10, serves until the test of epoch 22 is over.
    found = {number: ada.oldest_epoch_needed(number) for number in (0, 5, 11, 20, 23, 24, 25, 49)}
    assert found == {0: 0, 5: 5, 11: 11, 20: 11, 23: 11, 24: 13, 25: 13, 49: 37}
    assert darts_es.Method().oldest_epoch_needed(30) == 30  # its result is in alphas.npz


@pytest.mark.parametrize(
    ("spec", "epochs"),
    [("darts_ada", [10, 12, 14]), ("darts_ada(start_epoch=13)", [14]), ("darts", [])],
)
def test_a_rollback_may_name_every_evaluation_from_the_start_epoch_on(spec, epochs):
    method = SearchConfig(method=spec).make_method()
    assert [epoch for epoch in range(16) if method.may_return_to(epoch)] == epochs


def test_stronger_regularisation_is_in_force_from_the_epoch_after_a_rollback(tmp_path):
    settings = SearchConfig(method="darts_ada")
    book = Logbook(RunDir(tmp_path), "")
    for epoch in (10, 14):
        book.decide({"decision": "rollback", "epoch": epoch, "epochs": 50})
    made = Decisions(settings.make_method(), settings, book)
    decays = [made.in_force(epoch).weight_decay for epoch in (10, 11, 14, 15, 49)]
    assert decays == pytest.approx([3e-4, 3e-3, 3e-3, 3e-2, 3e-2])


@pytest.mark.parametrize("spec", ["darts_ada", "darts_ada(paper)", "darts_ada(start_epoch=5)"])
def test_every_rollback_finds_its_checkpoint(spec):
    ada = SearchConfig(method=spec).make_method()
    for number in range(1, 51):
        history = rows([1.1**epoch for epoch in range(number)])
        decision = ada.after_epoch(SearchConfig(), history)
        if decision is not base.CONTINUE:
            assert decision.epoch + 1 >= max(ada.oldest_epoch_needed(n) for n in range(number + 1))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("darts_es(code)", "unknown preset 'code'; there are: authors, paper"),
        ("darts_es(window=4)", "window=4 must be an odd whole number"),
        ("darts_es(ratio=0.75)", "does not take that: .*ratio"),
        ("darts_ada(regularizer=cutout)", "unknown regularizer 'cutout'; there are: l2, drop_path"),
        ("darts_ada(increase=1)", "increase=1 must be a number greater than 1"),
        ("darts_ada(increase=much)", "increase='much' must be a number greater than 1"),
        ("darts_ada(maximum=0)", "maximum=0 must be a number greater than 0"),
        ("darts_ada(regularizer=drop_path, maximum=1)", "maximum=1 must be .*less than 1"),
        ("darts_ada(regularizer=drop_path, increase=0)", "increase=0 must be .* greater than 0"),
        ("darts_ada(maximum=1e-3)", "cannot increase --weight_decay=0.0003 with increase=10"),
        (
            "darts_ada(regularizer=drop_path, increase=0.5, maximum=0.9999995)",
            "drop_path_prob=1.0 must be less than 1",
        ),
    ],
)
def test_a_method_that_cannot_be_is_refused_before_any_work(spec, sentence):
    with pytest.raises(UserError, match=sentence):
        config_lib.check(SearchConfig(method=spec))


def test_presets_and_arguments():
    assert vars(darts_es.Method().rule) == vars(darts_ada.Method("authors").rule)
    paper = darts_es.Method("paper", factor=1.5)
    assert (paper.frequency, paper.rule.delta, paper.rule.factor) == (1, 5, 1.5)
    assert darts_es.Method("paper").rule.factor == pytest.approx(4 / 3)
    assert (base.Method.frequency, darts_es.Method().frequency) == (None, 2)


def pieces_of(method, **fields):
    return config_lib.pieces(SearchConfig(method=method, **fields))


def test_r_darts_searches_with_four_strengths():
    found = pieces_of("rdarts_l2")
    assert [run.weight_decay for run in found.values()] == [3e-4, 9e-4, 27e-4, 81e-4]
    assert list(found)[1:3] == ["weight_decay_0.0009", "weight_decay_0.0027"]
    found = pieces_of("rdarts_dp(method='darts_es(window=3)')")
    assert [run.drop_path_prob for run in found.values()] == [0.0, 0.2, 0.4, 0.6]
    assert [run.uses_cutout for run in found.values()] == [False, True, True, True]
    assert {run.method for run in found.values()} == {"darts_es(window=3)"}
    assert {run.weight_decay for run in found.values()} == {3e-4}


def test_best_of_searches_with_following_seeds():
    found = pieces_of("best_of(darts_es(window=3), seeds=3)", seed=7)
    assert {name: run.seed for name, run in found.items()} == {
        "seed_7": 7,
        "seed_8": 8,
        "seed_9": 9,
    }
    assert {run.method for run in found.values()} == {"darts_es(window=3)"}
    assert len(pieces_of("best_of")) == 4
    assert pieces_of("darts") == {}


def test_the_winner_has_the_least_validation_error_the_first_of_equals():
    rows = [{"validation_error": error} for error in (0.3, 0.1, 0.2, 0.1)]
    assert base.Method().select(rows, "validation_error") is rows[1]


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_a_piece_of_a_task_in_its_own_space_is_given_by_its_flags(name):
    settings = registry.load_task(name, "options").SearchConfig(method="best_of(darts, seeds=2)")
    for run in config_lib.pieces(settings).values():
        assert flags.parse(config_lib.of_given, config_base.to_argv(run))[0] == run


def test_a_piece_is_a_search_without_flags_of_selection():
    flags = {"select_epochs": 3, "select_layers": 2, "cpus_per_run": 1, "executor": "local"}
    settings = config_lib.check(SearchConfig(method="rdarts_l2", dataset="digits", **flags))
    for run in config_lib.pieces(settings).values():
        assert not any(name in text for text in config_base.to_argv(run) for name in flags)
        assert config_lib.check(run) == run
    nested = config_lib.pieces(
        SearchConfig(method="best_of(rdarts_l2, seeds=2)", dataset="digits", **flags)
    )
    assert [run.select_epochs for run in nested.values()] == [3, 3]
    assert [run.cpus_per_run for run in nested.values()] == [None, None]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"method": "rdarts_l2(values=[])"}, r"values=\[\] must list different numbers"),
        ({"method": "rdarts_l2(values=[1e-3, 1e-3])"}, "must list different numbers"),
        ({"method": "rdarts_l2(values=3e-4)"}, "values=0.0003 must list"),
        ({"method": "rdarts_dp(values=[0.2, 1.0])"}, "from 0 to below 1"),
        ({"method": "rdarts_dp(values=[0.99999999])"}, "less than 1, also in float32"),
        ({"method": "rdarts_l2(method=ddarts)"}, "unknown method 'ddarts'"),
        ({"method": "rdarts_l2(method=darts(3))"}, "does not take that"),
        ({"method": "rdarts_l2(values=[3e-4, 0.03], method=darts_ada)"}, "cannot increase"),
        ({"method": "rdarts_l2", "weight_decay": 1e-3}, "weight_decay=0.001 has no effect"),
        ({"method": "rdarts_dp", "drop_path_prob": 0.3}, "drop_path_prob=0.3 has no effect"),
        ({"method": "best_of(darts, seeds=0)"}, "seeds=0 must be a whole number"),
        ({"method": "best_of(ddarts)"}, "unknown method 'ddarts'"),
        ({"method": "rdarts_l2", "continue_after_stop": True}, "continue_after_stop needs"),
        ({"method": "darts", "select_epochs": 3}, "select_epochs needs a method that starts"),
        ({"method": "darts", "executor": "ray"}, "executor needs a method that starts"),
        ({"method": "rdarts_l2", "select_channels": 5}, "select_channels=5 is odd"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        config_lib.check(SearchConfig(dataset="digits", **fields))
