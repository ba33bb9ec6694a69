"""A search in the terminal or the notebook while it runs: its progress, and at the end its outcome.

Rule: a display never breaks a search. Whatever goes wrong here is logged once and then kept quiet.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from prefect_tune.flows.outcome import show_result
from prefect_tune.report.pages import Found
from prefect_tune.report.progress import Progress
from prefect_tune.report.text import one_line, progress_text, seconds_text
from prefect_tune.report.tune.live import BARS

__all__ = ["TerminalDisplay", "show_result"]

_PLAIN_EVERY = 5.0  # seconds between lines in a log
_SAME_EVERY = 60.0  # and between lines that say the same
_NOTEBOOK_EVERY = 0.5
_BAR = 24  # characters
_PLAIN_BARS = str.maketrans(BARS, " .:-=+*#")

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

    def close(self, result: Found | None = None) -> None:
        """Removes the bar and, for a finished search, prints the outcome."""
        self._guarded(lambda: self._end(result))

    def _paint(self, progress: Progress) -> None:
        if self._painter is None:
            self._painter = _painter(self._given, self._clock, progress)
        self._painter.update(progress)

    def _end(self, result: Found | None) -> None:
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
    """A bar, and the leaders below it, redrawn four times a second from the latest snapshot."""

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
        leaders = "".join(f"\n{line}" for line in progress.leaders)
        return Text.assemble(
            (one_line(progress.name, 30) + " ", "bold"),
            (full * filled, "green"),
            (empty * (_BAR - filled), "dim"),
            f" {share:4.0%} {seconds_text(round(elapsed))}  {progress_text(progress)}",
            leaders.translate(_PLAIN_BARS) if self._ascii else leaders,
            no_wrap=True,
            overflow="ellipsis",
        )


class _Lines:
    """Plain lines for logs and pipes: at once, then at most every five seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console, self._clock = console, clock
        self._shown, self._at = "", float("-inf")
        self._latest: Any = None  # Progress

    def update(self, progress: Progress) -> None:
        self._latest = progress
        text, now = progress_text(progress), self._clock()
        if now - self._at >= (_SAME_EVERY if text == self._shown else _PLAIN_EVERY):
            self._print(text, now)

    def close(self) -> None:
        """Shows how it ended, if that was not shown."""
        text = progress_text(self._latest) if self._latest is not None else ""
        if self._latest is not None and self._latest.fraction >= 1 and text != self._shown:
            self._print(text, self._clock())

    def _print(self, text: str, now: float) -> None:
        self._shown, self._at = text, now
        self._console.print(Text(_plain_line(self._latest)), soft_wrap=True)


class _Notebook:
    """One output of a cell, renewed in place; needs no widgets."""

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
        text = "\n".join((_plain_line(progress), *progress.leaders))
        self._handle.update({"text/plain": text}, raw=True)


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
