"""A search for each of several models: as subflows of one flow, and as a deployment that another flow calls.

Every search has all workers while it runs, so they are started one after another. What a subflow has learned,
the deployment knows: both look into one store. With `prefect server start` and PREFECT_API_URL set, all of it
is to be seen in the UI; otherwise a temporary API comes up with the script.

    python examples/06_fan_out.py
"""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.deployments import arun_deployment
from prefect.runner import Runner
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from prefect_tune import arandomized_search

MODELS: dict[str, tuple[BaseEstimator, dict[str, Any]]] = {
    "linear": (LogisticRegression(max_iter=300), {"C": loguniform(1e-3, 1e2)}),
    "kernel": (SVC(), {"C": loguniform(1e-2, 1e3), "gamma": loguniform(1e-4, 1e-1)}),
    "trees": (ExtraTreesClassifier(50), {"max_depth": randint(4, 20), "max_features": [0.1, 0.3, "sqrt"]}),
}


@flow(name="search-model", flow_run_name="search {model}", persist_result=True, result_serializer="json")
async def search_model(model: str, n_iter: int = 4) -> dict[str, Any]:
    """The best of so many candidates of one model, and what finding it has cost.

    Args:
        model: One of linear, kernel and trees.
        n_iter: Number of candidates.
    """
    X, y = load_digits(return_X_y=True)
    estimator, own = MODELS[model]
    result = await arandomized_search(
        Pipeline([("scale", StandardScaler()), ("pca", PCA(30)), ("model", estimator)]),
        {f"model__{name}": values for name, values in own.items()},
        X,
        y,
        n_iter=n_iter,
        cv=3,
        name=f"digits-{model}",
    )
    return {
        "model": model,
        "accuracy": result.best_score,
        "parameters": {name: str(value) for name, value in (result.best_params or {}).items()},
        "run": result.cost.run,
        "known": result.cost.known,
        "report": result.report_path,
    }


@flow(name="compare-models")
async def compare_models() -> list[dict[str, Any]]:
    """The best of each model, the better ones first: a search for each, as a subflow."""
    found = [await search_model(model) for model in MODELS]
    return sorted(found, key=lambda one: -one["accuracy"])


@flow(name="look-closer", persist_result=False)
async def look_closer(model: str) -> dict[str, Any]:
    """The best of three times as many candidates, found by whoever serves the deployment.

    Args:
        model: One of linear, kernel and trees.
    """
    run = await arun_deployment(
        "search-model/served", parameters={"model": model, "n_iter": 12}, timeout=600, poll_interval=1
    )
    return await run.state.aresult()  # raises what the search raised


async def main() -> None:
    """Compares the models, serves the search and asks it for more of the best one."""
    # A temporary server on a new database may need longer than Prefect waits for it.
    with temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 120}):
        async with get_client() as client:  # starts one where no API is set
            api = str(client.api_url)
    with temporary_settings({PREFECT_API_URL: api}):
        print("A search for each model, as subflows.", flush=True)
        found = await compare_models()
        print(f"\nA deployment looks closer at the best one, {found[0]['model']}.", flush=True)
        # `search_model.serve(name="served")` in another terminal, or on another machine, is all it takes.
        runner = Runner(query_seconds=1, pause_on_shutdown=False)
        await runner.aadd_flow(search_model, name="served")
        serving = asyncio.create_task(runner.start())
        closer = await look_closer(found[0]["model"])
        await runner.astop()
        await serving
    rows = [*found, {**closer, "model": f"{closer['model']}, closer"}]
    print(f"\n{'':16}{'accuracy':>10}{'steps run':>11}{'known':>7}")
    for row in rows:
        print(f"{row['model']:16}{row['accuracy']:10.4f}{row['run']:11}{row['known']:7}")
    print(f"report: {closer['report']}")


if __name__ == "__main__":
    asyncio.run(main())
