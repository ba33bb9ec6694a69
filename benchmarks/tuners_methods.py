"""The searches that are compared over a table: each a schedule and a way to choose rows.

Rule 1: nobody may try a setting that the table lacks. Samplers that propose any point of the space get the
nearest unused row, and are told that row's setting; random choices follow one order of the rows per seed.
Rule 2: no trial starts or goes on once the epochs are spent; what runs then ends by itself.
Rule 3: a trial whose loss is not finite ends at once, whoever conducts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tuners_stats import Step
from tuners_tables import EPOCHS, Table, drawn, load, nearest

ETA = 3


@dataclass(frozen=True)
class Run:
    """One search to simulate.

    Attributes:
        method: a name in METHODS.
        table: a name in `tuners_tables.names()`.
        workers, spread, drop: see the simulator's World.
        budget: epochs, over all workers, after which nothing more is started.
    """

    method: str
    table: str
    seed: int
    workers: int = 4
    spread: float = 0.0
    drop: float = 0.0
    budget: int = 1000

    @property
    def world(self) -> Any:
        from prefect_tune.schedules.asynchronous.simulate import World

        return World(workers=self.workers, spread=self.spread, drop=self.drop, seed=self.seed)


@dataclass(frozen=True)
class Trace:
    """What became of it.

    Attributes:
        steps: (time, epochs, loss) wherever the smallest loss known falls.
        trials: that were started; None where rounds of brackets count their own.
        spent: epochs of all workers.
        idle: share of the workers' time, until the epochs are spent.
        suggestions: seconds that choosing each row took.
    """

    run: Run
    steps: list[Step]
    trials: int | None
    spent: int
    makespan: float
    idle: float
    suggestions: list[float] = field(default_factory=list)


def within(schedule: Any, budget: int) -> Any:
    """The schedule, which offers nothing once so many epochs have been reported."""
    from prefect_tune.schedules.asynchronous.contract import Job

    class Capped:
        levels = schedule.levels

        def begin(self, seed: int, keys: Callable[[int], str]) -> Any:
            self.machine, self.reports = schedule.begin(seed, keys), 0
            self.refused = False  # whether a worker had to wait before the epochs were spent
            return self

        def offer(self, index: int | None) -> Job | None:
            if self.reports >= budget:
                return None
            job = self.machine.offer(index)
            self.refused |= job is None
            return job

        def report(self, trial: int, resource: int, loss: float) -> Any:
            self.reports += 1
            return self.machine.report(trial, resource, loss)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.machine, name)

    return Capped()


def conduct(run: Run, schedule: Any, choose: Callable[[int, Sequence[Any]], int]) -> Trace:
    """A simulated search of an asynchronous schedule."""
    from prefect_tune.schedules.asynchronous.simulate import simulate

    table, took, capped = load(run.table), [], within(schedule, run.budget)

    def suggest(index: int, records: Sequence[Any]) -> int:
        start = time.perf_counter()
        row = choose(index, records)
        took.append(time.perf_counter() - start)
        return row

    found = simulate(
        capped, table.curves, trials=len(table.curves), world=run.world,
        suggest=suggest, seed=run.seed,
    )  # fmt: skip
    # At the end workers run out of work because no more is handed out: that is no waiting.
    idle = found.idle_share if capped.refused else 0.0
    steps = list(found.best_so_far)
    return Trace(run, steps, len(found.trials), found.spent, found.makespan, idle, took)


def in_order(seed: int) -> Callable[[int, Sequence[Any]], int]:
    """Random search: the seed's order of the rows."""
    order = drawn(seed)
    return lambda index, records: order[index]


class Chosen:
    """Rows by one of our samplers."""

    def __init__(self, table: Table, sampler: Any, levels: tuple[int, ...], seed: int) -> None:
        self.table, self.sampler, self.levels, self.seed = table, sampler, levels, seed
        self.order = drawn(seed)
        self.place = {id(config): row for row, config in enumerate(table.configs)}

    def __call__(self, index: int, records: Sequence[Any]) -> int:
        from tuners_tables import to_units

        from prefect_tune.samplers.contract import Question
        from prefect_tune.samplers.distinct import starting

        rows = [record.config["row"] for record in records]
        known = [
            replace(record, config=self.table.configs[row]) for record, row in zip(records, rows, strict=True)
        ]
        question = Question(index, self.table.space, known, self.levels, self.seed)
        if starting(question, self.sampler.startup):
            used = set(rows)
            return next(row for row in self.order if row not in used)
        config = self.sampler.suggest(question)
        row = self.place.get(id(config))
        return nearest(self.table.units, to_units(config), set(rows)) if row is None else row


