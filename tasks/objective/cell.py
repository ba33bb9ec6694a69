"""The worker's end of a cell: a process of its own for the user's objective, watched while it works.

Rule 1: a worker has at most one cell per thread, kept between jobs; a cell is killed when a job takes too
long, takes too much memory or is no longer wanted, and another one is started for the next job.
Rule 2: a job goes to the cell that holds its trial's generator, if there is one.
Rule 3: whatever happens to the cell is the outcome of the job, never an exception of the worker. Only where
what forks cells is gone, and the cell with it, the job is tried once more.
Rule 4: a trial that another search is just training is waited for before its cell is asked and its time runs;
the cell then finds what the other has left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from prefect_tune.tasks.isolation.cell import GONE, START, Cell
from prefect_tune.tasks.objective.known import look_up
from prefect_tune.tasks.objective.protocol import Ask, Begun, Ended, Progressed
from prefect_tune.tasks.turns import Turns
from prefect_tune.tuning.jobs import Fault, JobOutcome, Reported

_lock = threading.Lock()
_idle: list[TrialCell] = []


def run_in_cell(ask: Ask, told: Callable[[Reported], None], threads: int = 1) -> JobOutcome:
    """The outcome of a job, run in a cell of this worker.

    Args:
        told: called with each report as it comes.
        threads: of the worker; so many cells may hold a generator.
    """
    turns = Turns(ask.file.store, ask.file.scope)
    with turns.alone(ask.job.chain.key, ask.file.digest, lambda: _needless(ask)):
        return _run(ask, told, threads)


def _needless(ask: Ask) -> bool:
    """Whether there is nothing left to train, or nobody wants it any more."""
    if Path(ask.file.stop).exists():
        return True
    return look_up(ask.file.store, ask.file.scope, ask.job, resumes=False).complete(ask.job)


def _run(ask: Ask, told: Callable[[Reported], None], threads: int) -> JobOutcome:
    cell = _take(ask.job.chain.key, threads)
    try:
        outcome = cell.run(ask, told)
        if outcome.fault is Fault.CRASHED and cell.bereft:
            cell = TrialCell()
            outcome = cell.run(ask, told)
        waits = outcome.fault is None and not outcome.ended and not ask.job.last
        cell.holds = ask.job.chain.key if waits else ""
        return outcome
    finally:
        if cell.alive:
            with _lock:
                _idle.append(cell)


def _take(chain: str, threads: int) -> TrialCell:
    """The cell for a job: the one that holds its generator, else one that holds none, else a new one."""
    with _lock:
        _idle[:] = [cell for cell in _idle if cell.alive]
        wanted = [cell for cell in _idle if cell.holds == chain] or [cell for cell in _idle if not cell.holds]
        if not wanted and len(_idle) >= threads:
            wanted = _idle  # the one that has waited longest gives its generator up
        if wanted:
            _idle.remove(cell := wanted[0])
            return cell
    return TrialCell()


class TrialCell(Cell):
    """A process that runs objectives.

    Attributes:
        holds: chain of the trial whose generator waits in it, empty for none.
    """

    def __init__(self) -> None:
        super().__init__("prefect_tune.tasks.objective.inside")
        self.holds = ""

    def run(self, ask: Ask, told: Callable[[Reported], None]) -> JobOutcome:
        """The outcome of one job; the cell may be gone afterwards."""
        heard: list[Reported] = []
        started = time.monotonic()
        begun = False
        try:
            for message in self.asked(ask):
                if isinstance(message, Ended):
                    return message.outcome
                if isinstance(message, Begun):
                    begun, started = True, time.monotonic()
                elif isinstance(message, Progressed):
                    heard.append(message.report)
                    told(message.report)
                elif (fault := self._breach(ask, started, begun)) is not None:
                    self.kill()
                    return _fault(ask, heard, *fault)
        except GONE:
            return _fault(ask, heard, Fault.CRASHED, self.epitaph())
        raise AssertionError("a cell is asked until it has answered")

    def _breach(self, ask: Ask, started: float, begun: bool) -> tuple[Fault, str] | None:
        """The limit that the job has passed, if any."""
        limits = ask.limits
        if Path(ask.file.stop).exists():
            return Fault.LOST, "the search stopped it"
        if not begun:  # the process starts, and imports what the objective needs
            slow = time.monotonic() - started > START
            return (Fault.TIME, f"its process did not start within {START:.0f} s") if slow else None
        if limits.seconds is not None and time.monotonic() - started > limits.seconds:
            return Fault.TIME, f"it took longer than trial_seconds={limits.seconds:g}"
        if limits.memory is not None and (used := self.memory()) > limits.memory:
            return Fault.MEMORY, f"it used {used >> 20} MiB; trial_memory is {limits.memory >> 20} MiB"
        return None


def _fault(ask: Ask, heard: list[Reported], fault: Fault, cause: str) -> JobOutcome:
    """The outcome of a job whose process could not tell it."""
    job = ask.job
    last = heard[-1].resource if heard else job.since
    return JobOutcome(
        job=job.number, trial=job.trial, reports=heard, fault=fault, cause=cause, trained=last - job.since
    )
