"""Population based training: the worst members take over a better member's state, and try a changed setting.

Rule 1: every `interval` units of resource a member's loss becomes its score, and it is compared with the
scores of all members that still live.
Rule 2: whoever is among the worst share is stopped. In its place a new trial starts from the state of one of
the best, drawn by chance, with that trial's configuration, changed (see `explore`).
Rule 3: the draws of a copy depend on the seed and its running number alone.
Theory: Jaderberg et al., 2017; the share of the worst and the changes are Ray Tune's.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, KeyOf, Machine, Verdict
from prefect_tune.schedules.asynchronous.curves import NON_FINITE, CurveMachine, checked_fail_on_nan
from prefect_tune.schedules.asynchronous.explore import explore
from prefect_tune.schedules.exact import exact_factor, whole
from prefect_tune.schedules.rungs import checked_max
from prefect_tune.space import SearchSpace
from prefect_tune.trials import Config, TrialState, generator, order_of


@dataclass(frozen=True, slots=True)
class PBT:
    """A population that copies from its best.

    Attributes:
        max_resource: where a trial is complete.
        population: members that are started; whoever copies takes the place of the one that stopped.
        interval: resource between two comparisons of a member.
        fraction: share of the population that counts as worst, and as best; at most 1/2.
        resample_probability: chance that a value is drawn anew instead of being moved.
        synch: compare only when all members have come equally far; slower, and the same whatever the number
            of workers.
        fail_on_nan: `report` fails a trial at its first loss that is not finite, `rung` where it is compared.
    """

    max_resource: int
    population: int = field(default=10, kw_only=True)
    interval: int = field(default=1, kw_only=True)
    fraction: float = field(default=0.25, kw_only=True)
    resample_probability: float = field(default=0.25, kw_only=True)
    synch: bool = field(default=False, kw_only=True)
    fail_on_nan: str = field(default="rung", kw_only=True)

    def __post_init__(self) -> None:
        ints = {
            "max_resource": checked_max(self.max_resource),
            "population": whole("population", self.population, least=1, advice="10 to 40 are usual"),
            "interval": whole("interval", self.interval, least=1, advice="a tenth of max_resource is usual"),
        }
        for name, value in ints.items():  # numpy's ints become ours
            object.__setattr__(self, name, value)
        if self.interval > self.max_resource:
            rule = f"must be at most max_resource ({self.max_resource})"
            raise ScheduleError("interval", rule, self.interval, "lower it or raise max_resource")
        _checked_share("fraction", self.fraction, Fraction(1, 2))
        _checked_share("resample_probability", self.resample_probability, Fraction(1))
        if not isinstance(self.synch, bool):
            raise ScheduleError("synch", "must be True or False", self.synch, "False lets nobody wait")
        checked_fail_on_nan(self.fail_on_nan)

    @property
    def levels(self) -> tuple[int, ...]:
        """Multiples of the interval, and the maximum."""
        return (*range(self.interval, self.max_resource, self.interval), self.max_resource)

    def begin(self, seed: int, keys: KeyOf) -> Machine:
        """A fresh machine; donors are drawn from the seed."""
        return PBTMachine(self, seed, keys)

    def child(self, config: Config, space: SearchSpace, seed: int, exploit: int) -> Config:
        """The configuration of copy number `exploit`, made of its donor's.

        Args:
            config: the donor's.
            space: of the search.
            seed: of the search.
            exploit: running number of the copy (`Job.exploit`).
        """
        draws = generator(seed, "pbt", exploit)
        draws.random()  # the first number has drawn the donor
        return explore(config, space, draws, float(self.resample_probability))

    def share(self, living: int) -> int:
        """How many of the living count as worst: the share rounded up, at most half.

        >>> [PBT(9).share(living) for living in (2, 3, 4, 5, 8, 9)]
        [1, 1, 1, 2, 2, 3]
        """
        return min(math.ceil(living * Fraction(exact_factor(self.fraction, least=0))), living // 2)

    def identity(self) -> dict[str, object]:
        """The settings."""
        return {
            "schedule": "pbt",
            "max_resource": self.max_resource,
            "population": self.population,
            "interval": self.interval,
            "fraction": self.fraction,
            "resample_probability": self.resample_probability,
            "synch": self.synch,
            "fail_on_nan": self.fail_on_nan,
        }


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy that has been decided and not yet been given out."""

    donor: int
    resource: int
    exploit: int


