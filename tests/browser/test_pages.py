"""What a person sees of a search in Prefect's UI, in a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_a_run_can_be_read(ui: Any, api: Any, searches: dict[str, str]) -> None:
    """A search has its name, tags, a log that says where it runs and what it found, and named subflows."""
    run = searches["hyperband"]
    ui.open(f"/runs/flow-run/{run}", "iris hyperband")
    ui.shows("runs on the LocalCluster at ")
    ui.shows("dashboard http://127.0.0.1:")
    ui.shows("of 17 candidates in")
    ui.tab("Subflow Runs", "bracket 2 · 9 candidates")
    ui.shows("bracket 0 · 3 candidates")
    ui.picture("run", 900)
    ui.tab("Details", "prefect-tune")
    ui.shows("hyperband")
    assert ui.problems == []
    assert set(api.flow_run(run)["tags"]) == {"prefect-tune", "hyperband"}
    assert set(api.flow_run(searches["tune"])["tags"]) == {"prefect-tune", "tune", "tpe", "asha"}


def test_parameters_hold_no_data(ui: Any, api: Any, searches: dict[str, str]) -> None:
    """Parameters say what was asked for; data are names and digests."""
    run = searches["grid"]
    ui.open(f"/runs/flow-run/{run}", "iris pipeline")
    ui.tab("Parameters", "param_grid")
    parameters = api.flow_run(run)["parameters"]
    assert len(json.dumps(parameters)) < 4_000
    assert "[[" not in json.dumps([parameters["X"], parameters["y"]])
    assert ui.problems == []


def test_task_runs_have_names(ui: Any, searches: dict[str, str]) -> None:
    """Task runs are called by what they do."""
    ui.open(f"/runs/flow-run/{searches['grid']}", "iris pipeline")
    ui.tab("Task Runs", "best · all rows")
    ui.open(f"/runs/flow-run/{searches['tune']}", "learning rates")
    ui.tab("Task Runs", "trial 2")


SECTIONS = {
    "grid": ("Leaderboard", "Reuse", "Cost", "Failures", "How it was made"),
    "hyperband": ("Brackets", "Learning curves", "Leaderboard", "Reuse", "Cost", "Dask dashboard"),
    "tune": ("Leaderboard", "History", "Learning curves", "Parallel coordinates", "Cost", "Failures"),
}


@pytest.mark.parametrize(("kind", "pictures"), [("grid", 2), ("hyperband", 3), ("tune", 4)])
def test_reports_show_their_pictures(
    ui: Any, api: Any, searches: dict[str, str], kind: str, pictures: int
) -> None:
    """Each report has its sections and plots; every picture is drawn, and no Markdown is left raw."""
    report = api.artifacts(searches[kind])["report"]
    ui.open(f"/artifacts/artifact/{report['id']}", "How it was made")
    text = ui.text()
    assert [name for name in SECTIONS[kind] if name not in text] == []
    widths = ui.pictures()
    assert len(widths) >= pictures
    assert all(widths)
    assert [mark for mark in ("![", "](", "data:image", "|---", "```", "**") if mark in ui.prose()] == []
    assert ui.problems == []
    if kind == "hyperband":
        ui.picture("report", 1000)


def test_failures_say_why(ui: Any, api: Any, searches: dict[str, str]) -> None:
    """The report names the cause of a failure, and the candidate."""
    for kind, cause in (("grid", "parameter of SVC must be a float"), ("tune", "the loss is not finite")):
        report = api.artifacts(searches[kind])["report"]
        ui.open(f"/artifacts/artifact/{report['id']}", "Failures")
        ui.shows(cause)


def test_leaderboard_and_progress(ui: Any, api: Any, searches: dict[str, str]) -> None:
    """The leaderboard is a table with the best first; progress says that all is done, and the best."""
    artifacts = api.artifacts(searches["grid"])
    ui.open(f"/artifacts/artifact/{artifacts['leaderboard']['id']}", "pca__n_components")
    ui.picture("leaderboard", 700)
    rows = ui.page.locator("table tr")
    assert rows.nth(0).inner_text().split()[:3] == ["rank", "score", "std"]
    assert rows.nth(1).inner_text().split()[0] == "1"
    ui.open(f"/artifacts/artifact/{artifacts['progress']['id']}", "100%")
    ui.shows("of 16 candidates")
    assert ui.problems == []
