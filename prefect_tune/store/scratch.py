"""Scratch folders: room for files that live as long as one run, in `tmp/` or else in the system's."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from prefect_tune.store.site import Site

_RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class Scratch:
    """The scratch folders of one store, as seen by this process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._outside: dict[str, str] = {}

    def open(self, run_id: str, *, inside: bool) -> Path:
        """The folder of the run, created if need be; ValueError for an id that is no plain file name."""
        path = self._path(run_id)
        if inside and run_id not in self._outside:
            try:
                self._site.make_parents(f"{path}/x")
                return Path(path)
            except OSError:
                pass  # full or read-only by now: the run still needs room
        if os.path.isdir(path):
            return Path(path)
        if run_id not in self._outside:
            self._outside[run_id] = tempfile.mkdtemp(prefix=f"prefect-tune-{run_id}-")
        return Path(self._outside[run_id])

    def drop(self, run_id: str) -> None:
        """Removes the run's folders."""
        shutil.rmtree(self._path(run_id), ignore_errors=True)
        if outside := self._outside.pop(run_id, None):
            shutil.rmtree(outside, ignore_errors=True)

    def _path(self, run_id: str) -> str:
        if not _RUN_ID.fullmatch(run_id):
            raise ValueError(
                f"store: run id {run_id!r} is no plain name of letters, digits, '.', '_' and '-'."
            )
        return f"{self._site.root}/tmp/run-{run_id}"
