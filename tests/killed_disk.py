"""A process that is killed just before a file operation, in this process."""

import builtins
import os
import pathlib

_NAMES = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync")


class Killed(BaseException):
    pass


class Disk:
    """Counts the operations that change files of a folder; one of them and all after it do not happen.

    Args:
        patch: pytest.MonkeyPatch.
        folder: whose files count.
        at: number of the operation, from 0; None: all happen.
        error: what is raised then.
    """

    def __init__(self, patch, folder, *, at=None, error=Killed):
        self.folder, self.at, self.done = str(folder), at, 0
        self.dead, self.error = False, error
        for name in _NAMES:
            patch.setattr(os, name, self._counting(getattr(os, name)))
        patch.setattr(builtins, "open", self._opening(open))

    def _count(self):
        if self.done == self.at or self.dead:
            self.dead = True
            raise self.error
        self.done += 1

    def _counting(self, operation):
        def counted(what, *args, **kwargs):
            if isinstance(what, int) or self._is_mine(what):
                self._count()
            return operation(what, *args, **kwargs)

        return counted

    def _opening(self, operation):
        def opened(file, mode="r", *args, **kwargs):
            if self._is_mine(file) and set(mode) & set("wax+"):
                self._count()
            return operation(file, mode, *args, **kwargs)

        return opened

    def _is_mine(self, path):
        return isinstance(path, str | pathlib.Path) and str(path).startswith(self.folder)
