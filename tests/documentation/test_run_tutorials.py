"""The code of the README and of the tutorials runs, without any setup."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from pages import OTHERS, README, TUTORIALS, run_pages


def test_readme(tmp_path):
    """The README's code, in a process of its own and with a new database: what a newcomer runs first."""
    run_pages([README], tmp_path, tmp_path / "new")


@pytest.mark.timeout(600)  # all in one process, which shares the API and the cluster
def test_tutorials(tmp_path, prefect_home):
    """The tutorials' code; none uses names or files of another."""
    run_pages([*TUTORIALS, *OTHERS], tmp_path, prefect_home(tmp_path / "home"))
