"""The driver: submits batches as they become ready, and takes in what they did.

Rule 1: a batch is submitted once all that it needs has ended; prefixes first, then the longest.
Rule 2: only a window of batches is in flight, enough that no worker waits.
Rule 3: a batch that the infrastructure lost is sent again, alone: Dask blames whatever a dying worker held.
When workers die under it again it is cut into its leaves, and a leaf that takes its workers down is a failed
candidate.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import KilledWorker

from prefect_tune.batches import Batch
from prefect_tune.errors import InfrastructureError
from prefect_tune.plan import CompiledSearch
from prefect_tune.table import LeafFailure
from prefect_tune.tasks.batch import BatchFailed, SearchFile, order, run_batch
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
        reused: prefix steps found in the store by workers.
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
    task_runs: int = 0
    planned: int = 0
    bytes_written: int = 0
    failures: dict[bytes, LeafFailure] = field(default_factory=dict)
    warnings: Counter = field(default_factory=Counter)

    @property
    def steps(self) -> int:
        return sum(self.ran.values())


class Driver:
    """Runs batches of one search on one cluster.

    Args:
        compiled: the search; its records grow as batches end.
        search: where workers find it.
        runner: the started task runner.
        slots: threads of the cluster.
        told: called after each batch.
    """

    def __init__(
        self,
        compiled: CompiledSearch,
        search: SearchFile,
        runner: TuneTaskRunner,
        slots: int,
        told: Callable[[Tally], Awaitable[None]],
    ) -> None:
        self.compiled, self.search, self.runner = compiled, search, runner
        self.window = 2 * slots + 2
        self.told, self.tally = told, Tally()
        self._attempts: Counter = Counter()
        self._alone: set[int] = set()
        self._ended: asyncio.Queue[tuple[Batch, TuneFuture]] = asyncio.Queue()
        self._flying: dict[int, TuneFuture] = {}

    async def run(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """The outcomes of `batches`, in the order in which they ended.

        Raises:
            Exception: the user's own, with `error_score="raise"`.
            InfrastructureError: when a batch was lost again and again.
        """
        waiting = {batch.index: batch for batch in batches}
        ended: set[int] = set()
        outcomes: list[BatchOutcome] = []
        self.tally.planned += len(batches)
        try:
            while waiting or self._flying:
                self._submit_ready(waiting, ended)
                batch, future = await self._ended.get()
                self._flying.pop(batch.index, None)
                outcome = await asyncio.to_thread(self._outcome, future)
                if isinstance(outcome, BaseException):
                    self._lost(batch, outcome, waiting)
                    continue
                ended.add(batch.index)
                self._absorb(outcome)
                outcomes.append(outcome)
                await self.told(self.tally)
        finally:
            self._abandon()
        return outcomes

    def _submit_ready(self, waiting: dict[int, Batch], ended: set[int]) -> None:
        room = self.window - len(self._flying)
        if room <= 0 or self._alone.intersection(self._flying):
            return
        ready = [batch for batch in waiting.values() if ended.issuperset(batch.after)]
        if trusted := [batch for batch in ready if batch.index not in self._alone]:
            ready = trusted
        else:
            room = 0 if self._flying else 1
        ready.sort(key=lambda batch: (not batch.prefixes, -batch.seconds, batch.index))
        for batch in ready[:room]:
            del waiting[batch.index]
            self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        annotations = {"resources": dict(batch.resources)} if batch.resources else {}
        with dask.annotate(**annotations):
            parameters = {"label": batch.label, "order": order(self.search, batch)}
            future = self.runner.submit(run_batch, parameters)
        self._flying[batch.index] = future

        def ended(_: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._ended.put_nowait, (batch, future))

        future.add_done_callback(ended)

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

    def _absorb(self, outcome: BatchOutcome) -> None:
        tally, compiled = self.tally, self.compiled
        for record in outcome.records:
            compiled.scores[record.key] = record
        for row, fold in outcome.done:
            compiled.take_in(compiled.table[row][fold])
        if outcome.model:  # the refit is told apart: it belongs to no candidate's fold
            tally.refit += sum(count for count, _ in outcome.ran.values())
        for family, (count, seconds) in outcome.ran.items() if not outcome.model else ():
            tally.ran[family] += count
            tally.seconds += seconds
            if not family.endswith((".fit", ".score")):
                compiled.costs.learn(family, seconds / count)
        for failure in outcome.failures:
            leaf = compiled.table[failure.row][failure.fold]
            compiled.failed.add(leaf.key)
            entry = tally.failures.setdefault(
                leaf.key, LeafFailure(failure.cause, failure.tail, failure.seconds)
            )
            if failure.metric:
                entry.scores.add((failure.side, failure.metric))
        self._check(outcome)
        tally.reused += outcome.reused
        tally.bytes_written += outcome.bytes_written
        tally.task_runs += 1
        tally.warnings.update(outcome.warnings)

    def _check(self, outcome: BatchOutcome) -> None:
        """Nothing; each leaf that was evaluated has its scores, or is known to have failed.

        Raises:
            InfrastructureError: a worker filed its scores under other keys, so they would be missed silently.
        """
        for row, fold in outcome.done:
            leaf = self.compiled.table[row][fold]
            missing = any(key not in self.compiled.scores for key in leaf.score_keys)
            if missing and leaf.key not in self.tally.failures:
                raise InfrastructureError(
                    f"candidate {row}, fold {fold}: the worker's key of this step is not the driver's. Do "
                    "all workers have the same versions of your code, Python and the packages?"
                )

    def _lost(self, batch: Batch, cause: BaseException, waiting: dict[int, Batch]) -> None:
        """Puts a lost batch back, whole or in pieces; gives up on it in the end.

        Raises:
            InfrastructureError: when there is nothing left to try.
        """
        key = (batch.leaves, batch.prefixes)
        self._attempts[key] += 1
        times = self._attempts[key]
        guilty = isinstance(cause, KilledWorker) and batch.index in self._alone
        self._alone.add(batch.index)
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
            row, fold = batch.leaves[0]
            text = f"{type(cause).__name__}: the workers that ran it were lost"
            if self.compiled.spec.error_score == "raise":
                raise InfrastructureError(f"candidate {row}, fold {fold}: {text}.") from cause
            leaf = self.compiled.table[row][fold]
            self.compiled.failed.add(leaf.key)  # or it would be planned again after the pilot
            self.tally.failures[leaf.key] = LeafFailure(text, repr(cause))
            self.tally.task_runs += 1

    def _cut(self, batch: Batch, waiting: dict[int, Batch]) -> None:
        start = 1 + max([batch.index, *waiting, *self._flying])
        for offset, leaf in enumerate(batch.leaves):
            piece = dataclasses.replace(
                batch, index=start + offset, leaves=(leaf,), label=f"{batch.label} · alone"
            )
            waiting[piece.index] = piece
            self._alone.add(piece.index)
        self.tally.planned += len(batch.leaves)

    def _abandon(self) -> None:
        """Cancels what is in flight; after an error nobody waits for it."""
        for future in self._flying.values():
            future.cancel()
        self._flying.clear()
