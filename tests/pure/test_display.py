"""The terminal display: what is printed, how often, and that it never raises."""

from __future__ import annotations

import dataclasses
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from prefect_tune.flows import display as display_module
from prefect_tune.flows.display import TerminalDisplay, show_result
from prefect_tune.report.progress import Progress
from prefect_tune.results import AdaptiveResult, Cost, Failure, SearchResult

RESULT = SearchResult(
    name="demo [red]",
    cv_results={
        "params": [{"C": 1, "kernel": "[bold]rbf"}, {"C": 10, "kernel": "linear"}],
        "mean_test_score": np.array([0.875, 0.925]),
        "std_test_score": np.array([0.01, 0.02]),
        "rank_test_score": np.array([2, 1]),
        "mean_fit_time": np.array([0.5, 0.25]),
    },
    best_index=1,
    best_params={"C": 10, "kernel": "linear"},
    best_score=0.925,
    metric="score",
    metrics=("score",),
    n_splits=5,
    cost=Cost(uses=30, distinct=21, known=9, run=12, task_runs=3, failed=1, wall_seconds=1.5),
    failures=(Failure(candidate=0, params="C=[1]", fold=2, cause="ValueError: [/bad]", tail="..."),),
    uncacheable=(("params['f']", "a lambda"),),
    report_path="out/report.md",
)


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_console(*, terminal: bool = False, width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def at(done: int, **fields) -> Progress:
    return Progress(name="demo", total=10, done=done, elapsed=float(done), **fields)


def test_log_gets_a_line_at_once_then_every_five_seconds():
    """Updates at 0, 1, 4, 5, 9 and 10 seconds: lines at 0, 5 and 10."""
    console, clock = a_console(), Clock()
    display = TerminalDisplay(console=console, clock=clock)
    for done, now in enumerate([0, 1, 4, 5, 9, 10]):
        clock.now = now
        display.update(at(done))
    assert lines(console) == [
        "demo: 0% after 0 s  0 of 10 steps",
        "demo: 30% after 3 s  3 of 10 steps",
        "demo: 50% after 5 s  5 of 10 steps",
    ]


def test_log_repeats_the_same_state_once_a_minute():
    """A search that waits an hour leaves sixty lines, not seven hundred."""
    console, clock = a_console(), Clock()
    display = TerminalDisplay(console=console, clock=clock)
    for now in range(0, 3600, 5):
        clock.now = now
        display.update(at(1, message="waiting for workers"))
    assert len(lines(console)) == 60


def test_terminal_gets_a_bar_that_goes_away():
    """In a terminal there is a bar with share, best and message; closing erases its line."""
    console = a_console(terminal=True)
    display = TerminalDisplay(console=console)
    display.update(at(5, best_score=0.9, best_params="C=[red]1", message="waiting for 2 workers"))
    console.print("a log line")
    display.close()
    drawn = console.file.getvalue()
    assert "━" * 12 + "─" * 12 in drawn
    assert "50%" in drawn
    assert "best 0.9 (C=[red]1) · waiting for 2 workers" in drawn
    assert "━" not in drawn[: drawn.index("a log line")].rpartition("\x1b[2K")[2]  # the bar made room
    assert drawn.rindex("━") > drawn.index("a log line")  # and is drawn again below
    assert drawn.endswith("\x1b[2K")  # erase the line


def test_terminal_without_unicode_gets_an_ascii_bar():
    """A terminal that is not UTF-8 gets # and -."""
    console = Console(file=io.TextIOWrapper(io.BytesIO(), "ascii", "replace"), force_terminal=True, width=120)
    display = TerminalDisplay(console=console)
    display.update(at(5))
    display.close()
    console.file.seek(0)
    assert "#" * 12 in console.file.read()


def test_verbose_zero_is_silent():
    """Neither progress nor the outcome is printed."""
    console = a_console()
    display = TerminalDisplay(0, console=console)
    display.update(at(1))
    display.close(RESULT)
    assert console.file.getvalue() == ""


def test_broken_console_is_reported_once_and_breaks_nothing(caplog):
    """A display that cannot write says so once in the log; later calls do nothing."""
    console = a_console()
    console.file.close()
    display = TerminalDisplay(console=console)
    for done in range(3):
        display.update(at(done))
    display.close(RESULT)
    assert [record.message for record in caplog.records] == [
        "the progress display stopped; the search goes on"
    ]


def test_close_prints_the_outcome():
    """With a result, closing prints it on the same console."""
    console = a_console()
    TerminalDisplay(console=console).close(RESULT)
    assert any("best     score 0.925" in line for line in lines(console))


def test_show_result_prints_everything_as_written():
    """Leaderboard, best, reuse, cost, failures and the report's place; brackets of users are no markup."""
    console = a_console()
    show_result(RESULT, console)
    text = [line.rstrip() for line in lines(console)]
    assert text[0] == "demo [red]: 2 candidates, 5 folds"
    assert [line.split() for line in text[1:4]] == [
        ["rank", "score", "std", "fit_seconds", "C", "kernel"],
        ["1", "0.925", "0.02", "0.25", "10", "linear"],
        ["2", "0.875", "0.01", "0.5", "1", "[bold]rbf"],
    ]
    assert text[4:] == [
        "best     score 0.925 with C=10, kernel=linear",
        "steps    30 = 12 ran + 9 shared + 9 known (3 task runs)",
        "cost     1.50 s wall, 0 s of work run, 0 s saved, 0 B written",
        "failed   1 score",
        "         1 × ValueError: [/bad] [C=[1]]",
        "uncached params['f']: a lambda",
        "report   out/report.md",
    ]


def test_show_result_puts_parameters_together_where_it_is_narrow():
    """Where a column for each parameter does not fit, they share one."""
    console = a_console(width=44)
    show_result(RESULT, console)
    assert lines(console)[1].split() == ["rank", "score", "std", "fit_seconds", "parameters"]
    assert "C=10," in lines(console)[2]


def test_notebook_renews_one_output(monkeypatch):
    """In a Jupyter kernel one output is made and renewed at most twice a second, the last state included."""
    ipython_display = pytest.importorskip("IPython.display", reason="IPython is not installed")
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    monkeypatch.setattr(ipython_display, "display", lambda *args, **kwargs: handle)
    monkeypatch.setattr(display_module, "_in_notebook", lambda: True)
    clock = Clock()
    display = TerminalDisplay(clock=clock)
    for done, now in enumerate([0.0, 0.1, 0.6, 0.7]):
        clock.now = now
        display.update(at(done))
    display.close()
    assert [text.split("  ")[1] for text in shown] == ["0 of 10 steps", "2 of 10 steps", "3 of 10 steps"]


HISTORY = [
    ("bracket=1-0", 1, 1, 0.5, True), ("bracket=1-1", 1, 1, 0.75, True), ("bracket=1-2", 1, 1, 0.625, True),
    ("bracket=1-1", 1, 3, 0.875, False), ("bracket=0-0", 0, 3, 0.8125, False),
]  # fmt: skip
ADAPTIVE = AdaptiveResult(
    name="demo [red]",
    cv_results={
        "model_id": np.array(["bracket=1-0", "bracket=1-1", "bracket=1-2", "bracket=0-0"], dtype=object),
        "params": [{"C": 1}, {"C": 2}, {"C": 3}, {"C": "[bold]"}],
        "partial_fit_calls": np.array([1, 3, 1, 3]),
        "bracket": np.array([1, 1, 1, 0], dtype=object),
        "mean_test_score": np.array([0.5, 0.875, 0.625, 0.8125]),
        "rank_test_score": np.array([4, 1, 3, 2]),
        "mean_fit_time": np.array([0.25, 0.5, 0.25, 0.5]),
    },
    best_index=1,
    best_params={"C": 2},
    best_score=0.875,
    metric="score",
    metrics=("score",),
    n_splits=1,
    history=tuple(
        {"model_id": name, "bracket": bracket, "partial_fit_calls": level, "score": score, "known": known}
        for name, bracket, level, score, known in HISTORY
    ),
    metadata={
        "n_models": 4,
        "partial_fit_calls": 8,
        "brackets": [
            {"bracket": 0, "n_models": 1, "partial_fit_calls": 3, "decisions": [3]},
            {"bracket": 1, "n_models": 3, "partial_fit_calls": 5, "decisions": [1, 3]},
        ],
    },
    rounds_found=3,
    rounds_run=2,
    cost=Cost(unit="training call", calls=5, task_runs=2, wall_seconds=1.5),
    report_path="out/report.md",
)


def test_show_result_of_an_adaptive_search():
    """Leaderboard with calls and bracket, a line for each bracket, what ran in calls, what was resumed."""
    console = a_console()
    show_result(ADAPTIVE, console)
    text = [line.rstrip() for line in lines(console)]
    assert text[0] == "demo [red]: 4 candidates in 2 brackets, up to 3 calls each"
    assert [line.split() for line in text[1:4]] == [
        ["rank", "score", "calls", "bracket", "fit_seconds", "C"],
        ["1", "0.875", "3", "1", "0.5", "2"],
        ["2", "0.8125", "3", "0", "0.5", "[bold]"],
    ]
    assert [re.split("  +", line.strip()) for line in text[6:11]] == [
        [""],
        ["bracket", "candidates", "candidates at calls", "calls", "known", "best"],
        ["1", "3", "3 at 1, 1 at 3", "5 of 5", "3 of 4", "0.875"],
        ["0", "1", "1 at 3", "3 of 3", "0 of 1", "0.8125"],
        [""],
    ]
    assert text[11:] == [
        "best     score 0.875 with C=2",
        "calls    8 = 5 ran + 3 known (2 task runs)",
        "resumed  3 of 5 rounds were known, 2 run",
        "cost     1.50 s wall, 0 s of work run, 0 s saved, 0 B written",
        "report   out/report.md",
    ]


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (80, ["1", "3", "3 at 1, 1 at 3", "5 of 5", "3 of 4", "0.875"]),
        (60, ["1", "3 at 1, 1 at 3", "5 of 5", "3 of 4", "0.875"]),
        (45, ["1", "3", "5 of 5", "3 of 4", "0.875"]),
    ],
)
def test_show_result_leaves_a_column_out_where_it_is_narrow(width, row):
    """Each bracket keeps its line: the number of candidates goes, or the rungs where that is not enough."""
    console = a_console(width=width)
    show_result(dataclasses.replace(ADAPTIVE, name="demo"), console)
    text = [line.strip() for line in lines(console)]
    found = next(i for i, line in enumerate(text) if line.startswith("bracket "))
    assert re.split("  +", text[found + 1]) == row


def test_show_result_says_why_the_best_is_not_the_first():
    """The best comes from those that were trained to the end, and may have a lower rank."""
    console = a_console()
    show_result(dataclasses.replace(ADAPTIVE, best_index=3, best_params={"C": 9}, best_score=0.8125), console)
    assert any(line.strip().startswith("the best has rank 2:") for line in lines(console))


def test_terminal_counts_calls():
    """An adaptive search counts its calls, one or many, and says how many rounds it found."""
    console = a_console(terminal=True)
    display = TerminalDisplay(console=console)
    display.update(
        Progress(
            name="hyperband-search", total=357, done=150, elapsed=3.2, unit="call", best_score=0.91,
            best_params="alpha=0.01", message="12 rounds found",
        )
    )  # fmt: skip
    display.close()
    expected = "42% 3 s  150 of 357 calls · best 0.91 (alpha=0.01) · 12 rounds found"
    assert f"hyperband-search {'━' * 10}{'─' * 14}  {expected}" in console.file.getvalue()
    console = a_console()
    TerminalDisplay(console=console).update(Progress(name="one", total=1, unit="call"))
    assert lines(console) == ["one: 0% after 0 s  0 of 1 call"]
