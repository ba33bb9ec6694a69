"""Where the store lies when nobody says otherwise. Touches no file, imports no Prefect."""

from __future__ import annotations

import os
import re
from pathlib import Path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(place: object) -> bool:
    """Whether this is text such as `s3://bucket/prefix`, and no folder."""
    return isinstance(place, str) and _URL.match(place) is not None


def default_root() -> Path | str:
    """The store's place: `$PREFECT_TUNE_STORE`, else `$PREFECT_HOME/tune`, else `~/.prefect/tune`.

    A text if the variable holds a URL, else a path.
    """
    if own := os.environ.get("PREFECT_TUNE_STORE"):
        return own if is_url(own) else Path(own).expanduser()
    home = os.environ.get("PREFECT_HOME") or "~/.prefect"
    return Path(home).expanduser() / "tune"


def default_cache() -> Path:
    """Folder of what is kept here of stores on object storage.

    `$PREFECT_TUNE_CACHE`, else `$PREFECT_HOME/tune-cache`, else `~/.prefect/tune-cache`.
    """
    if own := os.environ.get("PREFECT_TUNE_CACHE"):
        return Path(own).expanduser()
    home = os.environ.get("PREFECT_HOME") or "~/.prefect"
    return Path(home).expanduser() / "tune-cache"
