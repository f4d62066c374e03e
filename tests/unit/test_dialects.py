"""Cells as other programs write them: all of these say one cell, or are refused in one sentence."""

import json

import pytest

from rdarts_tf import export
from rdarts_tf.genotypes import named
from rdarts_tf.genotypes.genotype import GenotypeError, parse
from tests import in_process

PAIRS = {
    "normal": (("max_pool_3x3", 1), ("sep_conv_5x5", 0), ("skip_connect", 2), ("dil_conv_3x3", 1)),
    "reduce": (("sep_conv_3x3", 0), ("avg_pool_3x3", 1), ("skip_connect", 0), ("none", 2)),
}
CONCAT = (2, 3)


def flat(cell):
    return str(list(PAIRS[cell]))


def by_node(cell, brackets="[]"):
    first, second = str(list(PAIRS[cell][:2])), str(list(PAIRS[cell][2:]))
    return f"{brackets[0]}{first}, {second}{brackets[1]}"


def call(write=flat, concat="range(2, 4)", name="Genotype"):
    fields = [f"{cell}={write(cell)}, {cell}_concat={concat}" for cell in PAIRS]
    return f"{name}({', '.join(fields)})"


PLAIN = call()
POSITIONAL = f"{flat('normal')}, [2, 3], {flat('reduce')}, [2, 3]"
MAPPING = {"normal": PAIRS["normal"], "normal_concat": [2, 3]} | {
    "reduce": PAIRS["reduce"],
    "reduce_concat": [2, 3],
}
NNI_3 = {
    f"{prefix}{cell}/{what}_{2 + i // 2}_{i % 2}": value
    for prefix in ("model/",)
    for cell, pairs in PAIRS.items()
    for i, (name, state) in enumerate(pairs)
    for what, value in (("op", name), ("input", [state]))
}
NNI_NAMES = {"normal": ("maxpool", "sepconv5x5", "skipconnect", "dilconv3x3")}
NNI_NAMES |= {"reduce": ("sepconv3x3", "avgpool", "skipconnect", "none")}
ORDER = (
    "maxpool",
    "avgpool",
    "skipconnect",
    "sepconv3x3",
    "sepconv5x5",
    "dilconv3x3",
    "dilconv5x5",
)


def nni_1(numbered):
    found = {}
    for cell, pairs in PAIRS.items():
        for i, (_, state) in enumerate(pairs):
            name, node = NNI_NAMES[cell][i], f"{cell}_n{2 + i // 2}"
            found[f"{node}_p{state}"] = ORDER.index(name) if numbered and name in ORDER else name
            found.setdefault(f"{node}_switch", []).append(f"{node}_p{state}")
        found.setdefault(f"{cell}_n3_p0", [])
    return json.dumps(found)


def with_thirds(third):
    return lambda cell: str([(*pair, third(i)) for i, pair in enumerate(PAIRS[cell])])


