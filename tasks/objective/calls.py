"""A function that calls `report(metrics, state)`, turned into an iterator of its reports.

The function runs in a thread of its own and waits inside `report` until the next report is asked for; so a
stretch can end between two reports and go on later, as with a generator.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Closed(BaseException):
    """Raised inside `report` when nobody will ask for another; user code that catches errors lets it pass."""


class Calls(Iterator[Any]):
    """The reports of a function, one by one.

    Args:
        function: the user's.
        config: its first argument.
        offered: further arguments.
    """

    def __init__(self, function: Callable[..., Any], config: Any, offered: Mapping[str, Any]) -> None:
        self._out: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._go: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._over = False

        def report(metrics: Any, state: Any = None) -> None:
            self._out.put(("report", (metrics, state)))
            if not self._go.get():
                raise Closed

        def run() -> None:
            if not self._go.get():
                return
            try:
                function(config, report=report, **offered)
            except Closed:
                return
            except BaseException as error:  # handed to whoever asks for the next report
                self._out.put(("error", error))
            else:
                self._out.put(("end", None))

        threading.Thread(target=run, name="objective", daemon=True).start()

    def __next__(self) -> tuple[Any, Any]:
        if self._over:
            raise StopIteration
        self._go.put(True)
        kind, value = self._out.get()
        if kind == "report":
            return value
        self._over = True
        if kind == "error":
            raise value
        raise StopIteration

    def close(self) -> None:
        """Ends the function where it waits."""
        if not self._over:
            self._over = True
            self._go.put(False)
