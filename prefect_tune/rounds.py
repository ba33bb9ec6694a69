"""A round of an adaptive search as task runs: who is trained how far, in groups worth watching.

Rule 1: a unit is one candidate on one split, brought to its next level and scored there.
Rule 2: a group takes a tenth of a second to some three seconds, and returns early with what it has, so that a
wrong guess of its cost leaves nobody idle. Grouping never changes what is computed.
Rule 3: the round with the longest way still to go is served first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

SHORTEST, LONGEST = 0.1, 3.0
"""Seconds of work that a task run aims at."""
UNCROWDED = 30.0
"""Seconds that it may take where no other work waits; then a checkpoint is due all the same."""


@dataclass(frozen=True, slots=True)
class TrainUnit:
    """One candidate on one split, to be trained to a level and scored.

    Attributes:
        row: the candidate.
        split: the split.
        path: the levels at which it is scored, ascending; the last is the one to reach.
        starts: numbers of calls whose checkpoints the store may have, greatest first.
        scored: whether it is scored there.
        spent: calls made for it since its last level by task runs that had to stop, and their seconds.
        stops: levels on the way at which a checkpoint is left too, ascending: others start from there.
    """

    row: int
    split: int
    path: tuple[int, ...]
    starts: tuple[int, ...] = ()
    scored: bool = True
    spent: tuple[int, float] = (0, 0.0)
    stops: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PrefixUnit:
    """One of the steps before the last of a candidate's pipeline, to be fitted on the sample of a split.

    Attributes:
        row, split: the candidate and the split.
        depth: position of the step.
        part: which of its nodes; a union has one for each branch.
    """

    row: int
    split: int
    depth: int
    part: int = 0


@dataclass(frozen=True, slots=True)
class RowsUnit:
    """The rows of a split that are scored, to be put together once, in the store; `row` is no candidate."""

    row: int
    split: int


@dataclass(frozen=True, slots=True)
class ModelUnit:
    """The whole fitted estimator of a candidate, to be left in the store; fields as in `TrainUnit`."""

    row: int
    split: int
    path: tuple[int, ...]
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundBatch:
    """One task run of a round.

    Attributes:
        index: its number within the bracket.
        leaves: the units, in the order in which they run.
        seconds: predicted seconds.
        label: what the task run is called.
        resources: Dask resources it needs.
        budget: seconds after which it returns with what it has; None: no limit.
        priority: greater goes first.
    """

    index: int
    leaves: tuple[TrainUnit | PrefixUnit | RowsUnit | ModelUnit, ...]
    seconds: float = 0.0
    label: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)
    budget: float | None = None
    priority: int = 0
    prefixes: ClassVar[tuple[bytes, ...]] = ()
    after: ClassVar[tuple[int, ...]] = ()
    refit: ClassVar[bool] = False

    @property
    def rows(self) -> frozenset[int]:
        """The candidates of its units."""
        return frozenset(unit.row for unit in self.leaves)


class Pace:
    """What a unit of training and a score have taken so far, in seconds."""

    def __init__(self) -> None:
        self.trained, self.training = 0, 0.0
        self.scored, self.scoring = 0, 0.0

    def learn(self, calls: int, seconds: float) -> None:
        """Takes in some training."""
        self.trained, self.training = self.trained + calls, self.training + seconds

    def learn_score(self, seconds: float) -> None:
        """Takes in one score."""
        self.scored, self.scoring = self.scored + 1, self.scoring + seconds

    def seconds(self, units: int) -> float | None:
        """Predicted seconds of `units` more and a score; None before anything was measured."""
        if not self.trained and not self.scored:
            return None
        per_unit = self.training / self.trained if self.trained else 0.0
        per_score = self.scoring / self.scored if self.scored else 0.0
        return per_unit * units + per_score


def plan_round(
    units: Sequence[TrainUnit],
    ahead: Mapping[TrainUnit, int],
    pace: Pace,
    slots: int,
    *,
    first_index: int = 0,
    label: str = "",
    resources: Mapping[str, float] | None = None,
    priority: int = 0,
    crowded: bool = True,
) -> list[RoundBatch]:
    """Batches of the units of one round.

    Args:
        units: who is to be trained.
        ahead: unit -> units of resource it has to be trained by.
        pace: what training has taken so far.
        slots: threads of the cluster.
        first_index: number of the first batch.
        label: beginning of the task runs' names.
        resources: Dask resources of a task run.
        priority: of all of them.
        crowded: whether other work waits for the workers.
    """
    # Unknown costs: small groups, and they return after a while.
    costs = {unit: pace.seconds(ahead[unit]) or SHORTEST / 2 for unit in units}
    total = sum(costs.values())
    count = min(len(units), max(1, min(2 * slots, round(total / SHORTEST)), round(total / LONGEST)))
    # The costliest first, each to the group that has least: no group is much longer than another.
    groups: list[list[TrainUnit]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for unit in sorted(units, key=lambda unit: -costs[unit]):
        lightest = loads.index(min(loads))
        groups[lightest].append(unit)
        loads[lightest] += costs[unit]
    return [
        RoundBatch(
            index=first_index + i,
            leaves=tuple(group),
            seconds=load,
            label=f"{label} · {len(group)} candidates" if len(group) > 1 else label,
            resources=dict(resources or {}),
            budget=LONGEST if crowded or len(units) > slots else UNCROWDED,
            priority=priority,
        )
        for i, (group, load) in enumerate(zip(groups, loads, strict=True))
    ]
