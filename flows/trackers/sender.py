"""A thread that brings what has changed to a server, so that a search never waits for one.

Rule 1: what is sent is the state of a thing, not an event. A thing that changes twice before it is sent is
sent once, and one that could not be sent is sent again with all that came since.
Rule 2: a server that fails is reported once, and asked again after ever longer pauses.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Hashable

from prefect.logging import get_logger

LONGEST_PAUSE = 60.0
"""Seconds between two attempts to reach a server that fails."""
AFTER_FAILURE = 5.0
"""Seconds for which the end of a search waits for a server that fails."""
AT_EXIT = 10.0
"""Seconds without progress for which the end of the process waits."""


class Refused(Exception):
    """The server will never take this one; the rest may go on."""


class Broken(Exception):
    """The server will never take anything."""


class Sender:
    """Sends marked things in the order in which they were marked, from one thread.

    Args:
        server: what people call it.
        send: sends a thing as it is now; called in the thread. An error means: try again later.
        every: seconds for which changes are gathered.
    """

    def __init__(self, server: str, send: Callable[[Hashable], None], every: float = 1.0) -> None:
        self._server, self._send, self._every = server, send, every
        self._marked: dict[Hashable, None] = {}
        self._news = threading.Condition()
        self._closing = self._abandoned = self._failing = self._reported = False
        self._sent_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"prefect-tune-{server}", daemon=True)
        self._thread.start()
        atexit.register(self.finish, AT_EXIT)

    def mark(self, thing: Hashable) -> None:
        """Nothing; the thing will be sent."""
        with self._news:
            if not self._abandoned:
                self._marked.setdefault(thing)
                self._news.notify_all()

    def finish(self, patience: float) -> bool:
        """Whether everything was sent. Nothing may be marked afterwards.

        Args:
            patience: seconds without progress after which the rest is given up; a server that is known to
                fail gets a few only.
        """
        begun = time.monotonic()
        with self._news:
            self._closing = True
            self._news.notify_all()
        while self._thread.is_alive():
            self._thread.join(0.05)
            limit = min(patience, AFTER_FAILURE) if self._failing else patience
            if time.monotonic() - max(begun, self._sent_at) > limit:
                break
        with self._news:
            left = len(self._marked) + self._thread.is_alive()
            self._abandoned = True
            self._marked.clear()
            self._news.notify_all()
        atexit.unregister(self.finish)
        return not left and not self._failing

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = self._every
        while self._wait(pause):
            pause = self._every if self._round() else min(2 * pause, LONGEST_PAUSE)

    def _wait(self, pause: float) -> bool:
        """Whether there is something to send now; False ends the thread."""
        with self._news:
            self._news.wait_for(lambda: self._marked or self._closing or self._abandoned)
            hurry = lambda: self._abandoned or (self._closing and not self._failing)  # noqa: E731
            self._news.wait_for(hurry, timeout=min(pause, 1.0) if self._closing else pause)
            return bool(self._marked) and not self._abandoned

    def _round(self) -> bool:
        """Whether everything that was marked has been dealt with."""
        with self._news:
            things = list(self._marked)
        for thing in things:
            with self._news:
                if self._abandoned:
                    return False
                self._marked.pop(thing, None)  # what changes from here on is marked anew
            try:
                self._send(thing)
            except Refused as error:
                self._report(f"{self._server} refuses some of what it is sent; the search goes on", error)
            except Broken as error:
                self._report(f"nothing is sent to {self._server}; the search goes on without", error)
                self._give_up()
                return False
            except Exception as error:
                with self._news:
                    self._marked = {thing: None, **self._marked}
                    self._failing = True
                self._report(
                    f"{self._server} cannot be reached; the search goes on, and it is tried again", error
                )
                return False
            self._sent_at, self._failing = time.monotonic(), False
        return True

    def _give_up(self) -> None:
        with self._news:
            self._failing = self._abandoned = True
            self._marked.clear()

    def _report(self, what: str, error: Exception) -> None:
        if not self._reported:
            self._reported = True
            cause = error.__cause__ or error
            get_logger("prefect_tune").warning("%s: %s: %s", what, type(cause).__name__, cause)
