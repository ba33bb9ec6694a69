"""Cases 5 and 6: what the key of a step costs, and the plan of a whole search."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from typing import Any

from budgets_rows import Row, timed
from scale import measured
from scale_plans import grid

CANDIDATES = 10_000


def _spec(folder: str) -> tuple[Any, Any]:
    """A search of one pipeline of four steps, and the pipeline."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from prefect_tune.search import prepare
    from prefect_tune.store import StepStore

    steps = [("scale", StandardScaler()), ("select", SelectKBest()), ("pca", PCA()), ("model", Ridge())]
    X = np.random.default_rng(0).normal(size=(100, 40))
    search = GridSearchCV(Pipeline(steps), {"model__alpha": [1.0]}, cv=KFold(5))
    return prepare(search, X, X[:, 0], store=StepStore.open(folder)), Pipeline(steps)


def keys(quick: bool) -> list[Row]:
    """Case 5."""
    import joblib
    from dask.tokenize import tokenize

    from prefect_tune.identifier import Identifier

    rounds, many = (20, 100) if quick else (100, 500)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        spec, pipeline = _spec(folder)

    def cold() -> Any:
        """The first candidate of a search: no schema, no frame is known."""
        compiler = dataclasses.replace(spec, identifier=Identifier(salt=b"bench")).compiler()
        compiler.leaf({"model__alpha": 1.0}, 0)
        return compiler

    serial = iter(range(10**9))
    compiler = cold()
    known = compiler.leaf({"model__alpha": 1.0}, 0).final

    def further() -> None:
        """One key each: another Ridge on the same rows."""
        for _ in range(many):
            compiler.sibling(known, {"alpha": 1.0 + next(serial)})

    def whole() -> None:
        """The same with all keys of a candidate on a fold: fit, score, metric."""
        for _ in range(many):
            compiler.leaf({"model__alpha": 0.5 + next(serial)}, 0)

    times = timed(rounds, cold=cold, joblib=lambda: joblib.hash(pipeline), dask=lambda: tokenize(pipeline))
    times |= timed(max(5, rounds // 10), further=further, whole=whole)
    first = compiler.sibling(known, {"alpha": 7.25})
    assert first is compiler.sibling(known, {"alpha": 7.25})
    assert first.key == cold().leaf({"model__alpha": 7.25}, 0).final.key
    assert len({compiler.sibling(known, {"alpha": value}).key for value in (7, 7.0, True, 7.5)}) == 4
    steps = sum(node.choice is not None for node in cold().nodes.values())
    return _key_rows(times, steps, many)


def _key_rows(times: Any, steps: int, many: int) -> list[Row]:
    each = {name: 1e6 * found.median for name, found in times.items()}
    best = {name: 1e6 * found.best for name, found in times.items()}
    for figures in (each, best):
        figures["cold"] /= steps
        figures["further"] /= many
        figures["whole"] /= many
    told = f"{each['joblib']:.0f} µs, joblib.hash of the pipeline; {each['dask']:.0f}, dask's tokenize"
    rows = (
        ("cold", f"key of a step, the first candidate ({steps} keys)", 50),
        ("further", "key of a step, each further candidate of its class", 15),
        ("whole", "all keys of each further candidate on a fold (fit, score, metric)", None),
    )
    return [
        Row(quantity=named, measured=f"{each[name]:.1f} µs (best {best[name]:.1f})", reference=told,
            ratio=each[name] / each["joblib"], budget=f"≤ {most} µs" if most else "",
            met=best[name] <= most if most else None, values={"median": each, "best": best})
        for name, named, most in rows
    ]  # fmt: skip


def plan(quick: bool) -> list[Row]:
    """Case 6."""
    from prefect_tune.identity.keys import step_key

    candidates = CANDIDATES
    found = [measured(grid, candidates) for _ in range(1 if quick else 3)]
    distinct = found[0]["distinct"]
    assert all(one["distinct"] == distinct for one in found)
    assert distinct < 0.4 * found[0]["steps"], "most steps are shared"
    start = time.perf_counter()
    for number in range(distinct):
        step_key("fit", number.to_bytes(32, "little"), (b"\0" * 32,), b"extras")
    alone = time.perf_counter() - start
    wall = statistics.median(one["plan_seconds"] for one in found)
    best, cpu = min(one["plan_seconds"] for one in found), min(one["cpu"] for one in found)
    return [
        Row(quantity=f"plan of {candidates:,} candidates × 5 folds × 4 steps, {found[0]['steps']:,} steps",
            measured=f"{wall:.2f} s (best {best:.2f}; {cpu:.2f} of CPU, imports and data with it)",
            reference=f"{alone:.2f} s, hashing its {distinct:,} distinct keys", ratio=wall / alone,
            budget="≤ 3 s", met=best <= 3,
            values={"rounds": found}),
    ]  # fmt: skip
