"""One search of each kind, small, with a table that must not depend on any fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slopes import EPOCHS, Slope, rows, train

RATES = {"rate": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}
TRIALS = 8
KINDS = ("grid", "halving", "hyperband", "tune", "files")


def search(kind: str, folder: Path, **options: Any) -> Any:
    """The result of that search; its store and its log lie in the folder.

    Args:
        kind: one of KINDS.
        options: of the flow, and `pause` and `does` of what is trained.
    """
    from prefect_tune import grid_search, hyperband_search, successive_halving_search, tune

    own = {name: options.pop(name) for name in ("pause", "does") if name in options}
    asked = {"store": str(folder / "store"), "verbose": 0, "name": kind, **options}
    log = str(folder / "log")
    if kind == "tune":
        # One after the other, so that no report depends on which of two trials was faster.
        space = {"x": list(range(TRIALS)), "log": log, "pause": 0.02, "does": "", **own}
        return tune(train, space, n_trials=TRIALS, sampler="grid", schedule="asha", max_resource=EPOCHS,
                    max_concurrent=asked.pop("max_concurrent", 1), **asked)  # fmt: skip
    learner = Slope(log=log, **own)
    if kind == "files":
        if asked.pop("write", True):
            write_rows(folder, 0)
        return successive_halving_search(
            learner, RATES, str(folder / "rows"), "target", n_initial_parameters="grid", n_initial_iter=3,
            random_state=0, **asked,
        )  # fmt: skip
    if kind == "grid":
        return grid_search(learner, RATES, *rows(), cv=4, **asked)
    chunks = {"chunk_size": 40, "random_state": 0, **asked}
    if kind == "halving":
        return successive_halving_search(
            learner, RATES, *rows(), n_initial_parameters="grid", n_initial_iter=3, **chunks
        )
    return hyperband_search(
        learner, {"rate": [i / 1000 for i in range(1, 1000)]}, *rows(), max_iter=9, **chunks
    )


def write_rows(folder: Path, seed: int) -> None:
    """Nothing; the folder has a table of five Parquet files, another one for each seed."""
    import numpy as np
    import pandas as pd

    X, y = rows()
    frame = pd.DataFrame(X + 0.1 * np.random.default_rng(seed).normal(size=X.shape), columns=list("abc"))
    (folder / "rows").mkdir(exist_ok=True)
    for number in range(5):
        part = frame.assign(target=y)[40 * number : 40 * number + 40]
        part.to_parquet(folder / "rows" / f"{number}.parquet")


def table_of(kind: str, result: Any) -> list[Any]:
    """What must not depend on any fault, as JSON: every candidate with its scores to the bit and its rank."""
    if kind == "tune":
        return [
            [
                trial.index,
                trial.config["x"],
                trial.state.value,
                [[r.resource, r.loss.hex()] for r in trial.reports],
            ]
            for trial in result
        ]
    found, names = result.cv_results, {"grid": _GRID}.get(kind, _ADAPTIVE)
    columns = [
        [value.hex() if isinstance(value, float) else value for value in found[name].tolist()]
        for name in names
    ]
    parameters = [{**one}.get("rate") for one in found["params"]]
    best = [float(weight).hex() for weight in result.load_best().weights_] if result.model else []
    return [*map(list, zip(parameters, *columns, strict=True)), best]


_GRID = (*(f"split{fold}_test_score" for fold in range(4)), "rank_test_score")
_ADAPTIVE = ("partial_fit_calls", "test_score", "rank_test_score")


def told(kind: str, result: Any) -> dict[str, Any]:
    """What became of a search, as JSON; its best model is loaded for that."""
    if kind == "tune":
        failures = [[t.config["x"], t.error] for t in result if t.error]
        ran: Callable[[], Any] = lambda: result.cost.trained  # noqa: E731
    else:
        failures = [[one.params, one.cause] for one in result.failures]
        ran = lambda: result.cost.run  # noqa: E731
    return {"table": table_of(kind, result), "ran": ran(), "failures": failures, "size": len(result)}
