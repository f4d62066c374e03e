"""The command line: the fields of a configuration as absl flags. The only file that reads flags."""

import contextlib
import dataclasses
import os
import shlex
import sys

from absl import app, flags

import rdarts_tf
from rdarts_tf import reading, registry
from rdarts_tf.config import base, help_page
from rdarts_tf.config.base import ConfigError
from rdarts_tf.errors import UserError

# What decides which flags there are, read before the rest.
EARLY = ("space", "genotype", "run_dir")
_PLUGIN = "module outside of rdarts_tf that a run's record may name, such as my_package.my_space"
_TRUST = ("space", "dataset", "method", "plugin", "run_dir")  # flags that `_trust` reads
_MOST_FLAGFILES, _LARGEST_FLAGFILE = 8, 2**20
_HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull", "--version")


def define_flags(config_class, *, in_run_dir, flag_values=flags.FLAGS):
    """Defines one flag per field of a configuration.

    Args:
        in_run_dir: define the flags of the run directory, too.
        flag_values: absl FlagValues that receive them.
    """
    own = {"flag_values": flag_values}
    for field in dataclasses.fields(config_class):
        text, low, high = (field.metadata.get(key) for key in ("help", "low", "high"))
        bounds = {"lower_bound": low, "upper_bound": high}
        kind = field.type if isinstance(field.type, type) else str
        if "choices" in field.metadata:
            flags.DEFINE_enum(field.name, field.default, field.metadata["choices"], text, **own)
        elif kind is bool:
            flags.DEFINE_bool(field.name, field.default, text, **own)
        elif kind is int or field.type == int | None:
            flags.DEFINE_integer(field.name, field.default, text, **bounds, **own)
        elif kind is float or field.type == float | None:
            flags.DEFINE_float(field.name, field.default, text, **bounds, **own)
        else:
            flags.DEFINE_string(field.name, field.default, text + _available(field.name), **own)
    if in_run_dir:
        flags.DEFINE_string("run_dir", None, config_class.RUN_DIR, **own)
        for name, text in _switches(config_class).items():
            flags.DEFINE_bool(name, False, text, **own)
    if config_class.READS_RECORDS:
        flags.DEFINE_multi_string("plugin", [], f"{_PLUGIN}; may be repeated", **own)


def _switches(config_class):
    """{flag: help} of what a command may be told to do in its run directory."""
    texts = {name: getattr(config_class, name.upper(), None) for name in ("overwrite", "extend")}
    return {name: text for name, text in texts.items() if text}


def run(main, choose, *, in_run_dir=True):
    """Runs the `main` of a command with the configuration that its flags give; exits with what it returns.

    A UserError is one sentence and its exit code, 2 as that of flags that cannot be parsed.

    Args:
        main: (configuration, arguments) -> exit code; in a run directory (configuration, run_dir=path
            or None, overwrite=bool), and extend=bool where the configuration has EXTEND.
        choose: {flag of EARLY: text or None} -> the class of the configuration.
        in_run_dir: whether the command works in one run directory, given by a flag.
    """
    _speak_utf_8()
    chosen = []

    def parse(argv):
        with _told():
            chosen.append(_choose(choose, argv))
            define_flags(chosen[0], in_run_dir=in_run_dir)
            _help(main, chosen[0], argv, in_run_dir=in_run_dir)
            return _parsed(flags.FLAGS, argv, chosen[0])

    def start(argv):
        with _told():
            config = from_flags(chosen[0])
            if not in_run_dir:
                sys.exit(main(config, argv[1:]))
            _refuse(argv[1:])
            sys.exit(main(config, **_given(chosen[0], flags.FLAGS)))

    app.run(start, flags_parser=parse)


def _speak_utf_8():
    """Starts the command again where this process reads and writes names of files in ASCII only."""
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)


