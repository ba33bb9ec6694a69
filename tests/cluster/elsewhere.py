"""Preloaded by a Dask worker: it is on another host, where the folders of the driver do not exist."""

from __future__ import annotations

import errno
import os
import sys

_AWAY = os.environ.get("PREFECT_TUNE_TEST_AWAY", "")
_ASKED = {"open", "os.listdir", "os.mkdir", "os.link", "os.rename", "os.remove", "os.scandir"}


def _hide(event: str, args: tuple) -> None:
    if event in _ASKED and isinstance(args[0], (str, os.PathLike)) and os.fspath(args[0]).startswith(_AWAY):
        raise FileNotFoundError(errno.ENOENT, "on another host", os.fspath(args[0]))


if _AWAY:
    sys.addaudithook(_hide)
