"""The worker's end of a cell that runs the steps of searches.

Rule 1: the cell does one candidate and fold at a time; what it is at when it is killed is all that is lost.
Rule 2: a step that was stopped has failed, for all candidates that need it; this worker does not try it again
in the same run.
Rule 3: what happens while nothing of the user's runs is nobody's fault, nor is the end of what forks cells:
it is tried once more.
Rule 4: without a limit of its own a step may take what its worker may, if that is known.
"""

from __future__ import annotations

import dataclasses
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import distributed

from prefect_tune.batches import Batch
from prefect_tune.errors import InfrastructureError
from prefect_tune.rounds import RoundBatch
from prefect_tune.tasks.evaluation import SearchFile
from prefect_tune.tasks.isolation.cell import GONE, START, Cell
from prefect_tune.tasks.isolation.limits import At, StepLimits
from prefect_tune.tasks.isolation.protocol import Ask, Ended, Raised
from prefect_tune.tasks.outcome import BatchOutcome

_ATTEMPTS = 2
_PRELOAD = ("sklearn.model_selection", "sklearn.pipeline", "sklearn.linear_model")  # of any step, nearly
_local = threading.local()


class _Broken(Exception):
    """The cell is gone; at which step, why, and whether what had forked it was gone first."""

    def __init__(self, place: str | None, why: str, bereft: bool = False) -> None:
        super().__init__(place, why, bereft)
        self.place, self.why, self.bereft = place, why, bereft


def evaluate_isolated(search: SearchFile, batch: Batch | RoundBatch) -> BatchOutcome:
    """What running `batch` in a cell of this thread gives.

    Raises:
        Exception: the user's own, with `error_score="raise"`.
        InfrastructureError: the cell cannot be started, or ends while no step runs.
    """
    outcome, start = BatchOutcome(), time.perf_counter()
    for part, last in _parts(batch, outcome, start):
        outcome.add(_evaluated(search, part, last=last))
    outcome.seconds = time.perf_counter() - start
    return outcome


def _parts(batch: Any, outcome: BatchOutcome, start: float) -> Iterator[tuple[Any, bool]]:
    """(a batch of one leaf, whether it is the last), as long as there is time."""
    for number, leaf in enumerate(batch.leaves, 1):
        left = None if batch.budget is None else batch.budget - (time.perf_counter() - start)
        if left is not None and left <= 0 and outcome.done:
            return
        budget = None if left is None else max(left, 1e-3)
        yield dataclasses.replace(batch, leaves=(leaf,), budget=budget), number == len(batch.leaves)


def _evaluated(search: SearchFile, part: Batch | RoundBatch, *, last: bool) -> BatchOutcome:
    stopped, attempts = _stopped(search), 0
    while True:
        try:
            return _answer(_cell(), Ask(search, part, dict(stopped), last), search.limits)
        except _Broken as broken:
            if broken.place is not None and (attempts or not broken.bereft):
                stopped[broken.place] = broken.why
                continue
            attempts += 1
            if attempts == _ATTEMPTS:
                raise InfrastructureError(
                    f"the process for the steps of this search ended {attempts} times while no step ran: "
                    f"{broken.why}. Look at what the worker printed, or leave out step_seconds and "
                    "step_memory."
                ) from None


def _stopped(search: SearchFile) -> dict[str, str]:
    """Steps of this run that were stopped here -> why."""
    run = (search.path, search.digest)
    if vars(_local).get("run") != run:
        _local.run, _local.stopped = run, {}
    return _local.stopped


def _cell() -> Cell:
    """This thread's cell, kept between batches."""
    cell = vars(_local).get("cell")
    if cell is None or not cell.alive:
        cell = _local.cell = Cell("prefect_tune.tasks.isolation.inside", _PRELOAD)
    return cell


def _answer(cell: Cell, ask: Ask, limits: StepLimits) -> BatchOutcome:
    """The outcome of one leaf.

    Raises:
        _Broken: the cell is gone, by itself or because it was killed.
        Exception: what the cell says was raised.
    """
    message = _last_message(cell, ask, limits)
    if isinstance(message, Raised):
        raise pickle.loads(message.error)
    return message.outcome


def _last_message(cell: Cell, ask: Ask, limits: StepLimits) -> Ended | Raised:
    """What the cell says in the end, watched until then."""
    at: At | None = None
    since = time.monotonic()
    try:
        for message in cell.asked(ask):
            if isinstance(message, At):
                at, since = message, time.monotonic()
            elif message is not None:
                return message
            elif why := _breach(cell, at, time.monotonic() - since, limits):
                cell.kill()
                raise _Broken(at.place if at else None, why)
    except GONE as error:
        raise _Broken(at.place if at else None, cell.epitaph(), cell.bereft) from error
    raise AssertionError("a cell is asked until it has answered")


def _breach(cell: Cell, at: At | None, seconds: float, limits: StepLimits) -> str:
    """How the cell has passed a limit; empty if it has not."""
    if at is None:
        return f"it did not start within {START:.0f} s" if seconds > START else ""
    if at.place is None:  # it loads data, or waits for a step of another search
        return ""
    if limits.seconds is not None and seconds > limits.seconds:
        return f"it took longer than step_seconds={limits.seconds:g}"
    most = limits.memory or _workers_memory()
    if most and (used := cell.memory() - at.held) > most:
        whose = "step_memory is" if limits.memory else "its worker may have"
        return f"it took {used >> 20} MiB; {whose} {most >> 20} MiB"
    return ""


def _workers_memory() -> int:
    """Bytes that the Dask worker of this thread may have, 0 where nobody has said."""
    try:
        manager = distributed.get_worker().memory_manager
    except ValueError:  # this is no worker
        return 0
    return int(manager.memory_limit or 0)
