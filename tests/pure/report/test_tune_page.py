"""The leaderboard, the page and the lines of a search over an objective, read back by other parsers."""

from __future__ import annotations

import base64
import io
import itertools
import json
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image
from rich.console import Console

from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.outcome import show_result
from prefect_tune.report.pages import outcome, page, rows
from prefect_tune.report.progress import Progress
from prefect_tune.report.sections import MAX_BYTES
from prefect_tune.report.tune import page as page_module
from prefect_tune.trials import TrialState

sys.path.append(str(Path(__file__).parent))
from made_results import COST, NAN, NASTY, RESULTS, a_result, a_trial, failed, halved

every_result = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())


def parse(text: str):
    return MarkdownIt("commonmark").enable("table").parse(text)


def headings(text: str) -> list[str]:
    pairs = itertools.pairwise(parse(text))
    return ["".join(c.content for c in b.children) for a, b in pairs if a.type == "heading_open"]


def tables(text: str) -> list[list[list[str]]]:
    """All tables as rows of cells, as the parser sees them."""
    found: list[list[list[str]]] = []
    for token, following in itertools.pairwise(parse(text)):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append("".join(child.content for child in following.children))
    return found


# Rows


@every_result
def test_rows_are_strict_json(result):
    """Every cell is strict JSON, all rows have the same columns; ranks rise, then there are none."""
    found = rows(result)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert len({tuple(row) for row in found}) <= 1
    assert len(found) == min(50, len(result))
    ranks = [row["rank"] for row in found]
    n = sum(rank != "" for rank in ranks)
    assert ranks == [*range(1, n + 1), *[""] * (len(ranks) - n)]


def test_rows_of_a_worked_example():
    """Trial 2 came furthest, trial 0 has the better value, trial 1 failed; a missing value is empty."""
    trials = [
        a_trial(0, {"x": 0.123456789, "c": 1}, [0.5], state=TrialState.STOPPED, seconds=1.0),
        a_trial(1, {"x": 1.0, "y": "a", "c": 1}, [], state=TrialState.FAILED),
        a_trial(2, {"x": 2.0, "c": 1}, [0.9, 0.8], state=TrialState.COMPLETED, seconds=2.0),
    ]
    trials[2].reports[-1].metrics["auc"] = 0.7
    assert rows(a_result(trials, levels=(1, 2))) == [
        {"rank": 1, "trial": 2, "state": "completed", "resource": 2, "loss": 0.8, "x": 2.0, "y": "",
         "auc": 0.7, "seconds": 2.0, "c": 1},
        {"rank": 2, "trial": 0, "state": "stopped", "resource": 1, "loss": 0.5, "x": 0.123457, "y": "",
         "auc": "", "seconds": 1.0, "c": 1},
        {"rank": "", "trial": 1, "state": "failed", "resource": 0, "loss": "", "x": 1.0, "y": "a", "auc": "",
         "seconds": 0.0, "c": 1},
    ]  # fmt: skip


def test_rows_rename_a_parameter_called_like_a_column():
    """A parameter `trial` does not overwrite the trial."""
    row = rows(RESULTS["odd names"], 1)[0]
    assert row["trial"] == row["param_trial"]
    assert row["big"] == str(10**20 + row["trial"])


# The page


@pytest.mark.parametrize("name", RESULTS)
def test_page_is_bounded_markdown(name):
    """One title, and no picture that is not defined; what users wrote is no markup."""
    result, drawn = RESULTS[name], name in ("all failed", "one trial", "astray", "odd names")
    text = page(result, figures=drawn)
    assert len(text.encode()) <= MAX_BYTES
    assert headings(text)[0] == (result.name or "search")
    tokens = [child for token in parse(text) if token.children for child in token.children]
    assert not [token for token in tokens if token.type == "html_inline"]
    for token in tokens:
        if token.type == "image":
            kind, _, data = token.attrs["src"].partition(",")
            assert kind == "data:image/png;base64"
            Image.open(io.BytesIO(base64.b64decode(data))).verify()


def test_page_of_a_halving():
    """Best, leaderboard, pictures, rungs, cost and failures are there, each under its heading."""
    text = page(halved(60, mode="max"))
    assert headings(text) == [
        "demo", "Leaderboard", "History", "Learning curves", "Importances", "Slices", "Parallel coordinates",
        "Cost", "Failures", "ValueError: row 10 is [broken] | bad", "The whole", "How it was made",
    ]  # fmt: skip
    assert "5 trials failed" in text
    _, board, rungs, cost = tables(text)
    assert board[0][:5] == ["rank", "trial", "state", "resource", "score"]
    assert len(board) == 11
    assert rungs[0] == ["resource", "trials", "median", "best"]
    assert [row[0] for row in rungs[1:]] == ["1", "3", "9", "27"]
    assert dict(cost)["units of the resource known from the store"] == "67"
    assert dict(cost)["60 suggestions"] == "1.20 s (20 ms each)"


def test_page_of_a_function_has_no_curves():
    """Where trials report once, neither curves nor rungs nor a resource are shown."""
    text = page(RESULTS["a function"], figures=False)
    assert "Learning curves" not in headings(text)
    assert "Rungs" not in headings(text)
    assert tables(text)[1][0][:4] == ["rank", "trial", "state", "loss"]
    assert dict(tables(text)[2])["evaluations trained"] == "213"


