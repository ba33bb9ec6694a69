"""Searches over an objective: the real loop, tuner, schedules, samplers and training in a simulated world."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

from sim_fleet import NONE, Fleet, Life, Runner
from sim_store import SCOPE, Pages, Shelf, Store
from sim_tune_cases import SPACE, Scenario, scenario_of
from sim_tune_oracles import examine, is_part, table
from sim_tune_work import Work
from sim_world import Inline, Slowly, World, check, live, time_of

from prefect_tune.errors import InfrastructureError
from prefect_tune.flows.tuning import loop as loop_module
from prefect_tune.flows.tuning import spread as spread_module
from prefect_tune.flows.tuning.diary import Diary
from prefect_tune.flows.tuning.loop import Loop
from prefect_tune.flows.tuning.spread import Spread
from prefect_tune.tasks.objective import training as training_module
from prefect_tune.tasks.objective.protocol import Limits, ObjectiveFile
from prefect_tune.tasks.objective.training import Kept
from prefect_tune.tuning.events import Codec
from prefect_tune.tuning.tuner import Tuner


class SimDiary(Diary):
    """The real diary on a model of the disk."""

    def __init__(self, story: Story, life: Life, torn: Any) -> None:
        pages = Pages(story.shelf, torn, lambda: story.world.draw.random() < 0.5)
        super().__init__(pages, Codec(SPACE))  # type: ignore[arg-type]
        self.story, self.life, self.born = story, life, story.world.now
        self.jump = 0.0
        self.writing = False

    def write(self, events: Any) -> None:
        """As the real one; until it is through, nobody was promised anything."""
        self.writing = True
        super().write(events)
        self.writing = False

    def elapsed(self) -> float:
        """Seconds, by a clock that jumps."""
        faults, draw = self.story.scenario.faults, self.story.world.draw
        if draw.random() < faults.jumps:
            self.jump = draw.choice([-3600.0, 0.0, 3600.0])
        return self.base + self.story.world.now - self.born + self.jump

    def stop(self, sign: str) -> None:
        """Running jobs of this process end."""
        self.story.stopped.add(self.life)


class Story:
    """One search from its question to its result, whatever happens.

    Attributes:
        tuner: of the process that came to the end.
        lives: how many processes it took.
    """

    def __init__(self, scenario: Scenario, process: type[Process] | None = None) -> None:
        self.scenario, self.process = scenario, process or Process
        self.world = World(f"tune {scenario.seed} {scenario.faults}")
        self.shelf = Shelf(self.world)
        self.work = Work(scenario)
        self.fleet = Fleet(
            self.world, self.shelf, scenario.slots, scenario.faults, self.work, lambda run: self._seconds()
        )
        self.work.fleet = self.fleet
        self.stopped: set[Life] = set()
        self.cells: list[list[Kept]] = [[] for _ in range(scenario.slots)]
        self.tuner: Tuner | None = None
        self.lives = self.unwritten = 0

    def run(self) -> Story:
        """The end of the story; the oracles have been asked."""
        try:
            with time_of(self.world, training_module, loop_module, spread_module):
                self._weather()
                while self.tuner is None:
                    self._live()
                self.world.rest()
                examine(self)
        finally:
            self.shelf.close()
        return self

    def told(self) -> Tuner:
        """A fresh tuner that has read the journal."""
        codec, tuner = Codec(SPACE), Tuner(self.scenario.settings)
        tuner.replay(codec.from_json(line) for line in Pages(self.shelf, _whole, bool).lines)
        return tuner

    def _seconds(self) -> float:
        return self.world.draw.expovariate(1.0) + 0.01

    def _weather(self) -> None:
        """What happens to the store."""
        draw, faults = self.world.draw, self.scenario.faults
        if faults.lost:
            for _ in range(draw.randint(1, 3)):
                self.world.after(draw.random() * 20, lambda: self._lose(faults.lost))
        if faults.refuses:
            begin, last = draw.random() * 15, draw.random() * 10
            self.world.after(begin, lambda: self._refuse(True))
            self.world.after(begin + last, lambda: self._refuse(False))

    def _lose(self, share: float) -> None:
        self.world.note(f"{self.shelf.lose(share)} entries lost")

    def _refuse(self, refuses: bool) -> None:
        self.world.note("the store refuses" if refuses else "the store takes entries again")
        self.shelf.refuses = refuses

    def _live(self) -> None:
        """One process of the driver."""
        faults, draw = self.scenario.faults, self.world.draw
        self.lives += 1
        check(self.lives <= faults.kills + 8, "processes that nobody has killed fail again and again")
        doomed = self.lives <= faults.kills
        life = Life(self.world, draw.randint(1, faults.points) if doomed else None)
        self.world.note(f"process {self.lives} begins")
        process = self.process(self, life)
        try:
            tuner = live(self.world, life, process.main)
        except InfrastructureError as error:  # run the same search again to go on
            self.world.note(f"the driver gives up: {error}")
            life.dead, tuner = True, None
        process.buried(tuner)
        self.fleet.killed(life)
        self.tuner = tuner


class Process:
    """The driver's process: what `flows.tuning.run` sets up around the loop.

    Args:
        story: that it is part of.
        life: of the process.

    Tests put faulty parts in place of `loop_class` and `tuner_class`.
    """

    loop_class: type[Loop] = Loop
    tuner_class: type[Tuner] = Tuner

    def __init__(self, story: Story, life: Life) -> None:
        self.story, self.life = story, life
        self.tuner: Tuner | None = None
        self.diary: SimDiary | None = None
        self.evaluations: int | None = None
        self.base = 0

    async def main(self) -> Tuner:
        """The tuner, once nothing is left to do."""
        story, life, scenario = self.story, self.life, self.story.scenario
        self.diary = diary = SimDiary(story, life, life.torn)
        tuner = self.tuner_class(scenario.settings)
        diary.base = tuner.replay(diary.events())
        self.tuner = tuner
        objective = story.work.objective()
        store = Store(story.shelf, life.point)
        search: Any = SimpleNamespace(
            settings=scenario.settings,
            objective=objective,
            store=store,
            scope=SCOPE,
            limits=Limits(checkpoint_every=scenario.every),
            resources={},
        )
        file = ObjectiveFile(path="", digest="", store=story.shelf, scope=SCOPE, stop="")  # type: ignore[arg-type]
        runner: Any = Runner(story.fleet, life, self._ask)
        spread = Spread(search, file, runner, scenario.slots)
        loop = self.loop_class(search, tuner, file, runner, diary, self._told, spread)
        loop._pool = Slowly(story.world, scenario.thinks) if scenario.thinks else Inline()  # type: ignore
        await loop.run()
        return tuner

    def _ask(self, label: str, ask: Any) -> Any:
        """What a worker gets of a job."""
        story = self.story
        cell = story.cells[story.world.draw.randrange(len(story.cells))]
        return SimpleNamespace(
            label=label, name=ask.job.number, job=ask.job, world=story.world, stopped=story.stopped, cell=cell
        )

    async def _told(self, loop: Loop) -> None:
        """After each event: the limits hold."""
        tuner, settings = loop.tuner, self.story.scenario.settings
        check(tuner.usage.started <= (settings.budget.n_trials or math.inf), "more trials than n_trials")
        check(len(tuner.running) <= settings.max_concurrent, "more jobs at once than allowed")
        if tuner.halted is not None and tuner.halted.cancel:
            if self.evaluations is None:
                self.evaluations = tuner.usage.evaluations
            check(tuner.usage.evaluations == self.evaluations, "a report counts after the search was stopped")

    def buried(self, tuner: Tuner | None) -> None:
        """The oracles of a process that is over: what it wrote is what it knew."""
        diary, dead = self.diary, self.tuner
        if diary is None or dead is None:
            return
        if diary._journal is None:
            self.story.unwritten += 1  # it has said so; it cannot be resumed at this point
            return
        self.story.unwritten = 0
        if tuner is None:
            told = self.story.told()
            is_part(told, dead, whole=not (dead.log or diary.writing))


def _whole(size: int) -> None:
    """A journal that is written whole."""


def judge(seed: int) -> Counter[str]:
    """What a seed has met, by fault; its oracles hold.

    Raises:
        Broken: one of them does not.
    """
    scenario = scenario_of(seed)
    story = Story(scenario).run()
    assert story.tuner is not None
    if scenario.ordered:
        quiet = Story(dataclasses.replace(scenario, faults=NONE)).run()
        assert quiet.tuner is not None
        check(table(story.tuner) == table(quiet.tuner), "the table is not that of the undisturbed search")
    met = Counter({run.fate: 1 for run in story.fleet.all if run.fate})
    met.update(kills=story.lives - 1, trials=len(story.tuner.trials), ordered=scenario.ordered)
    return met
