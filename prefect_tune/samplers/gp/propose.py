"""From an acquisition to one configuration.

Rule 1: candidates are drawn from the space's own distributions and ranked by a Thompson draw each; the first
that no trial has, and no rule forbids, is improved by a local search on the expected improvement.
Rule 2: where only listed configurations may be proposed, all unused ones are compared; no local search.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from scipy.optimize import minimize

from prefect_tune.samplers.gp.acquisition import Acquisition
from prefect_tune.samplers.gp.encoding import Encoding
from prefect_tune.samplers.gp.kernels import Array
from prefect_tune.trials import Config, config_key

_STEPS = 50
_LEAST = 1e-200  # of an improvement that can be told from none
_ROUNDS = 4  # of draws, where most of the space is used


def best_near(
    acquisition: Acquisition, encoding: Encoding, used: Collection[str], count: int, rng: np.random.Generator
) -> Config | None:
    """The most promising of `count` draws that is free, moved to where the improvement is largest.

    Free is what no trial has and no rule of the space forbids. If that is not so where the search has ended,
    the drawn one as it is. None if draws bring nothing free.
    """
    for _ in range(_ROUNDS):
        units = rng.random((count, len(encoding.space.leaves))).tolist()
        drawn, rows = zip(*[encoding.draw(row) for row in units], strict=True)
        x = np.array(rows)
        for place in np.argsort(acquisition.thompson(x, rng), kind="stable"):
            config = encoding.space.assemble(drawn[place])
            if _free(config, encoding, used):
                moved = encoding.decode(climbed(acquisition.value_and_slope, x[place]), like=config)
                return moved if _free(moved, encoding, used) else config
    return None


def _free(config: Config, encoding: Encoding, used: Collection[str]) -> bool:
    return encoding.space.allows(config) and config_key(config) not in used


def climbed(value_and_slope: Callable[[Array], tuple[float, Array]], start: Array) -> Array:
    """A point of the cube where the value is at least as large as at the start, by L-BFGS-B."""
    unit = value_and_slope(start)[0]  # improvements are small, and the search must not take that for flat
    if not unit > _LEAST:
        return start

    def falling(x: Array) -> tuple[float, Array]:
        value, slope = value_and_slope(x)
        return -value / unit, -slope / unit

    found = minimize(
        falling,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(start),
        options={"maxiter": _STEPS},
    )
    return np.clip(found.x, 0.0, 1.0) if np.all(np.isfinite(found.x)) else start


def best_listed(acquisition: Acquisition, x: Array, keys: Sequence[str]) -> int:
    """Position of the listed configuration that promises the largest improvement; ties to the smaller key."""
    values = acquisition.values(x)
    return min(np.flatnonzero(values == values.max()).tolist(), key=lambda place: keys[place])
