"""How a state gets more of the resource: calls of `partial_fit`, more rows, or more of a parameter."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.chains import SAMPLES, Chain
from prefect_tune.chunks import ChunkRows
from prefect_tune.chunks.rows import row_count
from prefect_tune.identity.seeds import derive_seed, inject_seeds, low32
from prefect_tune.nodes import TRAIN
from prefect_tune.steps import LeafChoice
from prefect_tune.tasks.dataset import lend, private_copy
from prefect_tune.tasks.execute import Evaluator, run_alone, seed_globals, wants_to_write
from prefect_tune.tasks.feed import first_rows, joined


@dataclass(slots=True)
class Trained:
    """A trained state and how it came about.

    Attributes:
        key: its key.
        state: the estimator; None before the first training.
        level: where it is (calls of `partial_fit`, or level of the resource).
        since: where this task run found it.
        seconds: what training it from there took.
        size: bytes of it in the store; 0 if unknown.
    """

    key: bytes
    state: Any = None
    level: int = 0
    since: int = 0
    seconds: float = 0.0
    size: int = 0


def new_estimator(choice: LeafChoice, seed: int, start: bytes) -> Any:
    """The untrained step of a candidate; what has no `random_state` gets one derived from its key."""
    step = choice.build()
    inject_seeds(step, lambda path: low32(derive_seed(seed, start, path)))
    run_alone(step)
    return step


def trained_by_calls(
    evaluator: Evaluator, chain: Chain, found: Trained, path: Sequence[int], deadline: float
) -> tuple[Any, int]:
    """(the state, calls it has had): those that `path` ends with, or fewer where time ran out before.

    An empty chunk counts as a call and trains nothing. At least one call is made.
    """
    spec, parts = evaluator.spec, chain.compiler.parts
    family = f"{chain.choice.step.family}.partial_fit"
    state, calls = found.state, chain.calls(path[-1])
    for call in range(found.level + 1, calls + 1):
        fold = parts.fold(chain.split, parts.chunk_of(chain.split, call))
        rows = evaluator.data.chunk(fold, TRAIN)
        X = evaluator.evaluate(chain.node(call)).out
        seed_globals(spec.seed, chain.link(call))
        begun = time.perf_counter()
        if row_count(X):
            with evaluator.watch.running(chain.link(call).hex()):
                _called(evaluator, family, state.partial_fit, X, rows)
        evaluator.ran.append((family, time.perf_counter() - begun))
        if time.perf_counter() > deadline and call < calls:
            return state, call
    return state, calls


class Overwrites(Exception):
    """An estimator wrote into rows that others need; asked again, it gets copies of its own."""


def _called(evaluator: Evaluator, family: str, method: Any, X: Any, rows: ChunkRows) -> None:
    """Calls `partial_fit` or `fit`.

    Raises:
        Overwrites: it writes into its input. The call has broken off, so its state is of no use.
    """
    spec = evaluator.spec
    own: set[str] = vars(evaluator).setdefault("overwriting", set())
    given_y = () if rows.y is None else (lend(rows.y),)
    arguments = {**copy.deepcopy(dict(spec.constants)), **{n: rows.params[n] for n in spec.row_params}}
    if family in own:
        method(private_copy(X), *map(private_copy, given_y), **arguments)
        return
    try:
        method(lend(X), *given_y, **arguments)
    except ValueError as error:
        if not wants_to_write(error):
            raise
        own.add(family)
        raise Overwrites from error


def grown(
    evaluator: Evaluator, chain: Chain, found: Trained, path: Sequence[int], deadline: float
) -> tuple[Any, int]:
    """(the step fitted with the last level of `path`, that level): so many rows, or so much of a number."""
    return _grown(evaluator, chain, found, path), path[-1]


def _grown(evaluator: Evaluator, chain: Chain, found: Trained, path: Sequence[int]) -> Any:
    spec, resource, level = evaluator.spec, evaluator.spec.resource, path[-1]
    samples = level if resource.name == SAMPLES else None
    whole = first_rows(_rows(evaluator, chain, samples), samples)
    family = f"{chain.choice.step.family}.fit"
    if samples is not None:
        state = new_estimator(chain.choice, spec.seed, chain.start)
        return _fitted(evaluator, chain, state, whole, family, path)
    name = resource.parameter.split("__")[-1] if "__" in resource.parameter else resource.parameter
    if not resource.warm:
        state = new_estimator(chain.choice, spec.seed, chain.start).set_params(**{name: level})
        return _fitted(evaluator, chain, state, whole, family, path)
    state, at = found.state, found.level
    for station in [step for step in path if step > at]:
        state = _more(evaluator, chain, state, whole, (name, at, station), family)
        at = station
    return state


def _more(
    evaluator: Evaluator, chain: Chain, state: Any, rows: ChunkRows, step: tuple[str, int, int], family: str
) -> Any:
    """A warm fit from one level to the next."""
    name, _, level = step
    if type(state).__module__.startswith(("xgboost.", "lightgbm.")):
        return _boosted(evaluator, chain, state, rows, step, family)
    state.set_params(**{name: level, "warm_start": True})
    return _fitted(evaluator, chain, state, rows, family, (level,))


def _boosted(
    evaluator: Evaluator, chain: Chain, state: Any, rows: ChunkRows, step: tuple[str, int, int], family: str
) -> Any:
    """Continued training: as many rounds as are missing, on top of the booster so far."""
    name, before, level = step
    kind = type(state).__module__.partition(".")[0]
    argument = {"xgboost": "xgb_model", "lightgbm": "init_model"}[kind]
    more = new_estimator(chain.choice, evaluator.spec.seed, chain.start).set_params(**{name: level - before})
    extra = {argument: state} if before else {}
    if before and kind == "xgboost":
        extra = {argument: state.get_booster()}
    return _fitted(evaluator, chain, more, rows, family, (level,), extra).set_params(**{name: level})


def _fitted(
    evaluator: Evaluator,
    chain: Chain,
    state: Any,
    rows: ChunkRows,
    family: str,
    path: Sequence[int],
    extra: dict[str, Any] | None = None,
) -> Any:
    spec = evaluator.spec
    seed_globals(spec.seed, chain.key(path))
    begun = time.perf_counter()

    def fit(X: Any, *given_y: Any, **arguments: Any) -> None:
        state.fit(X, *given_y, **arguments, **(extra or {}))

    with evaluator.watch.running(chain.key(path).hex()):
        _called(evaluator, family, fit, rows.X, rows)
    evaluator.ran.append((family, time.perf_counter() - begun))
    return state


def _rows(evaluator: Evaluator, chain: Chain, count: int | None) -> ChunkRows:
    """The training rows of the split as the step takes them, in the order of the first pass.

    Args:
        count: how many are needed; chunks behind them are not read. None: all.
    """
    parts = chain.compiler.parts
    calls = parts.calls_for(chain.split, count)
    chunks = [
        evaluator.data.chunk(parts.fold(chain.split, parts.chunk_of(chain.split, c)), TRAIN) for c in calls
    ]
    shown = [
        ChunkRows(X=evaluator.evaluate(chain.node(call)).out, y=rows.y, params=rows.params)
        for call, rows in zip(calls, chunks, strict=True)
    ]
    return joined(shown)
