"""What a worker and the cell that runs its steps say to each other, over a socket, pickled."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.batches import Batch
from prefect_tune.rounds import RoundBatch
from prefect_tune.tasks.evaluation import SearchFile
from prefect_tune.tasks.outcome import BatchOutcome


@dataclass(frozen=True, slots=True)
class Ask:
    """To the cell: run this.

    Attributes:
        search: where it lies.
        batch: of one leaf.
        stopped: keys of steps that were stopped before -> why.
        last: whether it is the last leaf of its batch.
    """

    search: SearchFile
    batch: Batch | RoundBatch
    stopped: dict[str, str]
    last: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """From the cell: it is done."""

    outcome: BatchOutcome


@dataclass(frozen=True, slots=True)
class Raised:
    """From the cell: it has failed as a whole, with this error, pickled."""

    error: bytes
