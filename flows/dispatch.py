"""Task runs of one kind, submitted as they become ready and taken in as they end.

Rule 1: a batch is submitted once all that it needs has ended; prefixes first, then the longest.
Rule 2: only a window of batches is in flight, enough that no worker waits.
Rule 3: a batch that the infrastructure lost is suspected: it is sent again to a process of its own, where a
step that takes its process down costs its candidate only (decision 0021). So is what needs its outputs, and
what else its failed candidates have to run.
Rule 4: lost even so, it is sent again alone: Dask blames whatever a dying worker held. Then it is cut into
its leaves, and a leaf that takes its workers down is a failed candidate.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import KilledWorker

from prefect_tune.errors import InfrastructureError
from prefect_tune.flows.flight import Flight
from prefect_tune.tasks.batch import BatchFailed, SearchFile, order, run_batch
from prefect_tune.tasks.futures import cut_off
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.runner import TuneFuture, TuneTaskRunner

ATTEMPTS = 3


@dataclass(slots=True)
class Tally:
    """What a search has done so far.

    Attributes:
        ran: steps that ran, by family.
        seconds: spent in them.
        refit: steps of the refit that ran.
        reused: prefix steps, or checkpoints, found in the store by workers.
        waited: steps and scores had from another search that ran at the same time.
        task_runs: task runs that ended.
        planned: task runs planned so far.
        bytes_written: bytes added to the store.
        failures: by key of the leaf.
        warnings: (class name, text) -> how often.
    """

    ran: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    refit: int = 0
    reused: int = 0
    waited: int = 0
    task_runs: int = 0
    planned: int = 0
    bytes_written: int = 0
    failures: dict[Any, Any] = field(default_factory=dict)
    warnings: Counter = field(default_factory=Counter)

    @property
    def steps(self) -> int:
        return sum(self.ran.values())

    def count(self, outcome: BatchOutcome) -> None:
        """Takes in what a batch ran; the refit is told apart: it belongs to no candidate's fold."""
        if outcome.model:
            self.refit += sum(count for count, _ in outcome.ran.values())
        for family, (count, seconds) in outcome.ran.items() if not outcome.model else ():
            self.ran[family] += count
            self.seconds += seconds
        self.reused += outcome.reused
        self.waited += outcome.waited
        self.bytes_written += outcome.bytes_written
        self.task_runs += 1
        self.warnings.update(outcome.warnings)


