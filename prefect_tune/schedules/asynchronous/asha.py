"""Asynchronous successive halving (ASHA): its settings, stopping or promotion, one bracket or several.

Rule: settings are frozen and checked when they are made; `begin` gives the machine.
Theory: Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, MLSys 2020. Where we differ:
a rung promotes by its exact quantile, from eta records on (`rules`); `compat` names the others' rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.board import Board
from prefect_tune.schedules.asynchronous.brackets import Brackets, plan_brackets
from prefect_tune.schedules.asynchronous.contract import KeyOf
from prefect_tune.schedules.asynchronous.gates import Gate, Promotion, Stopping
from prefect_tune.schedules.asynchronous.levels import Levels, plan_levels
from prefect_tune.schedules.asynchronous.machine import HalvingMachine, Setup
from prefect_tune.schedules.asynchronous.rules import STOPPING, Rule, plan_rule
from prefect_tune.schedules.asynchronous.sight import checked_sight


@dataclass(frozen=True, slots=True)
class ASHA:
    """Asynchronous successive halving.

    Attributes:
        max_resource: where a trial is complete.
        grace_period: first rung; no trial is dropped before it.
        eta: factor between rungs, at least 2; a decimal number is taken exactly.
        type: `stopping` decides at each rung for good; `promotion` pauses there, and a free worker goes on
            with the best.
        brackets: how many starting rungs new trials are spread over.
        rung_system_per_bracket: whether each bracket keeps its own records, as Ray and Optuna do.
        rung_levels: the rungs themselves, rising; overrides `grace_period`, `eta` and `rung_increment`.
        rung_increment: distance between rungs, instead of the factor.
        compat: whose rule decides: None (ours), `paper`, `syne-0.13`, `syne-0.15`, `optuna` or `ray`.
        searcher_data: what samplers see: `rungs`, `all` or `rungs_and_last`.
        fail_on_nan: `rung` fails a trial whose loss at a rung is not finite; `report`, any loss.

    >>> ASHA(81).levels
    (1, 3, 9, 27, 81)
    """

    max_resource: int
    _: KW_ONLY
    grace_period: int = 1
    eta: float = 3
    type: str = STOPPING
    brackets: int = 1
    rung_system_per_bracket: bool = False
    rung_levels: Sequence[int] | None = None
    rung_increment: int | None = None
    compat: str | None = None
    searcher_data: str = "rungs"
    fail_on_nan: str = "rung"

    def __post_init__(self) -> None:
        if self.rung_levels is not None:
            _ = self.plan  # checks the list before it is frozen
            object.__setattr__(self, "rung_levels", tuple(self.rung_levels))
        checked_sight(self.searcher_data)
        if self.fail_on_nan not in ("rung", "report"):
            rule = "must be 'rung' or 'report'"
            raise ScheduleError("fail_on_nan", rule, self.fail_on_nan, "rung is the default")
        _ = self.drawn_brackets, self.rule

    @property
    def plan(self) -> Levels:
        """The rungs and the maximum."""
        return plan_levels(
            self.max_resource,
            grace_period=self.grace_period,
            eta=self.eta,
            rung_levels=self.rung_levels,
            rung_increment=self.rung_increment,
        )

    @property
    def levels(self) -> tuple[int, ...]:
        """Rungs and the maximum, rising."""
        return self.plan.all

    @property
    def rule(self) -> Rule:
        """Who passes at a rung."""
        return plan_rule(self.type, self.eta, self.compat)

    @property
    def drawn_brackets(self) -> Brackets:
        """The brackets and their chances."""
        return plan_brackets(self.plan, self.brackets, self.rule.eta, self.compat)

    def begin(self, seed: int, keys: KeyOf) -> HalvingMachine:
        """A fresh machine."""
        gate = Stopping(self.rule) if self.type == STOPPING else Promotion(self.rule)
        return self.machine(seed, keys, gate)

    def machine(self, seed: int, keys: KeyOf, gate: Gate) -> HalvingMachine:
        """A fresh machine whose rungs are decided by the gate."""
        levels, brackets = self.plan, self.drawn_brackets
        setup = Setup(
            levels=levels,
            draw=brackets.drawer(seed),
            keys=keys,
            searcher_data=self.searcher_data,
            fail_early=self.fail_on_nan == "report",
            jumps=self.rule.keeps_jumped,
        )
        boards = brackets.count if self.rung_system_per_bracket else 1
        return HalvingMachine(setup, gate, [Board.empty(levels) for _ in range(boards)])

    def identity(self) -> dict[str, object]:
        """The settings that tell two schedules apart."""
        said = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("max_resource", "grace_period", "rung_levels", "rung_increment"):
            del said[name]  # the levels say it all
        return said | {"schedule": "asha", "eta": str(self.rule.eta), "levels": list(self.levels)}
