"""Case 10: what the step cache adds to a step, beside running it bare, as a worker calls it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from budgets_rows import Row, Times, timed
from sklearn.base import BaseEstimator, TransformerMixin

ROWS = 200
SIZES = (0, 1_000_000, 30_000_000)
"""Bytes of a step's output; the first is one number per row."""


class Widen(TransformerMixin, BaseEstimator):
    """A transformer that does as good as nothing, with an output of any size.

    Args:
        columns: of its output.
        number: that fills it.
    """

    def __init__(self, columns=1, number=0.0):
        self.columns, self.number = columns, number

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        import numpy as np

        out = np.full((len(X), self.columns), self.number)
        out[:, 0] += X[:, 0]
        return out


def evaluator_of(folder: str, size: int, count: int) -> tuple[Any, list[Any]]:
    """What runs the steps of a search in a worker, and the nodes of so many steps with outputs of a size."""
    import numpy as np
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GridSearchCV, ShuffleSplit
    from sklearn.pipeline import Pipeline

    from prefect_tune.search import prepare
    from prefect_tune.store import StepStore
    from prefect_tune.tasks.evaluation import MEMO_BYTES
    from prefect_tune.tasks.execute import Evaluator
    from prefect_tune.tasks.memo import Memo
    from prefect_tune.tasks.outcome import BatchOutcome

    store = StepStore.open(folder)
    X = np.random.default_rng(0).standard_normal((2 * ROWS, 5))
    pipeline = Pipeline([("widen", Widen(max(1, size // (8 * ROWS)))), ("model", LinearRegression())])
    space = {"widen__number": [float(number) for number in range(count)]}
    search = GridSearchCV(pipeline, space, cv=ShuffleSplit(1, test_size=ROWS, random_state=0))
    evaluator = Evaluator(prepare(search, X, X[:, 0], store=store), store, Memo(MEMO_BYTES))
    evaluator.turns.begin(BatchOutcome())
    leaves = [evaluator.compiler.leaf(row, 0) for row in evaluator.spec.candidates]
    nodes = [next(node for node in leaf.prefix if node.role == "fit_transform") for leaf in leaves]
    evaluator.keep = frozenset(node.key for node in nodes)
    return evaluator, nodes


def steps(quick: bool) -> list[Row]:
    """Case 10."""
    rows = []
    for size in SIZES:
        rounds = 5 if quick else (15 if size > 10**7 else 100)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            rows += _one_size(folder, size, rounds)
    return rows


def _one_size(folder: str, size: int, rounds: int) -> list[Row]:
    import numpy as np

    evaluator, nodes = evaluator_of(folder, size, rounds + 1)
    X = evaluator.evaluate(nodes[0].inputs[0]).out
    y = evaluator.data.target(0, "train")
    serial = iter([node for node in nodes for _ in range(3)])  # each is run, found, and run bare

    def stored() -> Callable[[], None]:
        node = next(serial)
        evaluator.evaluate(node)
        return lambda: evaluator.memo.forget(node.key)

    def found() -> Callable[[], None]:
        node = next(serial)
        outcome = evaluator.evaluate(node)

        def check() -> None:
            assert np.array_equal(outcome.out, node.choice.build().fit_transform(X, y))
            assert not outcome.out.flags.writeable
            evaluator.memo.forget(node.key)
            evaluator.store.release([node.key.hex()])  # the next has its room: fresh memory costs much more

        return check

    def bare() -> None:
        next(serial).choice.build().fit_transform(X, y)

    times = timed(rounds, stored=stored, found=found, bare=bare)
    assert (len(evaluator.ran), evaluator.reused) == (rounds + 1, rounds + 1)
    return _rows(times, nodes[0].choice.build().columns * ROWS * 8)


def _rows(times: dict[str, Times], size: int) -> list[Row]:
    stored, bare, found = (times[name] for name in ("stored", "bare", "found"))
    added, best = 1e3 * (stored.median - bare.median), 1e3 * (stored.best - bare.best)
    most, told = 2 + 1e3 * size / 3e9, f"{1e3 * bare.median:.2f} ms, the bare fit"
    return [
        Row(quantity=f"a step run and stored, {size / 1e6:.3g} MB of output: what that adds to the fit",
            measured=f"{added:.2f} ms (best {best:.2f})", reference=told, ratio=stored.median / bare.median,
            budget=f"≤ {most:.1f} ms (2 ms + bytes / 3 GB/s)", met=best <= most,
            values={"stored": stored.rounds, "bare": bare.rounds}),
        Row(quantity="the same step found in the store instead",
            measured=f"{1e3 * found.median:.2f} ms (best {1e3 * found.best:.2f})", reference=told,
            ratio=found.median / bare.median, values={"found": found.rounds}),
    ]  # fmt: skip
