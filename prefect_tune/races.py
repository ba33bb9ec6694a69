"""The brackets of an adaptive search with their candidates, drawn before anything runs.

Rule 1: candidates are scikit-learn's own draws, with dask-ml's seeds: equal `random_state`, equal candidates.
Rule 2: a candidate is known by its parameters; a second one with the same in a bracket by its number, too.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.errors import ScheduleError, SpaceError
from prefect_tune.identifier import Identifier
from prefect_tune.identity.encode import digest, plain
from prefect_tune.identity.seeds import derive_seed, low32
from prefect_tune.schedules import (
    Halving,
    Incremental,
    InverseDecay,
    Schedule,
    exact_factor,
    hyperband,
    ilog,
    plan_bracket,
    plateau_rule,
)

KINDS = ("hyperband", "successive_halving", "incremental", "inverse_decay")
_WORDS = {
    "max_resource": "max_iter",
    "min_resource": "n_initial_iter",
    "eta": "aggressiveness",
    "decay": "decay_rate",
    "n_initial": "n_initial_parameters",
    "size": "n_initial_parameters",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One bracket: its candidates and the schedule that decides among them.

    Attributes:
        name: id of the bracket; None for a search that is one race.
        schedule: who trains how far.
        rows: its candidates, as rows of the search.
        keys: their names in the schedule, in the same order.
    """

    name: int | None
    schedule: Schedule
    rows: tuple[int, ...]
    keys: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the bracket's flow run is called."""
        return "race" if self.name is None else f"bracket {self.name}"

    def model_id(self, position: int) -> Any:
        """dask-ml's name of the candidate at a position of the bracket."""
        return position if self.name is None else f"bracket={self.name}-{position}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The brackets of a search, most aggressive first, and all candidates.

    Attributes:
        races: the brackets.
        candidates: one dict of parameters per row.
        max_resource: what no candidate exceeds.
        metadata: what is planned, in dask-ml's words.
    """

    races: tuple[Race, ...]
    candidates: tuple[Mapping[str, Any], ...]
    max_resource: int
    metadata: Mapping[str, Any]


def draw_races(kind: str, asked: Mapping[str, Any], seed: int) -> Drawn:
    """The brackets that the parameters of a flow ask for.

    Args:
        kind: one of `KINDS`.
        asked: the flow's parameters.
        seed: seed of the search, from which a `random_state` that is None is derived.

    Raises:
        UserError: numbers that make no schedule, or an empty space.
    """
    try:
        return _drawn(kind, asked, random_state_of(asked, seed))
    except ScheduleError as error:
        raise _in_words_of_the_flow(error) from None


def _in_words_of_the_flow(error: ScheduleError) -> ScheduleError:
    """The error in the names that the parameters have, which are dask-ml's."""
    rule, advice = error.rule, error.advice
    for ours in ("max_resource", "min_resource"):
        rule, advice = rule.replace(ours, _WORDS[ours]), advice.replace(ours, _WORDS[ours])
    return ScheduleError(_WORDS.get(error.name, error.name), rule, error.value, advice)


def _drawn(kind: str, asked: Mapping[str, Any], state: int) -> Drawn:
    if kind == "hyperband":
        plans = _hyperband(asked, state)
    else:
        plans = [(None, _schedule(kind, asked), asked.get("n_initial_parameters", 10), state)]
    races: list[Race] = []
    rows: list[dict[str, Any]] = []
    for name, schedule, count, seed_of_bracket in plans:
        drawn = _draw(asked["parameters"], count, seed_of_bracket)
        first = len(rows)
        rows += drawn
        races.append(
            Race(
                name=name,
                schedule=schedule(len(drawn)) if callable(schedule) else schedule,
                rows=tuple(range(first, first + len(drawn))),
                keys=candidate_keys(drawn),
            )
        )
    return Drawn(
        races=tuple(races),
        candidates=tuple(rows),
        max_resource=max(race.schedule.plan(len(race.rows)).decisions[-1] for race in races),
        metadata=_metadata(kind, races),
    )


def random_state_of(asked: Mapping[str, Any], seed: int) -> int:
    """The one int that splits, orders and candidates are drawn with; None is filled from `seed`."""
    state = asked.get("random_state")
    if state is None:
        return low32(derive_seed(seed, "random_state"))
    if isinstance(state, np.random.RandomState):
        return int(copy.deepcopy(state).randint(2**31 - 1))  # asked several times, it says the same
    if isinstance(state, bool) or not isinstance(state, (int, np.integer)):
        raise SpaceError(f"random_state: must be an int, a RandomState or None, got {state!r}.")
    return int(state)


