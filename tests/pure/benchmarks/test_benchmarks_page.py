"""The page of the benchmarks says what was measured, and nothing of what was not."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

Part = Callable[[str], ModuleType]
MACHINE = {"cores": 2, "python": "3.11.7", "versions": {"prefect": "3.8.8", "dask-ml": None}}
SEARCH = {
    "title": "(a) a grid",
    "median": {"prefect-tune": 2.0, "scikit-learn": 5.0, "dask-ml": 1.0},
    "ratio": {"scikit-learn": 2.5, "dask-ml": 0.5},
    "bound": 1.5,
}
ABOUT = {"command": "python benchmarks/grid_search.py", "when": "2026-11-22", "minutes": 1.0, "load": 0.5}
ROW = {"quantity": "a key", "measured": "9 µs", "reference": "-", "ratio": 0.5, "best_ratio": None}
JUDGED = [("≤ 10 µs", True, "met"), ("≤ 5 µs", False, "missed"), ("", None, "-")]


def test_a_row_for_each_peer(part: Part) -> None:
    """Ours stands beside each, with the ratio and the bound; what did not run has no row."""
    page_tables = part("page_tables")
    for module in (page_tables, part("adaptive_memory")):
        found = doctest.testmod(module)
        assert (found.failed, found.attempted > 0) == (0, True)
    assert [line.cells() for line in page_tables.grid_lines({"a": SEARCH})] == [
        ("(a) a grid", "2.00 s", "scikit-learn 5.00 s", "2.5\u00a0×", "1.50 s"),
        ("(a) a grid", "2.00 s", "dask-ml 1.00 s", "0.5\u00a0×", "1.50 s"),
    ]
    assert list(page_tables.adaptive_lines({"machine": MACHINE})) == []
    assert list(page_tables.tuner_lines({})) == []


def test_missed_budgets_stand_out(part: Part) -> None:
    """They are counted, and a row without a budget is not."""
    rows = [{**ROW, "budget": b, "met": met, "verdict": v} for b, met, v in JUDGED]
    said = part("page_tables").budgets({"cases": {"1": {"rows": rows, "load": 1.0}}})
    assert "1 of 2 budgets met" in said
    assert said.count("**missed**") == 1
    assert said.count("\n|") == 4, "a head, its rule and three rows"


def test_page_keeps_what_did_not_run(part: Part, tmp_path: Path) -> None:
    """What ran has its command and machine, the rest how it is run; the picture is there."""
    page = part("page")
    (tmp_path / "grid.json").write_text(json.dumps({"machine": MACHINE, "a": SEARCH}))
    (tmp_path / "grid.about.json").write_text(json.dumps(ABOUT))
    page.publish(tmp_path, tmp_path / "page.md")
    said = (tmp_path / "page.md").read_text()
    assert "`python benchmarks/grid_search.py`, 2026-11-22, 1.0 minutes, load 0.5 at its end: 2 cores" in said
    assert "prefect 3.8.8." in said, "dask-ml was not installed"
    assert "| (a) a grid | 2.00 s | dask-ml 1.00 s | 0.5\u00a0× | 1.50 s |" in said
    assert said.count("Not run yet") == len(page.BENCHMARKS) - 1
    assert (tmp_path / page.PICTURE).read_bytes().startswith(b"\x89PNG")