def random(run: Run) -> Trace:
    """Every trial to its end."""
    from prefect_tune.schedules.asynchronous.fifo import FIFO

    return conduct(run, FIFO(EPOCHS, fail_on_nan="report"), in_order(run.seed))


def asha(run: Run, type: str) -> Trace:
    return conduct(run, _asha(type), in_order(run.seed))


def _asha(type: str = "stopping") -> Any:
    from prefect_tune.schedules.asynchronous.asha import ASHA

    return ASHA(EPOCHS, eta=ETA, type=type, fail_on_nan="report")


def pasha(run: Run) -> Trace:
    from prefect_tune.schedules.asynchronous.pasha import PASHA

    return conduct(run, PASHA(EPOCHS, eta=ETA, fail_on_nan="report"), in_order(run.seed))


def hyperband(run: Run) -> Trace:
    """Rounds of all brackets, with rungs that wait for everybody."""
    from tuners_sync import synchronous

    from prefect_tune.schedules import hyperband as brackets

    return _rounds(run, partial(synchronous, partial(brackets, EPOCHS, eta=ETA)))


def halving(run: Run) -> Trace:
    """Rounds of the most aggressive bracket alone: what asynchronous halving is compared with."""
    from tuners_sync import synchronous

    from prefect_tune.schedules import hyperband as brackets

    return _rounds(run, partial(synchronous, lambda: brackets(EPOCHS, eta=ETA)[:1]))


def _rounds(run: Run, go: Callable[..., Any]) -> Trace:
    steps, spent, end, idle = go(load(run.table).curves, drawn(run.seed), run.world, run.budget)
    return Trace(run, steps, None, spent, end, idle)


def tpe(run: Run, pruned: bool) -> Trace:
    """Our TPE, alone or on top of ASHA."""
    from prefect_tune.samplers.tpe import TPE
    from prefect_tune.schedules.asynchronous.fifo import FIFO

    schedule = _asha() if pruned else FIFO(EPOCHS, fail_on_nan="report")
    # Trials under way have no loss yet: so many must be waited for until a model has something to say.
    sampler = TPE(startup=max(10, run.workers + 2))
    return conduct(run, schedule, Chosen(load(run.table), sampler, schedule.levels, run.seed))


def mobster(run: Run, type: str = "stopping") -> Trace:
    """The joint Gaussian process on top of ASHA."""
    from prefect_tune.samplers.gp.mobster import MOBSTER

    schedule, table = _asha(type), load(run.table)
    sampler = MOBSTER(candidates=table.configs, startup=max(6, run.workers + 2))
    return conduct(run, schedule, Chosen(table, sampler, schedule.levels, run.seed))


def optuna(run: Run) -> Trace:
    """Optuna's own TPE and its successive halving pruner, both as they come but for the factor 3."""
    from tuners_optuna import OptunaSearch

    search = OptunaSearch(load(run.table), run.seed, ETA)
    return conduct(run, search, search.choose)


def syne_tune(run: Run, kind: str) -> Trace:
    """Syne Tune's scheduler, in an environment of its own."""
    from tuners_syne import SyneSearch

    search = SyneSearch(load(run.table), run.seed, kind, ETA)
    return conduct(run, search, search.choose)


METHODS: dict[str, Callable[[Run], Trace]] = {
    "random": random,
    "ASHA stopping": partial(asha, type="stopping"),
    "ASHA promotion": partial(asha, type="promotion"),
    "PASHA": pasha,
    "Hyperband": hyperband,
    "TPE": partial(tpe, pruned=False),
    "ASHA + TPE": partial(tpe, pruned=True),
    "ASHA + MOBSTER": mobster,
    "Optuna SHA + TPE": optuna,
    "Syne Tune ASHA": partial(syne_tune, kind="ASHA"),
    "Syne Tune MOBSTER": partial(syne_tune, kind="MOBSTER"),
    "synchronous halving": halving,
}


def simulated(run: Run) -> Trace:
    """One run, in whatever process."""
    return METHODS[run.method](run)
