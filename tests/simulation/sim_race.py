"""Searches in rounds: the real brackets, dispatch and board in a simulated world; training is a model."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sim_fleet import NONE, Faults, Fleet, Life, Run, Runner
from sim_store import SCOPE, Shelf, Store
from sim_world import Inline, World, check, live, time_of

from prefect_tune.errors import InfrastructureError
from prefect_tune.flows.adaptive import race as race_module
from prefect_tune.flows.adaptive.board import Board
from prefect_tune.flows.adaptive.race import RaceRunner
from prefect_tune.history import RaceHistory, winning_row
from prefect_tune.identity.encode import digest
from prefect_tune.races import Race
from prefect_tune.rounds import TrainUnit
from prefect_tune.schedules import Halving, Incremental, InverseDecay, hyperband, plan_bracket, plateau_rule
from prefect_tune.store import MissingBlob, Record
from prefect_tune.tasks.outcome import BatchOutcome, FailedLeaf

KINDS = ("hyperband", "hyperband with a plateau", "halving", "incremental", "decay")
METRICS = ("score", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A search in rounds and what happens to it.

    Attributes:
        seed: of the story.
        kind: of its schedule.
        top: what no candidate exceeds.
        slots: workers.
        splits: folds.
        bad: share of candidates that raise at some call.
        twins: whether brackets share candidates.
        ties: whether many scores are equal.
    """

    seed: int
    kind: str
    top: int = 9
    slots: int = 2
    splits: int = 1
    bad: float = 0.0
    twins: bool = False
    ties: bool = False
    faults: Faults = NONE

    def races(self) -> tuple[Race, ...]:
        """The brackets."""
        plateau = plateau_rule(max(2, self.top // 3), 0.05, max_resource=self.top, eta=3)
        if self.kind.startswith("hyperband"):
            rule = plateau if "plateau" in self.kind else None
            plans: list[Any] = [(b.name, Halving(b, rule), b.size) for b in hyperband(self.top)]
        elif self.kind == "halving":
            plans = [(None, Halving(plan_bracket(9, min_resource=1, max_resource=self.top)), 9)]
        elif self.kind == "incremental":
            plans = [(None, Incremental(self.top, 2, plateau_rule(2, 0.05, max_resource=self.top)), 5)]
        else:
            plans = [(None, InverseDecay(7, 1.0, self.top, 1, None), 7)]
        found, first = [], 0
        for name, schedule, size in plans:
            keys = tuple(digest("candidate", first + i if not self.twins else i).hex() for i in range(size))
            rows = tuple(range(first, first + size))
            found.append(Race(name=name, schedule=schedule, rows=rows, keys=keys))
            first += size
        return tuple(found)


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    draw = random.Random(f"race {seed}")
    rate = lambda most=0.25: draw.random() * most if draw.random() < 0.4 else 0.0  # noqa: E731
    faults = Faults(
        kills=draw.choice([0, 1, 2, 4]),
        points=draw.choice([10, 40, 150]),
        dies=rate(0.4),
        mute=rate(),
        late=rate(),
        twice=0.0,  # a Dask future tells its end once
        lost=rate(0.6),
        refuses=rate(1.0),
        survives=draw.random(),
        most=2,  # a third death would be taken for the candidate's fault
    )
    return Scenario(
        seed=seed,
        kind=KINDS[seed % len(KINDS)],
        top=draw.choice([4, 9, 9, 14]),
        slots=draw.randint(1, 4),
        splits=draw.choice([1, 1, 2]),
        bad=draw.choice([0.0, 0.0, 0.2]),
        twins=draw.random() < 0.4,
        ties=draw.random() < 0.3,
        faults=faults,
    )


@dataclass(frozen=True, slots=True)
class SimChain:
    """The training of one candidate on one split, as `chains.Chain` keys it."""

    name: tuple[str, int]
    start: bytes

    def calls(self, level: int) -> int:
        """Training calls up to a level."""
        return level

    def link(self, calls: int) -> bytes:
        """Key of the state after so many calls."""
        return digest("link", self.start, calls)

    def score_keys(self, path: tuple[int, ...]) -> tuple[str, ...]:
        """Keys of the scores at the end of a path."""
        return tuple(digest("score", self.link(path[-1]), metric).hex() for metric in METRICS)


@dataclass(slots=True)
class Training:
    """What the search is, and what workers do of it."""

    scenario: Scenario
    names: dict[int, str] = field(default_factory=dict)
    calls: dict[tuple[Any, int], list[Run]] = field(default_factory=dict)
    fleet: Fleet | None = None

    # The fields of the real specification that drivers look at.
    metric, metrics, scope, error_score = METRICS[0], METRICS, SCOPE, "nan"
    resource = SimpleNamespace(by_calls=True, unit="call")

    @property
    def n_splits(self) -> int:
        """Folds."""
        return self.scenario.splits

    @property
    def candidates(self) -> dict[int, str]:
        """Row -> what it is."""
        return self.names

    def chains(self) -> Any:
        """Makes chains."""
        return self

    def chain(self, candidate: str, split: int) -> SimChain:
        """The chain of a candidate on a split."""
        return SimChain((candidate, split), digest("start", candidate, split))

    def __call__(self, run: Run, store: Store) -> BatchOutcome:
        """What a worker does with a batch, by the rules of `tasks.rounds`."""
        draw, outcome = run.ask.world.draw, BatchOutcome()
        budget = draw.choice([2, 5, 1000])
        for unit in run.ask.batch.leaves:
            if outcome.done and budget <= 0:
                break
            budget -= self._unit(run, store, unit, outcome, budget)
        store.put_pack(outcome.records, SCOPE)
        outcome.ran["model.partial_fit"] = (1, 0.1)
        return outcome

    def _unit(self, run: Run, store: Store, unit: TrainUnit, outcome: BatchOutcome, budget: int) -> int:
        """Calls made for one unit; it is scored, or paused when the budget is over."""
        chain = self.chain(self.names[unit.row], unit.split)
        level, state = self._furthest(store, chain, unit)
        begin, place = level, (unit.row, unit.split)
        assert self.fleet is not None
        while level < unit.path[-1]:
            if level > begin and level - begin >= budget and self._keep(store, chain, level, state):
                outcome.paused[place] = (level, level - begin, 0.1)
                return level - begin
            self.fleet.unit(run)
            level += 1
            if self._raises(chain, level):
                outcome.done.append(place)
                outcome.failures.append(FailedLeaf(row=unit.row, fold=unit.split, cause="ValueError: no"))
                return level - begin
            self.calls.setdefault((chain.name, level), []).append(run)
            state = digest("state", state, level)
            if level in unit.stops:
                self._keep(store, chain, level, state)
        self._keep(store, chain, level, state)
        outcome.done.append(place)
        for key, metric in zip(chain.score_keys(unit.path), METRICS, strict=True):
            values = {
                "score": self.score(state, metric),
                "score_seconds": 0.1,
                "fit_seconds": 0.1,
                "calls": unit.spent[0] + level - begin,
            }
            outcome.records.append(Record(key=key, kind="score", values=values))
        return level - begin

    def _furthest(self, store: Store, chain: SimChain, unit: TrainUnit) -> tuple[int, bytes]:
        held = {chain.calls(level) for level in unit.path[-2:]}
        for calls in sorted({*unit.starts, *held}, reverse=True):
            record = store.get(chain.link(calls).hex(), SCOPE)
            if record is not None and record.outputs:
                try:
                    return calls, store.load(record, "model")
                except MissingBlob:
                    continue
        return 0, chain.start

    def _keep(self, store: Store, chain: SimChain, level: int, state: bytes) -> bool:
        record = Record(key=chain.link(level).hex(), kind="checkpoint", values={"level": level})
        return bool(store.put(record, {"model": state}, SCOPE).outputs)

    def _raises(self, chain: SimChain, level: int) -> bool:
        luck = random.Random(chain.start)
        return luck.random() < self.scenario.bad and level > luck.randrange(self.scenario.top)

    def score(self, state: bytes, metric: str) -> float:
        """The score of a state: a digest, so that a wrong state has another score."""
        point = int.from_bytes(digest("value", state, metric)[:6], "little") / 2**48
        return round(point, 1) if self.scenario.ties else point


class Story:
    """One search in rounds, whatever happens.

    Attributes:
        histories: of its brackets, once it is over.
    """

    def __init__(self, scenario: Scenario, runner: type[RaceRunner] = RaceRunner) -> None:
        self.scenario, self.runner = scenario, runner
        self.world = World(f"race {scenario.seed} {scenario.faults}")
        self.shelf = Shelf(self.world)
        self.races = scenario.races()
        self.training = Training(scenario)
        for race in self.races:
            self.training.names |= dict(zip(race.rows, race.keys, strict=True))
        self.fleet = Fleet(
            self.world,
            self.shelf,
            scenario.slots,
            scenario.faults,
            self.training,
            lambda run: self.world.draw.expovariate(1.0),
        )
        self.training.fleet = self.fleet
        self.histories: list[RaceHistory] | None = None
        self.board: Board | None = None
        self.lives = 0

    def run(self) -> Story:
        """The end of the story; the oracles have been asked."""
        try:
            with time_of(self.world, race_module):
                self._weather()
                while self.histories is None:
                    self._live()
                self.world.rest()
                self._judge()
        finally:
            self.shelf.close()
        return self

    def _weather(self) -> None:
        draw, faults = self.world.draw, self.scenario.faults
        if faults.lost:
            for _ in range(draw.randint(1, 3)):
                self.world.after(draw.random() * 15, lambda: self.shelf.lose(faults.lost))
        if faults.refuses:
            begin, last = draw.random() * 10, draw.random() * 10
            self.world.after(begin, lambda: setattr(self.shelf, "refuses", True))
            self.world.after(begin + last, lambda: setattr(self.shelf, "refuses", False))

    def _live(self) -> None:
        faults, draw = self.scenario.faults, self.world.draw
        self.lives += 1
        check(self.lives <= faults.kills + 8, "processes that nobody has killed fail again and again")
        life = Life(self.world, draw.randint(1, faults.points) if self.lives <= faults.kills else None)
        self.world.note(f"process {self.lives} begins")
        found = None
        try:
            found = live(self.world, life, lambda: self._main(life))
        except InfrastructureError as error:  # run the same search again to go on
            self.world.note(f"the driver gives up: {error}")
            life.dead = True
        self.fleet.killed(life)
        self.histories = found

    async def _main(self, life: Life) -> list[RaceHistory]:
        """All brackets side by side, as `flows.adaptive.run` has them."""
        import asyncio

        store = Store(self.shelf, life.point)
        spec: Any = self.training
        board = Board(spec, store, self.scenario.slots, self.scenario.top, {}, self.world.now, _nothing)
        board.thread = Inline()  # type: ignore[assignment]
        self.board = board
        board.foresee(self.races)
        runner: Any = Runner(self.fleet, life, self._ask)
        runners = [self.runner(board, race, SimpleNamespace(), runner) for race in self.races]  # type: ignore
        await asyncio.gather(*(runner.race() for runner in runners))
        return board.histories

    def _ask(self, label: str, order: Any) -> Any:
        _, batch, _ = order
        name = (batch.leaves, batch.index)
        return SimpleNamespace(label=label, name=name, batch=batch, world=self.world)

    # -- oracles -------------------------------------------------------------------------------------

    def table(self) -> list[Any]:
        """All scores of all brackets and the winner, bit for bit."""
        assert self.histories is not None
        found: list[Any] = [winning_row(self.histories, METRICS[0])]
        for history in sorted(self.histories, key=lambda history: history.race.rows):
            found.append(
                [
                    (event.row, event.level, [tuple(map(float.hex, s)) for s in event.scores.values()])
                    for event in history.events
                ]
            )
        return found

    def _judge(self) -> None:
        assert self.histories is not None
        for history in self.histories:
            self._counts(history)
            for event in history.events:
                self._value(event)
        self._repeated()

    def _counts(self, history: RaceHistory) -> None:
        """Nobody trains beyond the plan, and nobody is scored twice at a level."""
        places = [(event.row, event.level) for event in history.events]
        check(len(places) == len(set(places)), "a candidate was scored twice at a level")
        plan = history.race.schedule.plan(len(history.race.rows))
        reached = {row: max(level for r, level in places if r == row) for row, _ in places}
        check(sum(reached.values()) <= plan.partial_fit_calls, "more training than was planned")
        reports = history.reports(METRICS[0])
        check(not history.race.schedule.next_round(reports), "the race is not over")

    def _value(self, event: Any) -> None:
        """Each score is that of its candidate's training, worked out alone; nan only where it raises."""
        for split in range(self.scenario.splits):
            chain = self.training.chain(self.training.names[event.row], split)
            state, good = chain.start, True
            for level in range(1, event.level + 1):
                good &= not self.training._raises(chain, level)
                state = digest("state", state, level)
            for metric in METRICS:
                found = event.scores[metric][split]
                expected = self.training.score(state, metric) if good else math.nan
                same = found == expected or (math.isnan(found) and math.isnan(expected))
                check(same, f"candidate {event.row} at {event.level}: {found!r}, alone {expected!r}")

    def _repeated(self) -> None:
        """A call is made again only if a run that made it broke off or overlapped, or its state was lost."""
        lost = self.shelf.lost
        if self.scenario.twins and "plateau" in self.scenario.kind:
            return  # brackets leave checkpoints at each other's rungs, not wherever a plateau is looked for
        for (name, level), runs in self.training.calls.items():
            if len(runs) < 2:
                continue
            chain = self.training.chain(*name)
            if any(self.training._raises(chain, call) for call in range(1, self.scenario.top + 1)):
                continue  # a failure is not stored: the next process tries again
            keys = {chain.link(n).hex() for n in range(1, self.scenario.top + 1)}
            keys |= {key for n in range(1, self.scenario.top + 1) for key in chain.score_keys((n,))}
            if not keys.isdisjoint(lost):
                continue
            free = [r for r in runs[:-1] if r.broken or r.orphan or r.ended > runs[-1].began]
            names = [f"{r.ask.label} {r.fate}" for r in runs]
            check(len(free) == len(runs) - 1, f"call {level} of {name} made {len(runs)} times, by {names}")


async def _nothing(board: Board) -> None:
    """Nobody watches."""


def judge(seed: int) -> Counter[str]:
    """What a seed has met, by fault; its oracles hold.

    Raises:
        Broken: one of them does not.
    """
    scenario = scenario_of(seed)
    story = Story(scenario).run()
    quiet = Story(dataclasses.replace(scenario, faults=NONE)).run()
    check(story.table() == quiet.table(), "the ranking is not that of the undisturbed search")
    met = Counter(run.fate for run in story.fleet.all if run.fate)
    met.update(kills=story.lives - 1, rounds=sum(len(h.events) for h in story.histories or ()))
    return met
