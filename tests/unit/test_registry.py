"""Specs, names and the sentences of unknown plugins."""

import pytest

from rdarts_tf import registry
from rdarts_tf.config.search import SearchConfig
from rdarts_tf.errors import UserError


@pytest.mark.parametrize(
    "spec, parsed",
    [
        ("s1", ("s1", [], {})),
        (" s1 ", ("s1", [], {})),
        ("s1()", ("s1", [], {})),
        ("darts_es(window=5, ratio=0.75)", ("darts_es", [], {"window": 5, "ratio": 0.75})),
        ("tfds(mnist)", ("tfds", ["mnist"], {})),
        ("tfds('mnist', 3, split=train)", ("tfds", ["mnist", 3], {"split": "train"})),
        ("image_folder(/data/shapes)", ("image_folder", ["/data/shapes"], {})),
        ("image_folder(/data/a=b)", ("image_folder", ["/data/a=b"], {})),
        ("m(sizes=[1, 2], pair=(3, 4))", ("m", [], {"sizes": [1, 2], "pair": (3, 4)})),
        ("m(on=True, off=None)", ("m", [], {"on": True, "off": None})),
        ("my_package.my_space", ("my_package.my_space", [], {})),
        ("image_folder('a,b', size=32)", ("image_folder", ["a,b"], {"size": 32})),
        ('image_folder("a) (b", size=32)', ("image_folder", ["a) (b"], {"size": 32})),
        ("image_folder(/data/old (1), size=32)", ("image_folder", ["/data/old (1)"], {"size": 32})),
        ("image_folder('/data/[a', size=8)", ("image_folder", ["/data/[a"], {"size": 8})),
        ("image_folder(/data/tom's, size=8)", ("image_folder", ["/data/tom's"], {"size": 8})),
        (r"m('it\'s, so', k=[',', 'b'])", ("m", ["it's, so"], {"k": [",", "b"]})),
        ("m(path='x=1, y=2')", ("m", [], {"path": "x=1, y=2"})),
        ("m({[]: 1})", ("m", ["{[]: 1}"], {})),
    ],
)
def test_parse(spec, parsed):
    assert registry.parse(spec) == parsed


def test_values_are_not_evaluated():
    assert registry.parse("m(print('x'))") == ("m", ["print('x')"], {})


@pytest.mark.parametrize("spec", ["", "5x", "s1(", "s1)", "a b", "-s1"])
def test_parse_refuses_other_forms(spec):
    with pytest.raises(UserError, match="cannot read"):
        registry.parse(spec)


@pytest.mark.parametrize("spec", ["m(/a[1, size=2)", "m(a])", "m('a, size=2)", "m(a)b)"])
def test_parse_refuses_unclosed_brackets_and_quotes(spec):
    with pytest.raises(UserError, match="not closed; write such a value in quotes"):
        registry.parse(spec)


def test_parse_refuses_a_key_that_is_given_twice():
    with pytest.raises(UserError, match="size is given twice"):
        registry.parse("m(size=1, size=2)")


def test_names_are_the_modules_of_the_folder():
    assert {"darts", "s1", "s2", "s3", "s4", "s5"} <= set(registry.names("spaces"))
    assert "darts" in registry.names("methods")
    assert {"cifar10", "digits", "tfds"} <= set(registry.names("datasets"))
    for kind in registry.KINDS:
        assert registry.names(kind) == sorted(registry.names(kind))
        assert not {"base", "__init__", "augment"} & set(registry.names(kind))


@pytest.mark.parametrize("kind", ["spaces", "methods"])
def test_every_name_loads(kind):
    attribute = {"spaces": "SPACE", "methods": "Method"}[kind]
    for name in registry.names(kind):
        module, args, kwargs = registry.load(kind, name)
        assert hasattr(module, attribute) or hasattr(module, "make")
        assert (args, kwargs) == ([], {})


def test_a_space_is_called_as_its_file():
    for name in registry.names("spaces"):
        module, *_ = registry.load("spaces", name)
        assert hasattr(module, "make") or module.SPACE.name == name


def test_an_unknown_name_is_answered_with_the_known_ones():
    known = ", ".join(registry.names("spaces"))
    with pytest.raises(UserError) as caught:
        registry.load("spaces", "s9(3)")
    assert str(caught.value) == f"unknown space 's9'; there are: {known}"


def test_base_is_no_plugin():
    with pytest.raises(UserError, match="unknown method 'base'"):
        registry.load("methods", "base")


def test_a_space_outside_the_package(tmp_path, monkeypatch):
    folder = tmp_path / "outside_spaces"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "mine.py").write_text(
        "from rdarts_tf.spaces.base import uniform\n"
        "SPACE = uniform('mine', ('none', 'skip_connect'), num_nodes=3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_TRUSTED", {"outside_spaces.mine"})
    module, args, kwargs = registry.load("spaces", "outside_spaces.mine(2, a=b)")
    assert module.SPACE.name == "mine"
    assert (args, kwargs) == ([2], {"a": "b"})
    space = SearchConfig(space="outside_spaces.mine").make_space()
    assert space.cell("normal").alpha_shape == (9, 2)


def test_a_missing_module_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", {"no_such_package.mine"})
    with pytest.raises(UserError, match="cannot import space 'no_such_package.mine'"):
        registry.load("spaces", "no_such_package.mine")


def test_a_file_beside_the_user(tmp_path, monkeypatch):
    (tmp_path / "mydata_of_a_test.py").write_text("def load(*, data_dir=None): return 3")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_TRUSTED", set())
    with pytest.raises(UserError, match="no flag names; if you trust it, give --plugin=mydata_of"):
        registry.load("datasets", "mydata_of_a_test")
    registry.trust("mydata_of_a_test(size=3)")
    module, args, kwargs = registry.load("datasets", "mydata_of_a_test(size=3)")
    assert module.load() == 3 and kwargs == {"size": 3}
    assert registry.is_outside("datasets", "mydata_of_a_test(size=3)")
    assert not registry.is_outside("datasets", "image_folder(mydata_of_a_test)")
    for name in ("random", "mydata_of_another"):
        registry.trust(name)
        with pytest.raises(UserError, match=f"unknown dataset '{name}'; there are: arrays"):
            registry.load("datasets", name)
