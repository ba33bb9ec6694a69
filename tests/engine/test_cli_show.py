"""`prefect-tune show`: what a search left in the API and in its store, for people and for programs."""

from __future__ import annotations

import json
import re
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cli_here import GRID, call_cli
from distributed.deploy.spec import SpecCluster
from seen import run_id
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from prefect_tune import AdaptiveResult, SearchResult, grid_search, hyperband_search
from prefect_tune.flows.cli.curves import sparkline
from prefect_tune.flows.cli.page import html_page, sections


@pytest.fixture(scope="module")
def here(
    prefect_api: str, dask_threads: SpecCluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Where the searches of this module run."""
    store = tmp_path_factory.mktemp("show") / "store"
    return {"store": str(store), "cluster": dask_threads.scheduler_address, "verbose": 0}


@pytest.fixture(scope="module")
def grid(here: dict[str, Any]) -> SearchResult:
    """A grid search of which one candidate fails."""
    X, y = load_iris(return_X_y=True)
    pipe = Pipeline([("scale", MinMaxScaler()), ("clf", KNeighborsClassifier())])
    values = {"clf__n_neighbors": [*GRID["clf__n_neighbors"], -1]}
    with pytest.warns(UserWarning, match="non-finite"):
        return grid_search(pipe, values, X, y, cv=3, name="shown [bold]", **here)


@pytest.fixture(scope="module")
def rounds(here: dict[str, Any]) -> AdaptiveResult:
    """A search in rounds, so with learning curves."""
    X, y = load_iris(return_X_y=True)
    model, space = SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]}
    return hyperband_search(
        model,
        space,
        X,
        y,
        max_iter=9,
        random_state=0,
        fit_params={"classes": [0, 1, 2]},
        name="curved",
        **here,
    )


def shown(capsys: Any, *arguments: str) -> Any:
    capsys.readouterr()
    assert call_cli("show", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_show_tells_what_the_result_says(grid: SearchResult, capsys: Any) -> None:
    """State, leaderboard, cost and failures as JSON are those of the result itself."""
    told = shown(capsys, str(run_id(grid)))
    assert (told["name"], told["state"]) == (grid.name, "Completed")
    board = grid.leaderboard()
    assert [row["clf__n_neighbors"] for row in told["leaderboard"]] == [
        int(row["clf__n_neighbors"]) for row in board
    ]
    assert told["leaderboard"][0]["score"] == pytest.approx(grid.best_score, rel=1e-5)
    assert told["cost"]["distinct"] == str(grid.cost.distinct)
    assert told["cost"]["run"] == str(grid.cost.run)
    assert told["cost"]["task_seconds"] > 0
    assert "n_neighbors" in told["sections"]["Failures"]["text"]
    assert told["curves"] == []


def test_show_finds_a_run_by_id_name_address_and_as_the_latest(
    grid: SearchResult, rounds: AdaptiveResult, capsys: Any
) -> None:
    """Each of them leads to the same run; brackets and other subflows are no searches."""
    for wanted in (str(run_id(grid)), grid.name, grid.flow_run_url):
        assert shown(capsys, wanted)["run"] == str(run_id(grid))
    assert shown(capsys)["run"] == shown(capsys, "latest")["run"] == str(run_id(rounds))


def test_show_prints_for_people(grid: SearchResult, capsys: Any) -> None:
    """The name stands as it is, brackets and all; best, leaderboard, reuse and failures are there."""
    assert call_cli("show", grid.name) == 0
    out = capsys.readouterr().out
    for word in (
        "shown [bold]: Completed",
        "clf__n_neighbors",
        "Reuse",
        "Cost",
        "Failures",
        "InvalidParameterError",
    ):
        assert word in out
    assert "data:image" not in out


def test_show_draws_a_curve_for_each_candidate(rounds: AdaptiveResult, capsys: Any) -> None:
    """Levels and scores of the curves are those of the history; the terminal shows them as blocks."""
    told = shown(capsys, "curved", "--limit", "50")
    history = {(e["params"]["alpha"], e["partial_fit_calls"], round(e["score"], 9)) for e in rounds.history}
    drawn = {
        (float(curve["params"].partition("=")[2]), level, round(score, 9))
        for curve in told["curves"]
        for level, score in zip(curve["levels"], curve["scores"], strict=True)
    }
    assert drawn == history
    assert call_cli("show", "curved") == 0
    assert re.search("[▁▂▃▄▅▆▇█]{2,}", capsys.readouterr().out)


def test_open_writes_one_html_file_and_opens_it(
    grid: SearchResult, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has the pictures in it, loads nothing from elsewhere, and is what the browser is sent to."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert call_cli("show", grid.name, "--open") == 0
    page = Path(unquote(urlsplit(opened[0]).path)).read_text(encoding="utf-8")
    assert page.count('<img src="data:image/') == page.count("<img ") >= 1
    assert not re.search(r'(src|href)="(?!data:|#|http://127)', page)
    assert "<script" not in page
    assert "<table>" in page


def test_output_writes_and_opens_nothing(
    grid: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--output` alone writes HTML or, for .md, the Markdown itself; a missing folder is a mistake."""
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("nothing is to be opened"))
    assert call_cli("show", grid.name, "--output", str(tmp_path / "report.html")) == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert call_cli("show", grid.name, "--output", str(tmp_path / "report.md")) == 0
    assert "## Leaderboard" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert call_cli("show", grid.name, "--output", str(tmp_path / "no" / "report.html")) == 2


def test_a_page_takes_no_html_from_a_search() -> None:
    """A parameter's value that is HTML, or a link that is a script, comes out as text."""
    page = html_page(
        "<img src=x onerror=alert(1)> [go](javascript:alert(1))\n\n![p](data:image/png;base64,AAAA)", "<b>"
    )
    assert "<img src=x" not in page
    assert 'href="javascript' not in page
    assert '<img src="data:image/png;base64,AAAA"' in page
    assert "<title>&lt;b&gt;</title>" in page


def test_sections_take_a_report_apart() -> None:
    """Tables as rows with their columns, text without tables, pictures and their contents."""
    table = "| a | b |\n| :-- | --: |\n| `x` | 1 |"
    report = f"top\n\n## Cost\n\nwords\n\n{table}\n\n![p][q]\n\n## End\n\n[q]: data:image/png;base64,AA"
    assert sections(report) == {
        "Cost": {"text": "words", "columns": ["a", "b"], "rows": [["x", "1"]]},
        "End": {"text": "", "columns": [], "rows": []},
    }


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([1.0, 1.0], "▁▁"), ([0.0, 7.0], "▁█"), ([0.0, float("nan"), 7.0], "▁·█")],
)
def test_sparkline(values: list[float], line: str) -> None:
    """Least to greatest; equal values are low, what is not finite is a dot."""
    finite = [value for value in values if value == value]
    assert sparkline(values, min(finite, default=0.0), max(finite, default=0.0)) == line
