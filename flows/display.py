"""A search in the terminal or the notebook: its progress while it runs, its outcome at the end.

Rule: a display never breaks a search. Whatever goes wrong here is logged once and then kept quiet.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prefect_tune.report.parameters import parameter_columns, varied_parameters
from prefect_tune.report.progress import Progress
from prefect_tune.report.tables import column_name, leaderboard_rows
from prefect_tune.report.text import (
    bytes_text,
    counted,
    failure_groups,
    one_line,
    progress_text,
    score_text,
    seconds_text,
    value_text,
)
from prefect_tune.results import SearchResult

_PLAIN_EVERY = 5.0  # seconds between lines in a log
_SAME_EVERY = 60.0  # and between lines that say the same
_NOTEBOOK_EVERY = 0.5
_BAR = 24  # characters

_log = logging.getLogger(__name__)


class TerminalDisplay:
    """Shows a search on stderr: a live bar in a terminal, one renewed line in a notebook, lines in a log.

    Args:
        verbose: 0 shows nothing.
        console: where to draw; by default the one Prefect logs on, so that its lines pass above the bar.
        clock: seconds from any start.
    """

    def __init__(
        self, verbose: int = 1, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._given = console
        self._painter: _Live | _Notebook | _Lines | None = None
        self._quiet = verbose <= 0

    def update(self, progress: Progress) -> None:
        """Shows `progress`; cheap enough to be called for every event."""
        self._guarded(lambda: self._paint(progress))

    def close(self, result: SearchResult | None = None) -> None:
        """Removes the bar and, for a finished search, prints the outcome."""
        self._guarded(lambda: self._end(result))

    def _paint(self, progress: Progress) -> None:
        if self._painter is None:
            self._painter = _painter(self._given, self._clock, progress)
        self._painter.update(progress)

    def _end(self, result: SearchResult | None) -> None:
        painter, self._painter = self._painter, None
        if painter is not None:
            painter.close()
        if result is not None:
            # A console of our own: Prefect's knows none of the styles of a table.
            show_result(result, self._given or Console(stderr=True))

    def _guarded(self, action: Callable[[], None]) -> None:
        if self._quiet:
            return
        try:
            action()
        except Exception:
            self._quiet = True
            _log.warning("the progress display stopped; the search goes on", exc_info=True)


class _Live:
    """A bar that redraws itself four times a second from the latest snapshot."""

    def __init__(self, console: Console, clock: Callable[[], float], first: Progress) -> None:
        self._clock = clock
        self.update(first)
        self._ascii = not (console.encoding or "").lower().startswith("utf")
        # Output redirected to a file stays out of the terminal.
        self._live = Live(
            console=console, get_renderable=self._line, transient=True, redirect_stdout=sys.stdout.isatty()
        )
        self._live.start()

    def update(self, progress: Progress) -> None:
        self._latest, self._since = progress, self._clock()

    def close(self) -> None:
        self._live.stop()

    def _line(self) -> Text:
        progress = self._latest
        share = min(1.0, max(0.0, progress.fraction))
        filled = round(share * _BAR)
        full, empty = ("#", "-") if self._ascii else ("━", "─")
        elapsed = progress.elapsed + self._clock() - self._since
        return Text.assemble(
            (one_line(progress.name, 30) + " ", "bold"),
            (full * filled, "green"),
            (empty * (_BAR - filled), "dim"),
            f" {share:4.0%} {seconds_text(round(elapsed))}  {progress_text(progress)}",
            no_wrap=True,
            overflow="ellipsis",
        )


class _Lines:
    """Plain lines for logs and pipes: at once, then at most every five seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console, self._clock = console, clock
        self._shown, self._at = "", float("-inf")

    def update(self, progress: Progress) -> None:
        text, now = progress_text(progress), self._clock()
        if now - self._at < (_SAME_EVERY if text == self._shown else _PLAIN_EVERY):
            return
        self._shown, self._at = text, now
        self._console.print(Text(_plain_line(progress)), soft_wrap=True)

    def close(self) -> None:
        """Nothing to remove."""


class _Notebook:
    """One output line of a cell, renewed in place; needs no widgets."""

    def __init__(self, clock: Callable[[], float]) -> None:
        from IPython.display import display

        self._clock, self._at = clock, float("-inf")
        self._latest: Progress | None = None
        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, progress: Progress) -> None:
        self._latest = progress
        if self._clock() - self._at >= _NOTEBOOK_EVERY:
            self._draw(progress)

    def close(self) -> None:
        if self._latest is not None:
            self._draw(self._latest)

    def _draw(self, progress: Progress) -> None:
        self._at, self._latest = self._clock(), None
        self._handle.update({"text/plain": _plain_line(progress)}, raw=True)


