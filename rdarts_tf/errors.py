"""The error that a user can mend: the CLIs print its one sentence and exit with its code."""


class UserError(ValueError):
    """Names the value that is wrong and the remedy, in one sentence."""

    exit_code = 2