def test_page_without_pictures_has_none():
    """While a search runs the page may come without pictures: the same words, the rungs in numbers."""
    text = page(halved(60), figures=False)
    assert "data:image" not in text
    assert headings(text)[1:4] == ["Leaderboard", "Rungs", "Cost"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"stopped_by": "max_time"}, "Stopped by `max_time`."),
        ({}, "It ended by itself: every trial has come to its end."),
    ],
)
def test_page_says_what_ended_the_search(fields, text):
    """The criterion by its name; without one it ended by itself."""
    assert text in page(a_result(halved(5).trials, metric="score", **fields), figures=False)


def test_page_of_a_running_search():
    """What runs and what waits is counted, and the search goes on."""
    text = page(RESULTS["running"], figures=False)
    assert "The search goes on." in text
    running = sum(trial.state is TrialState.RUNNING for trial in RESULTS["running"])
    assert f"{running} running" in text


def test_page_says_why_the_best_is_not_first():
    """A better value of a trial that came less far does not lead the leaderboard."""
    trials = [a_trial(0, {"x": 1}, [0.9, 0.8]), a_trial(1, {"x": 2}, [0.1])]
    text = page(a_result(trials, levels=(1, 2)), figures=False)
    assert "the best value, of trial 1, has rank 2" in text
    assert "has rank" not in page(a_result(trials[:1], levels=(1, 2)), figures=False)


def test_page_groups_failures_by_cause():
    """Causes that differ only in numbers are one, with the trials that have it."""
    text = page(a_result(failed(14), metric=None), figures=False)
    assert "14 trials: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …. First: trial 0" in text
    assert "**No trial has a value.**" in text
    assert len([heading for heading in headings(text) if heading.startswith("ValueError")]) == 1


def test_page_leaves_the_largest_pictures_out_where_it_grows_too_large(monkeypatch):
    """The words and the smaller pictures stay."""
    monkeypatch.setattr(page_module, "MAX_BYTES", 90_000)
    text = page(RESULTS["running"])
    assert len(text) <= 90_000
    assert "Parallel coordinates" not in headings(text)
    assert "Importances" in headings(text)


def test_page_survives_a_picture_that_cannot_be_drawn(monkeypatch, caplog):
    """It is left out, and the log says so."""

    def broken(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr(page_module, "history_figure", broken)
    found = headings(page(halved(5)))
    assert "History" not in found
    assert "Slices" in found
    assert "history could not be drawn" in caplog.text


def test_page_says_why_there_are_no_importances():
    """With too few trials it says how many it takes."""
    assert "Importances need 20 trials with a value; there are 5." in page(halved(5))


def test_page_lists_what_is_not_cacheable():
    """Where, and why, in code spans."""
    text = page(a_result([], metric=None, uncacheable=((NASTY, "a lambda"),)), figures=False)
    assert "Not cacheable" in headings(text)
    assert tables(text)[-1][1][1] == "a lambda"


# Lines


def test_outcome_is_one_line():
    """The best value with what varies, the number of trials and the time; less where there is less."""
    trials = [a_trial(i, {"x": i, "n": 3}, [1.0 - i]) for i in range(2)]
    assert outcome(a_result(trials)) == "best 0 (`x=1`) of 2 trials in 25.0 s"
    assert outcome(a_result([a_trial(0, {}, [NAN])])) == "1 trial in 25.0 s"


def test_unknown_results_are_refused():
    """Anything else is a mistake of ours that names the class."""
    for show in (outcome, rows, page):
        with pytest.raises(TypeError, match="leaves no dict"):
            show({})


@every_result
def test_show_result_prints_every_result(result):
    """The terminal gets a title, the leaderboard and the lines below it, whatever the trials are."""
    console = Console(file=io.StringIO(), width=110, color_system=None)
    show_result(result, console)
    text = console.file.getvalue()
    assert text.startswith(result.name or "search")
    assert "213 trained + 67 known (83 task runs)" in text


def test_show_result_of_a_halving():
    """Best, rungs, cost and causes in the words of the page."""
    console = Console(file=io.StringIO(), width=110, color_system=None)
    show_result(a_result(halved(60).trials, metric="score", levels=(1, 3, 9, 27), cost=COST), console)
    text = console.file.getvalue()
    assert "resource  trials" in text
    assert "units    280 = 213 trained + 67 known (83 task runs)" in text
    assert "cost     25.0 s wall, 40.0 s in objectives, 1.20 s suggesting" in text
    assert "5 × ValueError: row 10 is [broken] | bad" in text


@pytest.mark.parametrize(("encoding", "curve"), [("utf-8", "▁▄█"), ("ascii", " -#")])
def test_terminal_shows_the_leaders_below_the_bar(encoding, curve):
    """While a search runs its leaders stand below the bar, drawn in ASCII where there is no more."""
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding, "replace"), force_terminal=True, width=120)
    display = TerminalDisplay(console=console)
    display.update(Progress(name="demo", total=10, done=5, leaders=("  trial 7  ▁▄█  x=1",)))
    display.close()
    console.file.flush()
    assert f"trial 7  {curve}  x=1" in raw.getvalue().decode(encoding)