def _painter(
    console: Console | None, clock: Callable[[], float], first: Progress
) -> _Live | _Notebook | _Lines:
    """The display that fits the place. A second bar in one terminal becomes lines."""
    if console is None and _in_notebook():
        return _Notebook(clock)
    console = console or _prefect_console() or Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        try:
            return _Live(console, clock, first)
        except Exception:
            _log.debug("no live display", exc_info=True)
    return _Lines(console, clock)


def _plain_line(progress: Progress) -> str:
    name = f"{one_line(progress.name, 30)}: " if progress.name else ""
    share = f"{min(1.0, max(0.0, progress.fraction)):.0%} " if progress.total else ""
    return f"{name}{share}after {seconds_text(round(progress.elapsed))}  {progress_text(progress)}".rstrip()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; IPython in a terminal is a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _prefect_console() -> Console | None:
    """The console of Prefect's log handler, if it writes to today's stderr."""
    for handler in logging.getLogger().handlers:
        console = getattr(handler, "console", None)
        if isinstance(console, Console) and console.file is sys.stderr:
            return console
    return None


def show_result(result: SearchResult, console: Console | None = None, *, limit: int = 10) -> None:
    """Prints what a search found, what it cost and what failed.

    Args:
        console: by default one on stdout.
        limit: rows of the leaderboard.
    """
    console = console or Console()
    console.print(_leaderboard(result, limit, console.width))
    # Text, not markup: a bracket in a parameter's value is only a bracket.
    lines = [Text.assemble((f"{label:<9}", "bold"), text) for label, text in _facts(result)]
    console.print(Text("\n").join(lines), soft_wrap=True)


def _facts(result: SearchResult) -> list[tuple[str, str]]:
    """Label and text of each line below the leaderboard."""
    cost = result.cost
    steps = f"{cost.uses:,} = {cost.run:,} ran + {cost.shared:,} shared + {cost.known:,} known"
    spent = f"{seconds_text(cost.wall_seconds)} wall, {seconds_text(cost.seconds_run)} of work run"
    spared = f"{seconds_text(cost.seconds_saved)} saved, {bytes_text(cost.bytes_written)} written"
    facts = [
        ("best", _best(result)),
        ("steps", f"{steps} ({counted(cost.task_runs, 'task run')})"),
        ("cost", f"{spent}, {spared}"),
    ]
    if failed := max(cost.failed, len(result.failures)):
        facts.append(("failed", counted(failed, "score")))
    for group in failure_groups(result)[:3]:
        cause, params = one_line(group.first.cause, 100), one_line(group.first.params, 80)
        facts.append(("", f"{len(group.failures):,} × {cause} [{params}]"))
    if result.uncacheable:
        where, why = result.uncacheable[0]
        more = f" and {len(result.uncacheable) - 1:,} more" if len(result.uncacheable) > 1 else ""
        facts.append(("uncached", f"{one_line(where)}: {one_line(why, 100)}{more}"))
    places = [place for place in (result.report_path, result.flow_run_url) if place]
    return facts + ([("report", "  ".join(places))] if places else [])


def _best(result: SearchResult) -> str:
    if result.best_params is None:
        return "none chosen"
    params = ", ".join(f"{name}={value_text(value)}" for name, value in result.best_params.items())
    return f"{result.metric} {score_text(result.best_score)}{' with ' + params if params else ''}"


def _leaderboard(result: SearchResult, limit: int, width: int) -> Table:
    """The leaderboard as a table; parameters share one column where a column each does not fit."""
    rows = leaderboard_rows(result, limit)
    size = f"{counted(len(result), 'candidate')}, {counted(result.n_splits, 'fold')}"
    title = Text(f"{one_line(result.name)}: {size}", "bold")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    params = [column_name(result, name) for name in varied_parameters(result)]
    fixed = {column_name(result, name) for name in parameter_columns(result)}
    measured = [name for name in (rows[0] if rows else ()) if name not in fixed]
    texts = [{name: _short(row[name]) for name in (*measured, *params)} for row in rows]
    natural = sum(2 + max(len(name), *(len(row[name]) for row in texts)) for name in (*measured, *params))
    for name in measured:
        table.add_column(Text(name), justify="right", no_wrap=True)
    if params and natural > width:
        texts = [row | {"parameters": _joined(row, params)} for row in texts]
        params = ["parameters"]
    for name in params:
        table.add_column(Text(name), overflow="fold")
    for row in texts:
        table.add_row(*(Text(row[name]) for name in (*measured, *params)))
    return table


def _joined(row: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={row[name]}" for name in names if row[name])


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else value_text(value, 40)
