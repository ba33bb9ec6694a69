"""TaskSet's tables: six networks, a thousand settings each with its real learning curve of 50 epochs.

The files are read from ../shared/data/taskset beside the checkout and are no part of the project (Metz et
al., 2020, as redistributed with DyHPO, Apache-2.0).
Rule 1: index 0 of a curve is the untrained model, so the loss after r epochs stands at index r.
Rule 2: samplers know a setting by its place in the published ranges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "taskset"
EPOCHS = 50
COIN = math.log(2)  # the loss of a coin: the texts have two classes

Curves = Sequence[Sequence[float]]

# The file's column, our name, the range; all log-uniform. Momenta are known by their distance from 1.
RANGES = (
    ("hp_learning_rate", "learning_rate", 1e-8, 10.0),
    ("hp_beta1", "one_minus_beta1", 1e-4, 1.0),
    ("hp_beta2", "one_minus_beta2", 1e-6, 1.0),
    ("hp_epsilon", "epsilon", 1e-10, 1e3),
    ("hp_l1", "l1", 1e-8, 10.0),
    ("hp_l2", "l2", 1e-8, 10.0),
    ("hp_linear_decay", "linear_decay", 1e-7, 1e-4),
    ("hp_exponential_decay", "exponential_decay", 1e-6, 1e-3),
)


@dataclass(frozen=True)
class Table:
    """One network.

    Attributes:
        name: of the task, short.
        curves: losses by row and epoch.
        configs: the settings by row; samplers may propose no others.
        space: of the settings.
    """

    name: str
    curves: Curves
    configs: tuple[dict[str, float], ...]
    space: Any
    units: Any = field(repr=False)

    @cached_property
    def best(self) -> float:
        """The smallest loss of any row after any epoch."""
        return min(loss for curve in self.curves for loss in curve[1:] if math.isfinite(loss))

    def regret(self, loss: float) -> float:
        """How much of the way from a coin to the table's best is left: 0 the best, 1 a coin or worse."""
        return min((loss - self.best) / (COIN - self.best), 1.0) if math.isfinite(loss) else 1.0


def names() -> list[str]:
    """The tables that are there; empty without the folder."""
    return sorted(path.stem.removeprefix("imdb_") for path in FOLDER.glob("imdb_*.parquet"))


@cache
def load(name: str) -> Table:
    """One table, read once per process."""
    import numpy as np
    import pandas as pd

    from prefect_tune.space import SearchSpace, loguniform

    frame = pd.read_parquet(FOLDER / f"imdb_{name}.parquet").sort_values("config_id")
    columns = {}
    for column, ours, low, high in RANGES:
        values = frame[column].to_numpy(dtype=float)
        columns[ours] = np.clip(1 - values if ours.startswith("one_minus") else values, low, high)
    configs = tuple(dict(zip(columns, row, strict=True)) for row in np.array([*columns.values()]).T.tolist())
    units = np.array([to_units(config) for config in configs])
    space = SearchSpace({ours: loguniform(low, high) for _, ours, low, high in RANGES})
    curves = [[float(loss) for loss in curve] for curve in frame["valid_loss"]]
    return Table(name, curves, configs, space, units)


def to_units(config: Mapping[str, float]) -> list[float]:
    """A setting's place in the ranges, each coordinate from 0 to 1.

    >>> middle = {ours: math.sqrt(low * high) for _, ours, low, high in RANGES}
    >>> [round(place, 6) for place in to_units(middle)]
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    return [math.log(config[ours] / low) / math.log(high / low) for _, ours, low, high in RANGES]


def nearest(units: Any, wanted: Sequence[float], used: set[int]) -> int:
    """The unused row nearest to a place in the ranges; ties to the lower row.

    >>> import numpy as np
    >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [0.2, 0.2]])
    >>> nearest(rows, [0.1, 0.0], set()), nearest(rows, [0.1, 0.0], {0})
    (0, 2)
    """
    import numpy as np

    far = ((units - np.asarray(wanted)) ** 2).sum(axis=1)
    if used:
        far[list(used)] = math.inf
    return int(far.argmin())


def stretched(curve: Sequence[float], epochs: int) -> list[float]:
    """The curve with as many epochs as asked for, by linear interpolation; nan next to nan.

    >>> stretched([4.0, 2.0, 1.0], 4)
    [4.0, 3.0, 2.0, 1.5, 1.0]
    >>> stretched([4.0, 2.0, math.nan], 4)
    [4.0, 3.0, 2.0, nan, nan]
    """
    last, found = len(curve) - 1, []
    for epoch in range(epochs + 1):
        whole, part = divmod(epoch * last, epochs)
        share = part / epochs
        found.append(curve[whole] if not part else curve[whole] * (1 - share) + curve[whole + 1] * share)
    return found


def drawn(seed: int, size: int = 1000) -> list[int]:
    """The rows in the order in which random search takes them: that of the published runs (first 256)."""
    import numpy as np

    return [int(row) for row in np.random.default_rng(seed).permutation(size)]