class PBTMachine(CurveMachine):
    """Members, their scores, and the copies that wait for a worker.

    Beyond the contract, `copied_over` names members that stopped without a report of their own (with `synch`,
    the worst of those that waited), `donors` the checkpoints that copies may start from, and `incomplete`
    says that members of a population in step have yet to start.
    """

    def __init__(self, settings: PBT, seed: int, keys: KeyOf) -> None:
        super().__init__(settings.levels, settings.max_resource, keys, settings.fail_on_nan)
        self.copied_over: dict[int, str] = {}
        self._settings, self._seed = settings, seed
        self._scores: dict[int, float] = {}
        self._scored_at: dict[int, int] = {}
        self._founders = self._exploits = 0
        self._copies: deque[_Copy] = deque()
        self._going_on: deque[int] = deque()

    def offer(self, index: int | None) -> Job | None:
        """A member that goes on, a copy, or a new member, in this order.

        Without an index a copy still comes back: it takes the next index, one more than the greatest known.
        """
        full = index is None or self._founders >= self._settings.population
        if self._settings.synch and full and not self._busy():
            self._compare_all()
        if (job := self._resumed() or self._copied(index)) is not None:
            return job
        if full or index is None:
            return None
        self._founders += 1
        self._scored_at[index] = 0
        return self.start(Job(index, 0, self._next(0)))

    def decide(self, trial: int, resource: int, loss: float) -> Decision:
        """Scores the trial where an interval is over, and stops it if it is among the worst."""
        if resource < self._due(trial):
            return Decision(Verdict.CONTINUE, self._due(trial))
        if not math.isfinite(loss):
            return Decision(Verdict.FAIL, reason=NON_FINITE)
        self._scores[trial], self._scored_at[trial] = loss, resource
        if self._settings.synch:
            return Decision(Verdict.PAUSE, reason="waits for the population")
        order = self._order()
        many = self._settings.share(len(order))
        if trial in order[len(order) - many :]:
            return Decision(Verdict.STOP, reason=self._exploit(order[:many]))
        return Decision(Verdict.CONTINUE, self._due(trial))

    @property
    def incomplete(self) -> bool:
        """Whether members are compared in step and some have yet to start: nobody goes on before."""
        return self._settings.synch and self._founders < self._settings.population

    def donors(self) -> frozenset[tuple[int, int]]:
        """(trial, resource) of checkpoints that a copy may start from, decided already or not yet."""
        decided = {(copy.donor, copy.resource) for copy in self._copies}
        return frozenset(decided | {(trial, self._scored_at[trial]) for trial in self._order()})

    def _due(self, trial: int) -> int:
        """Where the trial is compared next."""
        if self._settings.synch:
            return self._next(self._scored_at[trial])
        return min(self._scored_at[trial] + self._settings.interval, self._settings.max_resource)

    def _next(self, resource: int) -> int:
        """The next multiple of the interval, at most the maximum."""
        interval = self._settings.interval
        return min((resource // interval + 1) * interval, self._settings.max_resource)

    def _order(self) -> list[int]:
        """Unfinished members that have a score, best first."""
        living = [trial for trial in self._scores if not self.curves[trial].state.finished]
        return sorted(living, key=lambda trial: order_of(self._scores[trial], self.keys(trial)))

    def _exploit(self, best: list[int]) -> str:
        """Draws a donor and puts its copy in the queue; why the loser stops, in words."""
        number = self._exploits
        donor = best[int(generator(self._seed, "pbt", number).random() * len(best))]
        self._exploits += 1
        self._copies.append(_Copy(donor, self._scored_at[donor], number))
        return f"among the worst; trial {donor} is copied"

    def _copied(self, index: int | None) -> Job | None:
        """The first copy in the queue."""
        if not self._copies:
            return None
        copy = self._copies.popleft()
        trial = max(self.curves) + 1 if index is None else index
        self._scored_at[trial] = copy.resource
        return self.start(
            Job(trial, copy.resource, self._due(trial), parent=copy.donor, exploit=copy.exploit)
        )

    def _resumed(self) -> Job | None:
        """The first member that may go on after a comparison, if it has not been ended meanwhile."""
        while self._going_on:
            trial = self._going_on.popleft()
            if self.curves[trial].state is TrialState.PAUSED:
                return self.resume(trial, self._due(trial))
        return None

    def _busy(self) -> bool:
        """Whether a member runs, or is about to."""
        running = any(curve.state is TrialState.RUNNING for curve in self.curves.values())
        return running or bool(self._copies or self._going_on)

    def _compare_all(self) -> None:
        """All members wait: those behind go on, or else the worst are replaced."""
        order = self._order()
        if not order:
            return
        stand = {trial: self._scored_at[trial] // self._settings.interval for trial in order}
        behind = [trial for trial in order if stand[trial] < max(stand.values())]
        many = 0 if behind else self._settings.share(len(order))
        for trial in reversed(order[len(order) - many :]):
            self.copied_over[trial] = self._exploit(order[:many])
            self.stop(trial)
        self._going_on.extend(sorted(behind or order[: len(order) - many]))


def _checked_share(name: str, value: object, most: Fraction) -> None:
    rule, advice = f"must be a number from 0 to {most}", "0.25 is usual"
    try:
        exact = exact_factor(value, least=0)
    except ScheduleError:
        raise ScheduleError(name, rule, value, advice) from None
    if exact > most:
        raise ScheduleError(name, rule, value, advice)
