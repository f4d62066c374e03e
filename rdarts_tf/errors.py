"""The error that a user can mend: the CLIs print its one sentence and exit with its code."""

import functools

_SEEN = []  # UserErrors within pipelines of TensorFlow, which passes on no more than their text


class UserError(ValueError):
    """Names the value that is wrong and the remedy, in one sentence."""

    exit_code = 2


def kept(function):
    """`function` for a pipeline of TensorFlow; its UserError can be had by `take_kept`."""

    @functools.wraps(function)
    def called(*arguments):
        try:
            return function(*arguments)
        except UserError as error:
            _SEEN.append(error)
            raise

    return called


def take_kept():
    """The first UserError within a pipeline since the last call, or None."""
    error = _SEEN[0] if _SEEN else None
    _SEEN.clear()
    return error