class Dispatch:
    """Runs batches of one search on one cluster.

    A batch has an `index`, `leaves`, and what `batches.Batch` says besides. Subclasses take in the outcomes.

    Args:
        search: where workers find it.
        runner: the started task runner.
        slots: threads of the cluster.
        tally: counts what is done.
    """

    def __init__(self, search: SearchFile, runner: TuneTaskRunner, slots: int, tally: Tally) -> None:
        self.search, self.runner, self.tally = search, runner, tally
        self.window = 2 * slots + 2
        self._attempts: Counter = Counter()
        self._suspected: set[int] = set()  # batches
        self._harmful: set[int] = set()  # candidates that failed in a suspected batch
        self._alone: set[int] = set()
        self._ended: asyncio.Queue[tuple[Any, TuneFuture]] = asyncio.Queue()
        self._flight = Flight(runner, self._ended)

    async def run(self, batches: Sequence[Any]) -> list[BatchOutcome]:
        """The outcomes of `batches`, in the order in which they ended.

        Raises:
            Exception: the user's own, with `error_score="raise"`.
            InfrastructureError: when a batch was lost again and again.
        """
        waiting = {batch.index: batch for batch in batches}
        ended: set[int] = set()
        outcomes: list[BatchOutcome] = []
        self.tally.planned += len(batches)
        self._suspected.clear()
        self._alone.clear()
        try:
            while waiting or len(self._flight):
                self._submit_ready(waiting, ended)
                batch, future = await self._flight.back()
                if self._flight.flying.get(batch.index) is not future:
                    continue  # given up for lost, and has ended after all: what it left is in the store
                self._flight.take(batch.index)
                outcome = await asyncio.to_thread(self._outcome, future)
                if isinstance(outcome, BaseException):
                    self._lost(batch, outcome, waiting)
                    continue
                ended.add(batch.index)
                if batch.index in self._suspected:
                    self._harmful.update(failure.row for failure in outcome.failures)
                self.absorb(outcome)
                outcomes.append(outcome)
                self._continue(batch, outcome, waiting)
                await self.tell()
        finally:
            self._flight.abandon()
        return outcomes

    def rest(self, batch: Any, outcome: BatchOutcome, first_index: int) -> Sequence[Any]:
        """Batches of what `batch` came back without, to be submitted at once; numbered from `first_index`."""
        return ()

    def _continue(self, batch: Any, outcome: BatchOutcome, waiting: dict[int, Any]) -> None:
        more = self.rest(batch, outcome, 1 + max([batch.index, *waiting, *self._flight.flying]))
        waiting.update({piece.index: piece for piece in more})
        if batch.index in self._suspected:
            self._suspected.update(piece.index for piece in more)
        self.tally.planned += len(more)

    def absorb(self, outcome: BatchOutcome) -> None:
        """Takes in what a batch did."""
        raise NotImplementedError

    def condemn(self, leaf: Any, cause: BaseException) -> None:
        """Takes in that a leaf takes its workers down, whenever it is tried."""
        raise NotImplementedError

    async def tell(self) -> None:
        """Shows the state of the search after a batch."""

    def _submit_ready(self, waiting: dict[int, Any], ended: set[int]) -> None:
        room = self.window - len(self._flight)
        if room <= 0 or self._alone.intersection(self._flight.flying):
            return
        ready = [batch for batch in waiting.values() if ended.issuperset(batch.after)]
        if trusted := [batch for batch in ready if batch.index not in self._alone]:
            ready = trusted
        else:
            room = 0 if len(self._flight) else 1
        ready.sort(key=lambda batch: (not batch.prefixes, -batch.seconds, batch.index))
        for batch in ready[:room]:
            del waiting[batch.index]
            self._submit(batch)

    def _submit(self, batch: Any) -> None:
        if self._suspected.intersection(batch.after) or self._harmful.intersection(batch.rows):
            self._suspected.add(batch.index)
        isolated = batch.index in self._suspected
        self._flight.submit(
            batch.index,
            batch,
            run_batch,
            {"label": batch.label, "order": order(self.search, batch, isolated=isolated)},
            resources=batch.resources,
            priority=getattr(batch, "priority", 0),
        )

    def _outcome(self, future: TuneFuture) -> BatchOutcome | BaseException:
        """What the batch did, or the exception by which it was lost.

        Raises:
            Exception: the task's own.
        """
        found = future.outcome()
        if isinstance(found, BaseException):
            return found
        try:
            return future.result()
        except BatchFailed as failed:
            return failed.outcome

    def _lost(self, batch: Any, cause: BaseException, waiting: dict[int, Any]) -> None:
        """Puts a lost batch back, whole or in pieces; gives up on it in the end.

        Raises:
            InfrastructureError: when there is nothing left to try.
        """
        if cut_off(cause):
            waiting[batch.index] = batch
            return
        key = (batch.leaves, batch.prefixes)
        self._attempts[key] += 1
        times = self._attempts[key]
        guilty = isinstance(cause, KilledWorker) and batch.index in self._alone
        (self._alone if batch.index in self._suspected else self._suspected).add(batch.index)
        if times < ATTEMPTS and not guilty:
            waiting[batch.index] = batch
        elif len(batch.leaves) > 1 and not batch.prefixes:
            self._cut(batch, waiting)
        elif batch.prefixes or batch.refit:
            raise InfrastructureError(
                f"task run {batch.label!r} was lost {times} times ({cause!r}). What ended is in the store: "
                "run the same search again to go on; more memory per worker often helps."
            ) from cause
        else:
            self.condemn(batch.leaves[0], cause)
            self.tally.task_runs += 1

    def _cut(self, batch: Any, waiting: dict[int, Any]) -> None:
        start = 1 + max([batch.index, *waiting, *self._flight.flying])
        for offset, leaf in enumerate(batch.leaves):
            piece = dataclasses.replace(
                batch, index=start + offset, leaves=(leaf,), label=f"{batch.label} · alone"
            )
            waiting[piece.index] = piece
            self._suspected.add(piece.index)
            self._alone.add(piece.index)
        self.tally.planned += len(batch.leaves)
