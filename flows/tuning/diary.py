"""The journal of a running search, its clock, and the sign that ends its jobs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect.logging import get_logger

from prefect_tune.store.failpoints import failpoint
from prefect_tune.store.journal import Journal
from prefect_tune.tuning.events import Codec, Event


class Diary:
    """What a search writes down as it goes; without a journal it keeps the time only.

    Args:
        journal: where events go; None if the store cannot be written.
        codec: how.

    Attributes:
        base: seconds that the search had been active before this process.
    """

    def __init__(self, journal: Journal | None, codec: Codec) -> None:
        self._journal, self._codec = journal, codec
        self._started = time.monotonic()
        self.base = 0.0

    @classmethod
    def open(cls, store: Any, key: str, space: Any, *, fresh: bool) -> Diary:
        """The diary of a search.

        Raises:
            JournalBusy: another process runs it.
        """
        try:
            journal = store.journal(key, fresh=fresh) if store.writable else None
        except OSError as error:
            journal = None
            get_logger("prefect_tune").warning("the search keeps no journal and cannot be resumed: %s", error)
        return cls(journal, Codec(space))

    def events(self) -> list[Event]:
        """What was written before."""
        return [self._codec.from_json(line) for line in self._journal.lines] if self._journal else []

    def write(self, events: Iterable[Event]) -> None:
        """Nothing; the events are on disk. A journal that cannot be written any more is given up, once."""
        if self._journal is None:
            return
        try:
            failpoint("F6")
            self._journal.append(map(self._codec.to_json, events))
            failpoint("F7")
        except OSError as error:
            self._journal.close()
            self._journal = None
            get_logger("prefect_tune").warning(
                "the journal cannot be written any more (%s); the search goes on without",
                error,
            )

    def elapsed(self) -> float:
        """Seconds that the search has been active, over all its processes."""
        return self.base + time.monotonic() - self._started

    def stop(self, sign: str) -> None:
        """Leaves the sign by which jobs that still run end."""
        with contextlib.suppress(OSError):
            Path(sign).touch()

    def close(self) -> None:
        """Gives the journal's lock back."""
        if self._journal is not None:
            self._journal.close()
