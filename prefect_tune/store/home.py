"""Where the store lies when nobody says otherwise. Touches no file, imports no Prefect."""

from __future__ import annotations

import os
from pathlib import Path


def default_root() -> Path:
    """Folder of the store: `$PREFECT_TUNE_STORE`, else `$PREFECT_HOME/tune`, else `~/.prefect/tune`."""
    if own := os.environ.get("PREFECT_TUNE_STORE"):
        return Path(own).expanduser()
    home = os.environ.get("PREFECT_HOME") or "~/.prefect"
    return Path(home).expanduser() / "tune"
