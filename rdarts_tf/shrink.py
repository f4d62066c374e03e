"""Makes a smaller space of what a search found strong.

    python -m rdarts_tf.shrink runs/darts_cifar10_darts_s2 --keep=4

RUN is the directory of a finished search. Of each edge the --keep primitives with the largest weight stay,
none of them `none`, as the paper made S1 of the full space by --keep=4, another search and --keep=2. Writes
the space for --space='space_file(FILE)' and its drawings.
"""

import pathlib
import shlex

from scipy import special

from rdarts_tf import registry
from rdarts_tf.analysis import shrinking
from rdarts_tf.config import base, flags, spaces
from rdarts_tf.config.shrink import ShrinkConfig
from rdarts_tf.errors import UserError
from rdarts_tf.runs import placing, record_reading
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces import space_file


def main(config, paths):
    if len(paths) != 1:
        raise UserError(f"give the directory of one search, not {len(paths)}")
    if config.keep is None:
        raise UserError("give --keep, how many primitives each edge keeps")
    record = _finished(paths[0])
    space = shrinking.shrink(record.make_space(), _edge_weights(record.searched), config.keep)
    space_file.make(space_file.to_plain(space))  # can be read
    path = _place(config, record, f"{space.name}.json")
    files = _drawings(space, path.stem) | {path.name: space_file.to_json(space).encode()}
    placing.write_files(path.parent, files, replace=config.overwrite or not config.out)
    print(f"next: {_next(record, path)}")
    return 0


def _finished(path):
    """The run_records.Record of a finished search."""
    if not RunDir(path).holds("search"):
        raise UserError(f"{path} is no run directory: it holds no config.json of a search")
    records, refused = record_reading.read([path])
    if not records:
        raise UserError(refused[0])
    record = records[0]
    if record.genotype is None:
        raise UserError(f"{path} is not finished; go on with it by {record.resume_command}")
    return record


def _edge_weights(record):
    """{cell type: softmax(alpha) [E, K]} of the epoch whose architecture is the result."""
    stop, num = record.stop_epoch, len(record.metrics)
    epoch = num - 1 if stop is None else stop
    if not record.alphas:
        raise UserError(
            f"{record.path} has no alphas, so no primitive of it is the strongest; take a search by a "
            "method that trains them, such as darts"
        )
    with record_reading.damage(record.path / "alphas.npz"):
        return {
            t: special.softmax(alpha[:num][epoch], axis=-1) for t, alpha in record.alphas.items()
        }


def _place(config, record, name):
    """The path of the file."""
    if config.out:
        return placing.target(pathlib.Path(config.out), name)
    return placing.inside(record.path, "shrink") / name


def _drawings(space, stem):
    """{file name: bytes} of a picture of each cell type."""
    from rdarts_tf.drawing import plots, space_plot  # matplotlib takes a second to load

    return {
        f"{stem}_{cell_type}.png": plots.to_png(
            space_plot.draw_space(space, cell_type, title=f"{cell_type} cell of {space.name}")
        )
        for cell_type in space.cells
    }


def _next(record, path):
    """The command that searches in the space."""
    spec = f"space_file({path})"
    if registry.parse(spec)[1:] != ([str(path)], {}):
        spec = f"space_file({str(path)!r})"
    values = {"space": spec, "dataset": record.config["dataset"]}
    values |= {"plugin": spaces.plugin(spec)}
    return shlex.join(("python", "-m", "rdarts_tf.search", *base.argv(values)))


def run():
    """The command; exits."""
    flags.run(main, lambda _: ShrinkConfig, in_run_dir=False)


if __name__ == "__main__":
    run()
