"""What a worker and its cell say to each other, over a socket, pickled."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.store import StepStore
from prefect_tune.tuning.jobs import JobOutcome, Reported, TrialJob


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveFile:
    """Where a search's objective lies for the workers.

    Attributes:
        path: the file, in the store's scratch folder.
        digest: BLAKE3 of its bytes, checked before they are unpickled.
        store: where reports and states go; pickles as its folder.
        scope: of the store.
        stop: a file that appears when running jobs are to end.
    """

    path: str
    digest: str
    store: StepStore
    scope: str
    stop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may use.

    Attributes:
        seconds: of one job, None for no limit.
        memory: bytes of its process, None for no limit.
        checkpoint_every: units of the resource between two stored states; None stores one at a job's end.
        checkpoint_seconds: at the latest after so many seconds what was found is stored, within a job too.
    """

    seconds: float | None = None
    memory: int | None = None
    checkpoint_every: int | None = None
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """To the cell: do this job."""

    file: ObjectiveFile
    job: TrialJob
    limits: Limits


@dataclass(frozen=True, slots=True)
class Begun:
    """From the cell: the objective is loaded, and its time starts."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """From the cell: a report was made."""

    report: Reported


@dataclass(frozen=True, slots=True)
class Ended:
    """From the cell: the job is over."""

    outcome: JobOutcome
