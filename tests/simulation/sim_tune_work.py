"""The objective, a formula whose state remembers every unit that it was trained for, and its worker."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from sim_fleet import Fleet, Run
from sim_store import SCOPE, Store
from sim_tune_cases import R, Scenario
from sim_world import Broken

from prefect_tune.tasks.objective.protocol import Limits, ObjectiveFile
from prefect_tune.tasks.objective.training import Kept, Training
from prefect_tune.trials import Config
from prefect_tune.tuning.jobs import Fault, JobOutcome, TrialJob
from prefect_tune.tuning.objective import Objective, inspect_objective


def loss_of(config: Config, at: int, memory: int, bad: float = 0.0) -> float:
    """The loss after so many units; `memory` moves it a little, so that a wrong state shows."""
    if config["x"] < bad and at >= 1 + int(4 * config["y"]):
        return math.nan
    return config["x"] / at + config["y"] * (1 - 1 / at) + memory / 1e12


def grown(memory: int, config: Config, at: int) -> int:
    """The memory after one more unit."""
    return (memory * 31 + int(config["x"] * 1e6) * 7 + int(config["y"] * 1e6) + at) % 1_000_003


class Work:
    """The objective, and what was done for it.

    Attributes:
        units: (chain, resource) -> runs that have trained it, in order.
        run: the run that is being worked out.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.units: dict[tuple[str, int], list[Run]] = {}
        self.run: Run | None = None
        self.fleet: Fleet | None = None
        self.raise_after: int | None = None
        self.stop_after: int | None = None
        self.gone = False

    def objective(self) -> Objective:
        """The user's function of this scenario."""
        scenario, kind = self.scenario, self.scenario.kind

        def once(config: Config) -> float:
            self.unit(config, 1)
            return loss_of(config, 1, grown(0, config, 1), scenario.bad)

        def bare(config: Config) -> Any:
            memory = 0
            for at in range(1, R + 1):
                self.unit(config, at)
                memory = grown(memory, config, at)
                yield loss_of(config, at, memory, scenario.bad)

        def states(config: Config, resume: Any = None) -> Any:
            begin, memory = resume or (0, 0)
            for at in range(begin + 1, R + 1):
                self.unit(config, at)
                memory = grown(memory, config, at)
                state: Any = (at, memory)
                if kind == "lazy":
                    state = lambda kept=state: kept  # noqa: E731
                yield {"loss": loss_of(config, at, memory, scenario.bad)}, state

        return inspect_objective({"once": once, "bare": bare}.get(kind, states))

    def unit(self, config: Config, at: int) -> None:
        """One unit is trained, unless the worker dies or the objective raises."""
        assert self.run is not None
        assert self.fleet is not None
        self.fleet.unit(self.run)
        for count, error in ((self.raise_after, ValueError("this once")), (self.stop_after, Stopped())):
            if count == 0:
                self.gone = True
                raise error
        if self.raise_after is not None:
            self.raise_after -= 1
        if self.stop_after is not None:
            self.stop_after -= 1
        if config["y"] < self.scenario.hopeless and at > int(5 * config["x"]):
            raise ValueError("hopeless")
        self.units.setdefault((self.run.ask.job.chain.key, at), []).append(self.run)

    # -- the worker ----------------------------------------------------------------------------------

    def __call__(self, run: Run, store: Store) -> Any:
        """What the worker tells: the outcome of a job, as the task run of the real worker gives it."""
        ask = run.ask
        file = ObjectiveFile(path="", digest="", store=store, scope=SCOPE, stop="")
        draw, outcome = ask.world.draw, None
        self.run, self.raise_after, self.stop_after, self.gone = run, None, None, False
        if run.fate in ("raises", "crashes"):
            self.raise_after = draw.randrange(5)
        if run.future.life in ask.stopped:
            self.stop_after = draw.randrange(5)
        heard: list[Any] = []
        asked = SimpleNamespace(file=file, job=ask.job, limits=Limits(checkpoint_every=self.scenario.every))
        training = Training(asked, self.objective(), heard.append, self._kept(ask))  # type: ignore[arg-type]
        if run.fate == "crashes" or self.stop_after is not None:  # SIGKILL of the cell: no `finally`
            training._write = _never(training._write, self)  # type: ignore[method-assign]
        try:
            outcome = training.run()
            if training.leaves is not None:
                ask.cell[:] = [training.leaves]
        except Stopped:
            run.broken = True
            return _fault(ask.job, heard, Fault.LOST, "the search stopped it")
        except Broken:
            raise
        except Exception as error:
            run.broken = True
            if run.fate == "crashes":
                return _fault(ask.job, heard, Fault.CRASHED, "its process exited")
            outcome = training.outcome
            outcome.fault, outcome.cause = Fault.RAISED, repr(error)
        return outcome

    def _kept(self, ask: Any) -> Kept | None:
        """The generator that waits in the cell, if the job is of its trial."""
        kept, ask.cell[:] = (ask.cell or [None])[0], []
        if kept is not None and (kept.chain != ask.job.chain.key or ask.job.attempt):
            return None
        return kept


class Stopped(BaseException):
    """The cell was killed since the search stops."""


def _never(write: Any, work: Work) -> Any:
    """A write that a process does no more once it was killed."""

    def written() -> None:
        if not work.gone:
            write()

    return written


def _fault(job: TrialJob, heard: list[Any], fault: Fault, cause: str) -> JobOutcome:
    """The outcome of a job whose process could not tell it, as the real cell makes it."""
    last = heard[-1].resource if heard else job.since
    return JobOutcome(
        job=job.number, trial=job.trial, reports=heard, fault=fault, cause=cause, trained=last - job.since
    )
