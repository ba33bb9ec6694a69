"""The code of the how-to pages runs, without any setup."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from pages import HOW_TOS, run_pages


@pytest.mark.timeout(600)  # all in one process, which shares the API and the cluster
def test_how_tos(tmp_path, prefect_home):
    """None uses names or files of another."""
    run_pages(HOW_TOS, tmp_path, prefect_home(tmp_path / "home"))