def candidate_keys(candidates: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A name for each candidate of a bracket, made of its parameters."""
    identifier, keys = Identifier(salt=b""), []
    seen: Counter[str] = Counter()
    for row in candidates:
        frames = [(name, identifier.frame(value, name)) for name, value in sorted(plain(dict(row)).items())]
        key = digest("candidate/v1", frames).hex()[:32]
        keys.append(f"{key}-{seen[key]}" if seen[key] else key)
        seen[key] += 1
    return tuple(keys)


def _hyperband(asked: Mapping[str, Any], state: int) -> list[tuple[Any, Any, Any, int]]:
    cap, eta = asked.get("max_iter", 81), asked.get("aggressiveness", 3)
    brackets = hyperband(
        cap, eta=eta, bracket_sizes=asked.get("bracket_sizes", "jmlr"), brackets=asked.get("brackets")
    )
    plateau = plateau_rule(asked.get("patience", False), asked.get("tol", 0.001), max_resource=cap, eta=eta)
    first = int(np.random.RandomState(state).randint(2**31))
    # The passive bracket draws what IncrementalSearchCV draws with the same random_state.
    return [
        (b.name, Halving(b, plateau), b.size, state if b.name == 0 else first + int(b.name)) for b in brackets
    ]


def _schedule(kind: str, asked: Mapping[str, Any]) -> Any:
    """The schedule, or a function that makes it once the number of candidates is known."""
    patience, tol = asked.get("patience", False), asked.get("tol", 0.001)
    if kind == "successive_halving":
        return lambda count: _halving(count, asked)
    cap = asked.get("max_iter", 100)
    plateau = plateau_rule(patience, tol, max_resource=cap)
    every = asked.get("fits_per_score", 1)
    if kind == "incremental":
        return Incremental(cap, every, plateau)
    decay = asked.get("decay_rate", 1.0)
    return lambda count: InverseDecay(count, decay, cap, every, plateau)


def _halving(count: int, asked: Mapping[str, Any]) -> Halving:
    cap, first, eta = asked.get("max_iter"), asked.get("n_initial_iter"), asked.get("aggressiveness", 3)
    if first is None:
        if cap is None:
            raise ScheduleError(
                "n_initial_iter",
                "must be an int of at least 1",
                None,
                "or give max_iter, which it follows from",
            )
        factor = exact_factor(eta)
        # A bad max_iter or count is for plan_bracket to name.
        whole = isinstance(cap, int) and not isinstance(cap, bool) and cap >= 1 and count >= 1
        first = max(1, int(cap // factor ** ilog(count, factor))) if whole else 1
    bracket = plan_bracket(count, min_resource=first, max_resource=cap, eta=eta)
    top = bracket.resources[-1]
    plateau = plateau_rule(asked.get("patience", False), asked.get("tol", 0.001), max_resource=top)
    return Halving(bracket, plateau)


def _draw(space: Any, count: Any, state: int) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    try:
        if count == "grid":
            rows = list(ParameterGrid(space))
        else:
            rows = list(ParameterSampler(space, _whole(count), random_state=state % 2**32))
    except (TypeError, ValueError) as error:
        if isinstance(error, SpaceError):
            raise
        raise SpaceError(f"parameters: the space cannot be read: {error}") from error
    if not rows:
        raise SpaceError("parameters: the space is empty: no candidate to try; give every parameter a value.")
    return [dict(row) for row in rows]


def _whole(count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise SpaceError(
            f"n_initial_parameters: must be an int of at least 1 or 'grid', got {count!r}; it is the number "
            "of candidates to draw."
        )
    return int(count)


def _metadata(kind: str, races: Sequence[Race]) -> dict[str, Any]:
    if kind == "hyperband":
        return _counted(races)
    plan = races[0].schedule.plan(len(races[0].rows))
    return dict(plan.metadata)


def _counted(races: Sequence[Race]) -> dict[str, Any]:
    entries = [_bracket_metadata(race) for race in reversed(races)]
    return {
        "n_models": sum(entry["n_models"] for entry in entries),
        "partial_fit_calls": sum(entry["partial_fit_calls"] for entry in entries),
        "brackets": entries,
    }


def _bracket_metadata(race: Race) -> dict[str, Any]:
    """What one bracket is planned to do with the candidates it has."""
    plan = race.schedule.plan(len(race.rows))
    return {
        "bracket": race.name,
        "n_models": plan.n_models,
        "partial_fit_calls": plan.partial_fit_calls,
        "decisions": list(plan.decisions),
    }
