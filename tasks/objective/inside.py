"""The cell: a process that runs one objective after the other, until its worker closes the connection.

It imports neither Prefect nor Dask, so that it starts fast; user code may import what it likes.
"""

from __future__ import annotations

import contextlib
from multiprocessing.connection import Connection

from prefect_tune.tasks.isolation.serving import answer_all, flush
from prefect_tune.tasks.objective.protocol import Ask, Begun, Ended, ObjectiveFile, Progressed
from prefect_tune.tasks.objective.training import Kept, Training
from prefect_tune.tasks.outcome import cause_of, tail_of, trace_of
from prefect_tune.tasks.published import read_published
from prefect_tune.tasks.warned import caught_warnings
from prefect_tune.tuning.jobs import Fault, JobOutcome
from prefect_tune.tuning.metrics import ReportError
from prefect_tune.tuning.objective import Objective


def serve(descriptor: int) -> None:
    """Answers every `Ask` on the socket; returns when the other end is closed."""
    cell = Cell(connection := Connection(descriptor))
    answer_all(connection, lambda ask: Ended(cell.answer(ask)))
    cell.forget()
    flush()


class Cell:
    """What the process keeps between jobs: the objective it has loaded, and a generator that waits.

    Args:
        connection: where reports are told.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loaded: tuple[str, Objective] | None = None
        self._kept: Kept | None = None

    def answer(self, ask: Ask) -> JobOutcome:
        """The outcome of a job, whatever the user's code does short of killing the process."""
        training: Training | None = None
        with caught_warnings() as warned:
            try:
                objective = self._objective(ask.file)
                self._connection.send(Begun())
                kept = self._kept_for(ask)
                told = lambda report: self._connection.send(Progressed(report))  # noqa: E731
                training = Training(ask, objective, told, kept)
                outcome = training.run()
                self._kept = training.leaves
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                outcome = _failed(ask, training, error)
        for category, text in warned:
            outcome.warnings[(category, text)] = outcome.warnings.get((category, text), 0) + 1
        return outcome

    def forget(self) -> None:
        """Closes the generator that waits."""
        kept, self._kept = self._kept, None
        if kept is not None:
            with contextlib.suppress(Exception):
                kept.close()

    def _objective(self, file: ObjectiveFile) -> Objective:
        if self._loaded is None or self._loaded[0] != file.digest:
            self.forget()
            self._loaded = file.digest, read_published(file.path, file.digest, file.store)
        return self._loaded[1]

    def _kept_for(self, ask: Ask) -> Kept | None:
        kept, self._kept = self._kept, None
        if kept is not None and (kept.chain != ask.job.chain.key or ask.job.attempt):
            with contextlib.suppress(Exception):
                kept.close()
            return None
        return kept


def _failed(ask: Ask, training: Training | None, error: BaseException) -> JobOutcome:
    outcome = (
        training.outcome if training is not None else JobOutcome(job=ask.job.number, trial=ask.job.trial)
    )
    outcome.fault = Fault.NONSENSE if isinstance(error, ReportError) else Fault.RAISED
    outcome.cause, outcome.tail = cause_of(error), tail_of(trace_of(error))
    return outcome
