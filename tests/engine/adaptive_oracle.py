"""Adaptive searches by hand: one loop, no store, no chains; rows and order from the published rules.

Formulas: blocks, their seeds and the order of calls as in dask_ml.model_selection (`_incremental`, 2025.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone

from prefect_tune.races import candidate_keys

Rows = tuple[Any, Any, dict[str, Any]]  # X, y, what goes along with the rows


def take(value: Any, rows: Any) -> Any:
    """These rows."""
    if value is None:
        return None
    return value.iloc[rows] if hasattr(value, "iloc") else value[rows]


def below(values: list[Any]) -> Any:
    """One below the other."""
    if values[0] is None:
        return None
    if hasattr(values[0], "iloc"):
        import pandas as pd

        return pd.concat(values, ignore_index=True)
    return sparse.vstack(values, format="csr") if sparse.issparse(values[0]) else np.concatenate(values)


def cut(rows: Rows, size: int) -> list[Rows]:
    """Chunks of `size` rows, the last one shorter."""
    count = rows[0].shape[0]
    return [pick(rows, np.arange(s, min(s + size, count))) for s in range(0, count, size)]


def pick(rows: Rows, numbers: Any) -> Rows:
    X, y, along = rows
    return take(X, numbers), take(y, numbers), {name: take(value, numbers) for name, value in along.items()}


@dataclass
class Split:
    """What one split trains on, chunk by chunk, and what it is scored on; `order`: chunk of each call."""

    train: list[Rows]
    valid: Rows
    order: list[int]


def permuted(chunks: list[Rows], state: int) -> list[tuple[Rows, np.ndarray]]:
    """Each chunk with a permutation of its rows."""
    seeds = np.random.RandomState(state).randint(0, 2**31 - 1, size=len(chunks))
    return [
        (c, np.random.RandomState(s).permutation(c[0].shape[0])) for c, s in zip(chunks, seeds, strict=True)
    ]


def passes(n_chunks: int, calls: int, state: int) -> list[int]:
    """Passes through the chunks, each shuffled by one generator."""
    rng, order = np.random.RandomState(state), []
    while len(order) < calls:
        once = list(range(n_chunks))
        rng.shuffle(once)
        order += once
    return order


def joined(parts: list[Rows]) -> Rows:
    return below([p[0] for p in parts]), below([p[1] for p in parts]), {}


def one_split(
    chunks: list[Rows], state: int = 0, share: float | None = None, valid: Rows | None = None
) -> list[Split]:
    """The split of a search without folds."""
    share = min(0.2, 1 / len(chunks)) if share is None else share
    train, test = [], []
    for chunk, order in permuted(chunks, state):
        m = len(order)
        held = 0 if valid is not None else math.ceil(share * m)
        used = m if valid is not None else math.floor((1 - share) * m)
        test.append(pick(chunk, order[:held]))
        train.append(pick(chunk, order[held : held + used]))
    return [Split(train, joined(test) if valid is None else valid, passes(len(chunks), 200, state))]


def folds(chunks: list[Rows], count: int, state: int = 0) -> list[Split]:
    """Every chunk cut into folds, of which each split holds one out."""
    splits = []
    for fold in range(count):
        train, test = [], []
        for chunk, order in permuted(chunks, state):
            parts = np.array_split(order, count)
            test.append(pick(chunk, parts[fold]))
            train.append(pick(chunk, np.concatenate([p for i, p in enumerate(parts) if i != fold])))
        splits.append(Split(train, joined(test), passes(len(chunks), 200, state)))
    return splits


def by_numbers(rows: Rows, pairs: Any, size: int, state: int = 0) -> list[Split]:
    """Splits given by row numbers, the training rows cut as they stand."""
    splits = []
    for train, test in pairs:
        parts = cut(pick(rows, train), size)
        splits.append(Split(parts, pick(rows, test), passes(len(parts), 200, state)))
    return splits


@dataclass
class Climb:
    """One bracket by hand: scores by candidate and level, and where it ended."""

    scores: dict[int, dict[int, list[dict[str, float]]]] = field(default_factory=dict)
    models: dict[tuple[int, int], Any] = field(default_factory=dict)
    survivors: list[int] = field(default_factory=list)

    def last(self, row: int, metric: str) -> float:
        level = max(self.scores[row])
        return float(np.mean([found[metric] for found in self.scores[row][level]]))


def climb(
    estimator: Any,
    candidates: list[dict[str, Any]],
    rungs: list[tuple[int, int]],
    splits: list[Split],
    scorers: dict[str, Any],
    metric: str,
    arguments: dict[str, Any],
) -> Climb:
    """The bracket: all candidates to the first level, the best to the next, and so on."""
    done, alive, keys = Climb(), list(range(len(candidates))), candidate_keys(candidates)
    for size, level in rungs:
        # The best of those that have a score; ties go to the smaller name.
        ranked = [r for r in alive if not done.scores or math.isfinite(done.last(r, metric))]
        if done.scores:
            ranked.sort(key=lambda row: (-done.last(row, metric), keys[row]))
        alive = ranked[:size]
        for row in alive:
            found = []
            for number, split in enumerate(splits):
                model = done.models.setdefault((row, number), clone(estimator).set_params(**candidates[row]))
                before = max(done.scores.get(row, {0: None}))
                train(model, split, range(before, level), arguments)
                found.append({n: score(s, model, split.valid) for n, s in scorers.items()})
            done.scores.setdefault(row, {})[level] = found
    done.survivors = sorted(alive, key=lambda row: (-done.last(row, metric), keys[row]))
    return done


def train(model: Any, split: Split, calls: Any, arguments: dict[str, Any]) -> Any:
    """The model after these calls, counted from 0."""
    for call in calls:
        X, y, along = split.train[split.order[call]]
        model.partial_fit(X, *(() if y is None else (y,)), **arguments, **along)
    return model


def score(scorer: Any, model: Any, rows: Rows) -> float:
    X, y, _ = rows
    return float(scorer(model, X) if y is None else scorer(model, X, y))
