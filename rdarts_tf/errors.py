"""The error that a user can mend: the CLIs print its one sentence and exit with code 2."""


class UserError(ValueError):
    """Names the value that is wrong and the remedy, in one sentence."""
