"""What the brackets of one adaptive search have in common while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.chains import Chain
from prefect_tune.errors import CandidateFailed, InfrastructureError
from prefect_tune.flows.dispatch import Dispatch, Tally
from prefect_tune.history import RaceHistory
from prefect_tune.races import Race
from prefect_tune.report.text import params_text
from prefect_tune.rounds import Pace, TrainUnit
from prefect_tune.store import Record
from prefect_tune.table import LeafFailure
from prefect_tune.tasks.evaluation import SearchFile
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.runner import TuneTaskRunner
from prefect_tune.training import TrainingSpec

Keys = Mapping[TrainUnit, tuple[str, ...]]
"""Keys of the scores of units, metric by metric."""


@dataclass(slots=True)
class Board:
    """What the brackets of one search have in common while it runs.

    Attributes:
        spec: the search.
        store: where results are found and left.
        slots: threads of the cluster.
        max_resource: what no candidate exceeds.
        resources: Dask resources of the step that is trained.
        started: clock at the start of the search.
        told: called after each batch and each round.
        tally: counts over all brackets.
        pace: what training has taken.
        failures: (row, split) -> why.
        found, run: scores of rounds from the store, and of this run.
        known: training calls that need not be made.
        reused: seconds of training that the store saved.
        refit_calls: training calls of this run for the best model.
        reached: (row, split) -> units it has had.
        best: (score, row) of the best so far.
        histories: of the brackets that have begun.
        scores: of this search, found or new, by key.
        busy: name of a training that some bracket is at -> done when it no longer is.
        rungs: name of a training that several brackets have -> levels of the rungs of all of them.
        kept: (chain, fold, key) of the model that is left in the store; -1 is all rows.
        thread: the one thread in which keys are made and looked up.
    """

    spec: TrainingSpec
    store: Any
    slots: int
    max_resource: int
    resources: Mapping[str, float]
    started: float
    told: Callable[[Board], Awaitable[None]]
    tally: Tally = field(default_factory=Tally)
    pace: Pace = field(default_factory=Pace)
    failures: dict[tuple[int, int], LeafFailure] = field(default_factory=dict)
    found: int = 0
    run: int = 0
    known: int = 0
    reused: float = 0.0
    refit_calls: int = 0
    reached: dict[tuple[int, int], int] = field(default_factory=dict)
    best: tuple[float, int] | None = None
    histories: list[RaceHistory] = field(default_factory=list)
    scores: dict[str, Record] = field(default_factory=dict)
    busy: dict[Any, asyncio.Future[None]] = field(default_factory=dict)
    rungs: dict[Any, tuple[int, ...]] = field(default_factory=dict)
    kept: tuple[Chain, int, str] | None = None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "prefect-tune-keys"))
    _chains: Any = None
    _known: dict[tuple[int, int], Chain] = field(default_factory=dict)

    def calls_of(self, ran: Mapping[str, int]) -> int:
        """How many of the steps that ran, by family, are training calls."""
        ending = ".partial_fit" if self.spec.resource.by_calls else ".fit"
        return sum(count for family, count in ran.items() if family.endswith(ending))

    def chain(self, row: int, split: int) -> Chain:
        """The chain of a candidate on a split; only for use in `thread`."""
        if self._chains is None:
            self._chains = self.spec.chains()
        if (row, split) not in self._known:
            self._known[row, split] = self._chains.chain(self.spec.candidates[row], split)
        return self._known[row, split]

    def foresee(self, races: Sequence[Race]) -> None:
        """Notes which brackets will meet at which training; only for use in `thread`.

        A bracket whose first rung is far leaves checkpoints at the rungs of the others, for they need them.
        """
        if len(races) < 2 or not self.spec.resource.by_calls:
            return
        found: dict[Any, list[set[int]]] = {}
        for race in races:
            levels = set(race.schedule.plan(len(race.rows)).decisions)
            names = {self.chain(row, split).name for row in race.rows for split in range(self.spec.n_splits)}
            for name in names:
                found.setdefault(name, []).append(levels)
        shared = {name: sets for name, sets in found.items() if len(sets) > 1}
        self.rungs = {name: tuple(sorted(set().union(*sets))) for name, sets in shared.items()}

    async def off_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """What `function` returns, from the thread of the keys."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *args)

    @asynccontextmanager
    async def claimed(self, wanted: Mapping[Any, TrainUnit]) -> AsyncIterator[list[TrainUnit]]:
        """Those of `wanted` whose training is nobody else's within the block; waits until there is one.

        Nobody waits with a claim of its own, so brackets never wait for each other in a circle.
        """
        while self.busy.keys() >= wanted.keys():
            await asyncio.wait([self.busy[name] for name in wanted], return_when=asyncio.FIRST_COMPLETED)
        free = {name: unit for name, unit in wanted.items() if name not in self.busy}
        over = asyncio.get_running_loop().create_future()
        self.busy |= dict.fromkeys(free, over)
        try:
            yield list(free.values())
        finally:
            for name in free:
                del self.busy[name]
            over.set_result(None)


class BoardDispatch(Dispatch):
    """Runs batches whose outcomes go onto the board."""

    def __init__(self, board: Board, search: SearchFile, runner: TuneTaskRunner) -> None:
        super().__init__(search, runner, board.slots, board.tally)
        self.board = board
        self.scores = board.scores

    def absorb(self, outcome: BatchOutcome) -> None:
        self.scores |= {record.key: record for record in outcome.records}
        for failure in outcome.failures:
            entry = self.board.failures.setdefault(
                (failure.row, failure.fold), LeafFailure(failure.cause, failure.tail, failure.seconds)
            )
            if failure.metric:
                entry.scores.add(("test", failure.metric))
        self.board.tally.count(outcome)

    def condemn(self, leaf: Any, cause: BaseException) -> None:
        """A unit whose workers die is a failed candidate.

        Raises:
            CandidateFailed: with `error_score="raise"`.
            InfrastructureError: for what is no candidate's.
        """
        text, spec = f"{type(cause).__name__}: the workers that ran it were lost", self.board.spec
        if not isinstance(leaf, TrainUnit):
            raise InfrastructureError(
                f"candidate {leaf.row}, split {leaf.split}: {text}. What ended is in the store: run the same "
                "search again to go on; more memory per worker often helps."
            ) from cause
        if spec.error_score == "raise":
            params = params_text(dict(spec.drawn[leaf.row]))
            raise CandidateFailed(leaf.row, params, leaf.split, text) from cause
        self.board.failures[leaf.row, leaf.split] = LeafFailure(text, repr(cause))

    async def tell(self) -> None:
        await self.board.told(self.board)