DIALECTS = {
    "plain": PLAIN,
    "node_lists": call(by_node),
    "node_tuples": call(lambda cell: by_node(cell, "()")),
    "weights": call(with_thirds(lambda i: 0.25 * i)),
    "targets_last": call(with_thirds(lambda i: 2 + i // 2)),
    "target_first": call(
        lambda cell: str([(name, 2 + i // 2, s) for i, (name, s) in enumerate(PAIRS[cell])])
    ),
    "state_first": call(lambda cell: str([(state, name) for name, state in PAIRS[cell]])),
    "json": json.dumps(MAPPING),
    "json_of_a_run": json.dumps({"epoch": 3, "genotype": PLAIN}),
    "json_text": json.dumps(PLAIN),
    "python_dict": str(MAPPING),
    "dict_call": f"dict({PLAIN[9:-1]})".replace("dict", "genotypes.Genotype"),
    "numpy": PLAIN.replace(", 1)", ", np.int64(1))").replace(", 2)", ", numpy.int32(2))"),
    "list_range": call(concat="list(range(2, 4))"),
    "array": call(concat="array([2, 3], dtype=int64)"),
    "qualified": call(name="model.genotypes.Genotype"),
    "positional": f"Genotype({POSITIONAL})",
    "bom": "\ufeff" + PLAIN,
    "smart_quotes": PLAIN.replace("('", "(‘").replace("',", "’,"),
    "assigned": f"BEST = {PLAIN}",
    "annotated": f"BEST: Genotype = {PLAIN}",
    "module": "import collections\nGenotype = collections.namedtuple('Genotype', "
    f"'normal normal_concat reduce reduce_concat')\n\nMINE = Genotype({POSITIONAL})\n",
    "other_order": "Genotype = namedtuple('Genotype', ['reduce', 'reduce_concat', 'normal', "
    f"'normal_concat'])\nX = Genotype({flat('reduce')}, [2, 3], {flat('normal')}, [2, 3])",
    "log": f"2021-03-01 10:00:00,001 INFO epoch 49 (lr 0.001)\n03/01 10:00:01 AM | genotype = {PLAIN}\n",
    "log_twice": f"10:00 genotype = {PLAIN}\n11:00 genotype = {PLAIN}\nend (of it",
    "log_of_dict": f"10:00 found {MAPPING} after 3 epochs",
    "empty_fields": PLAIN[:-1] + ", normal_bottleneck='', connects=None, connectN=None)",
    "second_names": call(with_thirds(lambda i: "none"))[:-1] + ", normal_bottleneck='')",
    "aliases": PLAIN.replace("skip_connect", "identity").replace("'none'", "'zero'"),
    "nni_3": json.dumps(NNI_3),
    "nni_1": nni_1(False),
    "nni_2": nni_1(True),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_say_the_same(dialect, tmp_path):
    found = parse(DIALECTS[dialect])
    assert found.cells == PAIRS
    assert set(found.concat.values()) == {CONCAT}
    assert not found.layouts
    (tmp_path / "a (1):2.txt").write_text(DIALECTS[dialect], encoding="utf-8-sig")
    assert named.read(str(tmp_path / "a (1):2.txt")) == found
    assert (
        parse(str(found)) == parse(found.to_json()) == parse(json.dumps(found.to_plain())) == found
    )


def test_a_file_in_utf_16(tmp_path):
    (tmp_path / "a.txt").write_text(PLAIN, encoding="utf-16")
    assert named.read(str(tmp_path / "a.txt")).cells == PAIRS
    (tmp_path / "a.txt").write_bytes(b"\xff\xff\xff")
    with pytest.raises(GenotypeError, match="cannot read a genotype from .*a.txt"):
        named.read(str(tmp_path / "a.txt"))


def test_several_in_a_file_are_told_apart_by_name_or_line(tmp_path):
    other = PLAIN.replace("max_pool", "avg_pool")
    path = tmp_path / "genotypes.py"
    path.write_text(f"A = {PLAIN}\nB = {other}\nC = A\n")
    assert named.read(f"{path}:B").cells["normal"][0] == ("avg_pool_3x3", 1)
    assert named.read(f"{path}:A").cells == PAIRS
    with pytest.raises(GenotypeError, match="it has the genotypes A, B; name one, FILE:B"):
        named.read(str(path))
    with pytest.raises(GenotypeError, match="it has no genotype 'D', only A, B"):
        named.read(f"{path}:D")
    path.write_text(f"10:00 genotype = {PLAIN}\n\n11:00 genotype = {other}\n")
    assert named.read(f"{path}:3").cells["normal"][0] == ("avg_pool_3x3", 1)
    with pytest.raises(GenotypeError, match="it has the genotypes 1, 3; name one, FILE:3"):
        named.read(str(path))


def test_nodes_with_any_number_of_edges():
    text = "Genotype(normal=[('a', 3, 1), ('b', 2, 0), ('c', 4, 3)], normal_concat=range(2, 6))"
    found = parse(text)
    assert found.cells["normal"] == (("b", 0), ("a", 1), ("c", 3))
    assert found.layout("normal") == (2, (1, 1, 1, 0))
    assert str(found).startswith(
        "Genotype(normal=[[('b', 0)], [('a', 1)], [('c', 3)], []], normal_con"
    )
    assert parse(str(found)) == parse(found.to_json()) == found


def test_one_primitive_on_every_edge():
    states = [state for node in range(4) for state in range(2 + node)]
    pairs = [(f"op{i}", state) for i, state in enumerate(states)]
    found = parse(f"Genotype(normal={pairs}, normal_concat=range(2, 6))")
    assert found.layout("normal") == (2, (2, 3, 4, 5))
    assert found.targets("normal")[4:7] == [1, 2, 2]
    assert parse(str(found)) == found


def test_of_recurrent_cells_identity_stays():
    text = "Genotype(recurrent=[('identity', 0), ('relu', 1)], concat=range(1, 3))"
    assert parse(text).cells["recurrent"] == (("identity", 0), ("relu", 1))
    assert parse("Genotype([('identity', 0), ('relu', 1)], range(1, 3))") == parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("range(2, 4)", "range(2, n)", 1), "line 1: 'n' is no list, number or text"),
        (PLAIN.replace("range(2, 4)", "range(2, 10**9)", 1), "is no list, number"),
        (PLAIN.replace("range(2, 4)", "range(2, 999999999)", 1), "is no range of states"),
        (f"\n\nA = {PLAIN.replace('[(', '[open(', 1)}", "line 1: .*open"),
        (f"10:00 x\n10:01 genotype = {PLAIN.replace(', 1)', ', x)', 1)}", "line 2: 'x' is no list"),
        (f"10:00 x\n10:01 genotype = {PLAIN[:-40]}", "line 2: '.' was never closed"),
        (
            PLAIN[:-1] + ", normal_bottleneck='conv_1x1')",
            "expected the fields .* normal_bottleneck",
        ),
        (call(with_thirds(lambda i: "sep_conv_3x3")), "is no"),
        (PLAIN.replace("('max_pool_3x3', 1)", "('max_pool_3x3', 1, 2)"), "some edges have targets"),
        (PLAIN.replace("('max_pool_3x3', 1)", "('max_pool_3x3',)"), "is no pair of a primitive"),
        (f"Genotype({POSITIONAL}, 3)", "5 fields without names; name them"),
        ("[1, 2]", "expected a genotype, not a list"),
        ("A = 3\nB = 4", "expected Genotype"),
        (json.dumps(NNI_3 | {"model/normal/op_2_5": "none"}), "normal/input_2_5"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "json", "nni"])
@pytest.mark.parametrize("name", ["DARTS_V2", "own"])
def test_cells_are_written_back(kind, name, tmp_path, monkeypatch, capsys):
    own = "Genotype(normal=[('a', 2, 0), ('b', 3, 1)], normal_concat=[2, 3])"
    cells = f"{own[:-1]}, {own[9:].replace('normal', 'reduce')}" if name == "own" else name
    options = (f"--genotype={cells}", f"--format={kind}", f"--out={tmp_path}")
    assert in_process.run(monkeypatch, capsys, export, *options)[0] == 0
    (path,) = tmp_path.iterdir()
    assert named.read(str(path)) == named.read(cells)


def test_what_nni_cannot_say_is_told(tmp_path, monkeypatch, capsys):
    options = ("--genotype=AmoebaNet", "--format=nni", f"--out={tmp_path}")
    code, _, stderr = in_process.run(monkeypatch, capsys, export, *options)
    assert code == 2 and "take --format=json" in stderr
    assert not list(tmp_path.iterdir())
