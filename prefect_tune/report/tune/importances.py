"""How much of the leaderboard each parameter explains.

A random forest predicts the trials' places from their parameters; a parameter matters as much as the forest
gets worse when its values are shuffled. Ranks keep one diverged trial from deciding, and a tree asks only
which values are larger, so a logarithm changes nothing. It is measured on trials that a tree has not seen
(Breiman 2001, section 10): a forest that has learned nothing finds nothing. Half of the added error, over
the variance, is Jansen's estimate (1999) of the total effect: what a parameter does, alone and with others.
Unlike effects read off one parameter at a time, it is not misled where a sampler has tried good values of
all parameters together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from prefect_tune.report.parameters import MISSING
from prefect_tune.report.tune.facts import TuneFacts
from prefect_tune.report.tune.scales import scale_of

ENOUGH = 20
"""Ranked trials that it takes."""
LEARNED = 0.1
"""Share of the differences in rank that the forest must predict before it is believed."""
_TREES, _SHUFFLES = 64, 5
_MOST = 2000  # ranked trials that are looked at, evenly from best to worst
_CELLS = 10_000_000  # of all shuffled tables together


@dataclass(frozen=True, slots=True, kw_only=True)
class Importances:
    """What explains the leaderboard.

    Attributes:
        shares: parameter -> its total effect, 0 to 1, the most important first; empty if nothing is known.
        predicted: share of the differences in rank that the forest predicts; nan if it was not asked.
        trials: that it was grown on.
    """

    shares: dict[str, float]
    predicted: float
    trials: int

    @property
    def known(self) -> bool:
        """Whether there is enough to say so."""
        return bool(self.shares)


def importances(facts: TuneFacts) -> Importances:
    """The parameters that vary, by how much of the leaderboard they explain; the same for the same trials."""
    rows, width = list(facts.order[: facts.ranked]), len(facts.varied)
    if len(rows) < ENOUGH or not width:
        return Importances(shares={}, predicted=float("nan"), trials=len(rows))
    most = max(ENOUGH, min(_MOST, _CELLS // (width * (1 + width * _SHUFFLES))))
    rows = rows[:: math.ceil(len(rows) / most)]
    table = np.column_stack([_encoded(facts, name)[rows] for name in facts.varied])
    active = np.column_stack(
        [[facts.columns[name][row] is not MISSING for row in rows] for name in facts.varied]
    )
    predicted, effects = _effects(table, active, np.arange(len(rows)) / len(rows))
    if not predicted >= LEARNED:
        return Importances(shares={}, predicted=predicted, trials=len(rows))
    found = sorted(zip(facts.varied, effects, strict=True), key=lambda pair: -pair[1])
    return Importances(shares=dict(found), predicted=predicted, trials=len(rows))


def _encoded(facts: TuneFacts, name: str) -> np.ndarray:
    """A column as numbers; a value that is missing lies below all others."""
    scale = scale_of(name, facts.columns[name])
    return np.where(scale.present, scale.at, scale.low - (scale.high - scale.low))


def _effects(table: np.ndarray, active: np.ndarray, places: np.ndarray) -> tuple[float, list[float]]:
    """Share of the variance that is predicted, and the total effect of each column.

    Args:
        table: a row per trial, best first; a column per parameter.
        active: which of its values are not missing; only these are shuffled, among themselves.
        places: to be predicted.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, max_features=0.7, random_state=0)
    forest.fit(table, places)
    stack = np.concatenate([table, *_shuffled(table, active)]).astype(np.float32)
    seen = forest.estimators_samples_
    copies = len(stack) // len(table)
    total, votes = np.zeros((copies, len(table))), np.zeros(len(table))
    for tree, sample in zip(forest.estimators_, seen, strict=True):
        unseen = np.ones(len(table), dtype=bool)
        unseen[sample] = False
        asked = stack.reshape(copies, len(table), -1)[:, unseen].reshape(-1, table.shape[1])
        total[:, unseen] += tree.tree_.predict(asked).reshape(copies, -1)
        votes += unseen
    asked_once = votes > 0
    errors = ((total[:, asked_once] / votes[asked_once] - places[asked_once]) ** 2).mean(axis=1)
    variance = places[asked_once].var()
    added = errors[1:].reshape(table.shape[1], _SHUFFLES).mean(axis=1) - errors[0]
    shares = np.clip(added / (2 * variance), 0, 1)
    return float(1 - errors[0] / variance), [float(share) for share in shares]


def _shuffled(table: np.ndarray, active: np.ndarray) -> list[np.ndarray]:
    """The table with one column shuffled, so many times for each column."""
    chance, found = np.random.default_rng(0), []
    for column in range(table.shape[1]):
        rows = np.flatnonzero(active[:, column])
        for _ in range(_SHUFFLES):
            copy = table.copy()
            copy[rows, column] = table[chance.permutation(rows), column]
            found.append(copy)
    return found
