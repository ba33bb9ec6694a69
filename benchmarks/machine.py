"""Where figures were taken."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """Cores, Python, and the versions of the package and of those named; None for one that is not there."""
    versions: dict[str, str | None] = {}
    for package in ("prefect-tune", "prefect", "dask", "distributed", "numpy", *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {"cores": os.cpu_count(), "python": platform.python_version(), "versions": versions}