@contextlib.contextmanager
def _told():
    """Ends the process with one sentence where the user can mend the error."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # by head, or a pager that was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("error: nobody reads what is printed any more", file=sys.stderr)
        sys.exit(1)


def from_flags(config_class, flag_values=flags.FLAGS):
    """The configuration that the parsed flags give; not yet checked.

    From then on plugins outside of this package that the flags name may be imported, none of them from
    the run directory.
    """
    _trust(flag_values)
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_class(**{name: flag_values[name].value for name in names})


def _trust(flag_values):
    given = {name: flag_values[name].value for name in _TRUST if name in flag_values}
    for kind in ("space", "dataset", "method"):
        text = given.get(kind) or ""
        for spec in registry.split(text, text):  # a sweep lists several
            registry.trust(spec, nested=kind == "method")
    for name in given.get("plugin") or ():
        registry.trust(name)
    if given.get("run_dir"):
        registry.distrust(given["run_dir"])


def names(choose, arguments):
    """The names of the flags of a command that works in a run directory.

    Args:
        choose, arguments: as in `parse`.
    """
    config_class = _choose(choose, ["", *arguments])
    fields = [field.name for field in dataclasses.fields(config_class)]
    return [*fields, "run_dir", *_switches(config_class), "plugin", "flagfile"]


def parse(choose, arguments):
    """What a command line gives, without touching the flags of this process.

    Args:
        choose: as in `run`, of a command that works in a run directory.
        arguments: texts, without the name of the command.
    Returns:
        (configuration, {"run_dir": path or None, "overwrite": bool, "extend": bool}).
    Raises:
        ConfigError: the command would not accept it.
    """
    values, argv = flags.FlagValues(), ["", *arguments]
    try:
        config_class = _choose(choose, argv)
        define_flags(config_class, in_run_dir=True, flag_values=values)
        _refuse(_parsed(values, argv, config_class)[1:])
    except ConfigError as error:
        raise ConfigError(f"{shlex.join(arguments)}: {error}") from error
    return from_flags(config_class, values), _given(config_class, values)


def parse_with_rest(config_class, arguments):
    """(configuration, list of what is left over) of a command that works in no run directory.

    Raises:
        ConfigError: as `parse`.
    """
    values, argv = flags.FlagValues(), ["", *arguments]
    define_flags(config_class, in_run_dir=False, flag_values=values)
    rest = _parsed(values, argv, config_class)[1:]
    return from_flags(config_class, values), rest


def _given(config_class, values):
    """{flag: value} of the flags of the run directory."""
    return {name: values[name].value for name in ("run_dir", *_switches(config_class))}


def _choose(choose, argv):
    """The configuration class that the early flags of a command line ask for."""
    _check_flagfiles(argv)
    early = flags.FlagValues()
    for name in EARLY:
        flags.DEFINE_string(name, None, "", flag_values=early)
    flags.DEFINE_multi_string("plugin", [], "", flag_values=early)
    with contextlib.suppress(flags.Error):  # the whole command line is parsed later, and told of
        early([arg for arg in argv if arg not in _HELP], known_only=True)
    _trust(early)
    return choose({name: early[name].value for name in EARLY})


def _check_flagfiles(argv, within=()):
    """Raises ConfigError where a flag file cannot be read, or includes itself."""
    for arg, following in zip(argv, [*argv[1:], ""], strict=True):
        if arg == "--":
            return
        name, equals, path = arg.lstrip("-").partition("=")
        if not arg.startswith("-") or name != "flagfile":
            continue
        path = os.path.expanduser(path if equals else following)
        if len(within) == _MOST_FLAGFILES or path in within:
            raise ConfigError(
                f"flag file {path} includes itself, or others too deep; leave that out"
            )
        try:
            lines = reading.read_text(path, _LARGEST_FLAGFILE).splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read --flagfile={path}: {error}") from error
        _check_flagfiles([line.strip() for line in lines], (*within, path))


def _parsed(values, argv, config_class):
    """What flags leave over of a command line; raises ConfigError."""
    try:
        rest = values(argv)
    except flags.UnrecognizedFlagError as error:
        names = {error.flagname, error.flagname.removeprefix("no")}  # of a switch
        others = {
            task: getattr(registry.load_task(task, "options"), config_class.__name__, None)
            for task in registry.names("tasks")
        }
        tasks = [
            t
            for t, other in others.items()
            if names & set(getattr(other, "__dataclass_fields__", ()))
        ]
        if tasks:
            raise ConfigError(
                f"--{error.flagname} is a flag of the task {' and of '.join(tasks)}, not of "
                f"{config_class.TASK or 'these cells'}; leave it out, or take another space"
            ) from error
        raise ConfigError(f"{error}; --help lists the flags") from error
    except (flags.Error, ValueError) as error:  # ValueError: a value for --nooverwrite
        raise ConfigError(f"{error}; --help lists the flags") from error
    if empty := [name for name in values if values[name].present and values[name].value == ""]:
        raise ConfigError(f"--{empty[0]} is empty; leave it out, or give a value")
    return rest


def _refuse(arguments):
    if arguments:
        raise ConfigError(f"unexpected argument {arguments[0]!r}; flags look like --epochs=20")


def _available(name):
    kind = f"{name}s"
    return f": {', '.join(registry.names(kind))}" if kind in registry.KINDS else ""


def _help(main, config_class, argv, *, in_run_dir):
    """Prints what --help, --helpfull or --version asks for and ends the process, if they are there."""
    own = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    asked = next((arg for arg in own if arg in _HELP), None)
    if asked == "--version":
        print(f"rdarts_tf {rdarts_tf.__version__}")
    elif asked:
        print(_page(main.__globals__["__doc__"], config_class, in_run_dir=in_run_dir))
        print(flags.FLAGS.get_help() if asked == "--helpfull" else "--helpfull lists the rest")
    if asked:
        sys.exit(0)


def _page(text, config_class, *, in_run_dir):
    """The page of --help: what the command does, and its flags in groups."""
    groups = {name: [] for name in base.GROUPS}
    for field in dataclasses.fields(config_class):
        choices = field.metadata.get("choices")
        told = f" ({', '.join(choices)})" if choices else _available(field.name)
        groups[field.metadata["group"]].append(
            (field.name, field.default, field.metadata["help"] + told)
        )
    if in_run_dir:
        groups["run directory"].append(("run_dir", None, config_class.RUN_DIR))
        switches = _switches(config_class).items()
        groups["run directory"] += [(name, False, text) for name, text in switches]
    if config_class.READS_RECORDS:
        groups["run directory"].append(("plugin", None, f"{_PLUGIN}; may be repeated"))
    return help_page.text(text, groups)
