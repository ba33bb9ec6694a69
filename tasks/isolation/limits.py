"""What user code may use, and what is said of code that used more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from prefect_tune.errors import UserError

_OWN = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """What one step of a search may use: one fit, transform, call of `partial_fit`, or scoring of a fold.

    Attributes:
        seconds: of the step, None for no limit.
        memory: bytes that it may take in addition to what its process held before; pages mapped from files
            do not count. None for no limit.
    """

    seconds: float | None = None
    memory: int | None = None

    def __bool__(self) -> bool:
        """Whether there is a limit at all."""
        return self.seconds is not None or self.memory is not None


NO_LIMITS = StepLimits()


class Stopped(Exception):
    """A step was stopped, or took its process along; the text says why."""


@dataclass(frozen=True, slots=True)
class At:
    """From the cell: where it is.

    Attributes:
        place: key of the step that begins; None: nothing of the user's runs now.
        held: bytes that the process holds before the step.
    """

    place: str | None = None
    held: int = 0


class Watch:
    """Tells which step is about to run, and refuses those that were stopped before.

    Args:
        connection: where it is told; None where nobody watches.
        stopped: keys of steps that were stopped before -> why.
    """

    def __init__(
        self, connection: Connection | None = None, stopped: Mapping[str, str] | None = None
    ) -> None:
        self._connection, self._stopped = connection, stopped or {}

    @contextmanager
    def running(self, place: str) -> Iterator[None]:
        """The time in which the step runs.

        Raises:
            Stopped: the step was stopped before.
        """
        if self._connection is None:
            yield
            return
        if why := self._stopped.get(place):
            raise Stopped(why)
        self._connection.send(At(place, held_by(os.getpid())))
        try:
            yield
        finally:
            self._connection.send(At())


UNWATCHED = Watch()
"""Where nobody watches."""


def held_by(process: int) -> int:
    """Bytes that a process has made, pages mapped from files left out where the system tells them apart.

    What is mapped is shared, and the system takes it back when it needs it: a step that reads a large dataset
    that way is no glutton. 0 for a process that is gone.
    """
    with suppress(OSError):
        return 1024 * sum(map(int, _OWN.findall(Path(f"/proc/{process}/status").read_bytes())))
    with suppress(psutil.Error):
        return int(psutil.Process(process).memory_info().rss)
    return 0


def limits_of(asked: Mapping[str, Any]) -> StepLimits:
    """The limits among the parameters of a flow.

    Raises:
        UserError: a limit that is none.
    """
    seconds = seconds_of("step_seconds", asked.get("step_seconds"))
    return StepLimits(seconds=seconds, memory=bytes_of("step_memory", asked.get("step_memory")))


def seconds_of(name: str, given: Any) -> float | None:
    """A limit of time in seconds, None for no limit.

    Raises:
        UserError: not a number above 0.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise UserError(f"{name}: must be a number above 0, got {given!r}; leave it out for no limit.")
    return float(given)


def bytes_of(name: str, given: Any) -> int | None:
    """A limit of memory in bytes, None for no limit.

    Raises:
        UserError: neither bytes nor a text such as "2 GiB", or not above 0.
    """
    from dask.utils import parse_bytes

    if given is None:
        return None
    try:
        found = int(parse_bytes(given))
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: give bytes or a text such as '2 GiB', got {given!r}.") from error
    if found <= 0:
        raise UserError(f"{name}: must be above 0 bytes, got {given!r}; leave it out for no limit.")
    return found
