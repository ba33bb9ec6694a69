"""Data in coordinates where the likelihood is cheap: one row per configuration, not one per observation.

Rule: an exact rewriting, not an approximation; a test compares it with the plain likelihood.
Theory: the joint covariance is K_x between configurations, plus C between levels, plus noise on the diagonal.
Rotate, within each configuration, its n observations so that the first coordinate is their sum / sqrt(n):
only this coordinate sees K_x. The others see C alone, whose rank is at most the number of levels, so one
more rotation leaves at most that many of them; what remains is nothing but noise. Factorising then costs
(configurations + levels)^3 instead of observations^3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefect_tune.samplers.gp.kernels import Array, Inputs

_RANK = 1e-10


@dataclass(frozen=True, slots=True)
class Layout:
    """Observations after the rotations.

    Attributes:
        x: encoded configurations, each once.
        weights: square roots of their numbers of observations.
        positions: of the levels, each once.
        levels: how much each rotated row holds of each level's value.
        targets: rotated.
        observations: how many there are.
        remainder: sum of squares of the targets in the directions that are only noise.
    """

    x: Array
    weights: Array
    positions: Array
    levels: Array
    targets: Array
    observations: int
    remainder: float

    @property
    def size(self) -> int:
        """Rows of the covariance matrix."""
        return len(self.targets)


def lay_out(inputs: Inputs, targets: Array) -> Layout:
    """The layout of observations."""
    unique, owner = np.unique(inputs.x, axis=0, return_inverse=True)
    owner = owner.ravel()  # numpy 2.0 gave it a second axis
    position = np.zeros(len(inputs)) if inputs.position is None else inputs.position
    positions, level = np.unique(position, return_inverse=True)
    columns = np.column_stack([np.eye(len(positions))[level], targets])
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=len(unique))
    means, rest = _rotate(columns[order], counts)
    left, sizes, right = np.linalg.svd(rest[:, :-1], full_matrices=False)
    kept = sizes > _RANK
    seen = left[:, kept].T @ rest[:, -1]
    return Layout(
        x=unique,
        weights=np.sqrt(counts),
        positions=positions,
        levels=np.vstack([means[:, :-1], sizes[kept, None] * right[kept]]),
        targets=np.concatenate([means[:, -1], seen]),
        observations=len(targets),
        remainder=max(float(rest[:, -1] @ rest[:, -1] - seen @ seen), 0.0),
    )


def _rotate(columns: Array, counts: NDArray[np.intp]) -> tuple[Array, Array]:
    """Rows rotated within each configuration: the sums / sqrt(count), and all the other coordinates."""
    means, rest, start = [], [], 0
    for count in counts:
        block = columns[start : start + count]
        start += count
        means.append(block.sum(axis=0) / np.sqrt(count))
        if count > 1:
            rest.append(_contrasts(int(count)) @ block)
    return np.array(means), np.vstack(rest) if rest else np.zeros((0, columns.shape[1]))


def _contrasts(count: int) -> Array:
    """An orthonormal basis of what is orthogonal to the mean (Helmert's)."""
    rows = np.zeros((count - 1, count))
    for k in range(1, count):
        rows[k - 1, :k] = 1.0
        rows[k - 1, k] = -k
        rows[k - 1] /= np.sqrt(k * (k + 1.0))
    return rows
