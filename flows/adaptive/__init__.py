"""The flows of the adaptive searches, and their async twins.

`hyperband_search`, `successive_halving_search`, `incremental_search` and `inverse_decay_search` share most of
their parameters, so these are a table here, from which each flow gets its signature and its help texts.
"""

from __future__ import annotations

import asyncio
from typing import Any

import distributed
import httpx
from prefect import Flow

from prefect_tune.chunks.features import Described, features_of
from prefect_tune.errors import ApiUnreachable, DataError
from prefect_tune.flows.adaptive.parameters import (
    COMMON,
    DECAY,
    FIRST,
    HALVING,
    HYPERBAND,
    INCREMENTAL,
    PLACES,
    PLATEAU,
    Parameter,
    signature_of,
)
from prefect_tune.flows.adaptive.ready import (
    NAMES,
    adaptive_parameters,
    drawn_races,
    ready_adaptive,
    revived,
)
from prefect_tune.flows.adaptive.run import run_adaptive
from prefect_tune.flows.adaptive.validation import open_validation
from prefect_tune.flows.places import Places, open_store
from prefect_tune.flows.saved import name_of, with_chunks
from prefect_tune.flows.search import (
    HANDED_OVER,
    SearchFlow,
    open_places_for,
    search_body,
    sync_twin,
)
from prefect_tune.request import column_apart
from prefect_tune.results import AdaptiveResult
from prefect_tune.tasks.api import api_settings
from prefect_tune.tasks.chunks import chunk_collection, is_chunked
from prefect_tune.tasks.clients import lent_client


class AdaptiveFlow(SearchFlow):
    """A flow of an adaptive search."""

    kind = "hyperband"
    ready = staticmethod(ready_adaptive)

    async def _run(self, asked: dict[str, Any]) -> AdaptiveResult:
        places: Places | None = None
        named = {"store": asked.get("store"), "validation": asked.get("validation")}
        try:
            if is_chunked(asked["X"]):
                asked, places = await asyncio.to_thread(self._stored, asked)
            search = await asyncio.to_thread(ready_adaptive, self.kind, asked)
            # Chunks were put into the store as it was opened; the flow run keeps the names that were given.
            names = {name: value for name, value in named.items() if name_of(value)}
            parameters = await asyncio.to_thread(adaptive_parameters, {**asked, **names}, search)
            if places is None:
                places = await asyncio.to_thread(open_places_for, asked)
            token = HANDED_OVER.set((search, places))  # type: ignore[arg-type]
            try:
                with api_settings(places.api_url):
                    return await Flow.__call__(self, **parameters)
            except httpx.TransportError as error:  # the engine could not report what the body raised
                raise ApiUnreachable(places.api_url, search.store.root) from error
            finally:
                HANDED_OVER.reset(token)
        finally:
            if places is not None:
                await asyncio.to_thread(places.close)

    def _stored(self, asked: dict[str, Any]) -> tuple[dict[str, Any], Places]:
        """The parameters with a dask collection stored where its blocks lie, and the cluster that did it."""
        store = open_store(asked.get("store"))
        # What is wrong with the question is said before any block is computed.
        drawn_races(self.kind, revived(asked, store))
        X, y = _collections(asked)
        asked = {**asked, "validation": with_chunks(asked, store).get("validation")}
        if asked.get("validation") is not None:
            asked = {**asked, "validation": open_validation(asked, {}, _described(X, y), store)}
        if asked.get("cluster") is None and asked.get("n_workers") is None:
            asked = {**asked, "cluster": _active_cluster()}
        places = open_places_for(asked)
        try:
            fit_params = dict(asked.get("fit_params") or {})
            per_row = {n: v for n, v in fit_params.items() if is_chunked(v)}
            params = {name.split("__")[-1]: value for name, value in per_row.items()}
            with lent_client(places.lease.address, places.lease.client_kwargs) as client:
                data = chunk_collection(X, y, client=client, store=store, params=params)
        except BaseException:
            places.close()
            raise
        # The rows of these arguments are in the chunks now; their names stay, for the calls.
        fit_params |= dict.fromkeys(per_row, True)
        return {**asked, "X": data, "y": None, "fit_params": fit_params, "store": store}, places


def _collections(asked: dict[str, Any]) -> tuple[Any, Any]:
    """X and y in blocks; y may be the name of a column of X.

    Raises:
        DataError: a chunk size, which blocks have already, or a column that is not there.
    """
    X, y = asked["X"], asked.get("y")
    if asked.get("chunk_size") is not None:
        raise DataError(
            f"chunk_size: the blocks of a dask collection are the chunks, got {asked['chunk_size']!r}; "
            "rechunk or repartition X and y instead."
        )
    if isinstance(y, str) and hasattr(X, "columns"):
        return column_apart(X, y)
    return X, y


def _described(X: Any, y: Any) -> Described:
    """What the graphs know of the features and the target; Delayed objects say nothing."""
    X, y = ([] if isinstance(value, (list, tuple)) else value for value in (X, y))
    return features_of(X), None if y is None else features_of(y)


def _active_cluster() -> str | None:
    """The scheduler of the client that is active here, which holds the collection's blocks if any does."""
    try:
        return distributed.default_client().scheduler.address
    except ValueError:
        return None


def _adaptive_flow(kind: str, summary: str, own: tuple[Parameter, ...]) -> AdaptiveFlow:
    """The async flow of one kind, with the signature that its parameters make."""
    name = Parameter("name", NAMES[kind], str, "Name of the search, in the UI and in its artifacts.")
    parameters = (*FIRST, *own, *PLATEAU, *COMMON, name, *PLACES)
    signature = signature_of(parameters)

    async def run(*args: Any, **kwargs: Any) -> AdaptiveResult:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return await search_body(kind, dict(bound.arguments), ready_adaptive, run_adaptive)

    run.__name__ = run.__qualname__ = f"a{kind}_search"
    run.__module__ = __name__
    run.__doc__ = f"{summary}\n\nArgs:\n" + "\n".join(f"    {p.name}: {p.help}" for p in parameters)
    run.__signature__ = signature  # type: ignore[attr-defined]
    made = AdaptiveFlow(
        run, name=NAMES[kind], flow_run_name="{name}", validate_parameters=False, persist_result=False
    )
    made.kind = kind
    return made


ahyperband_search = _adaptive_flow(
    "hyperband",
    "The result of a Hyperband search: brackets of successive halving, from many candidates with little "
    "training\nto few with much.",
    HYPERBAND,
)
asuccessive_halving_search = _adaptive_flow(
    "successive_halving", "The result of one bracket of successive halving.", HALVING
)
aincremental_search = _adaptive_flow(
    "incremental", "The result of training all candidates round by round, without dropping any.", INCREMENTAL
)
ainverse_decay_search = _adaptive_flow(
    "inverse_decay",
    "The result of training candidates round by round, dropped along an inverse decay.",
    DECAY,
)
hyperband_search = sync_twin(ahyperband_search)
successive_halving_search = sync_twin(asuccessive_halving_search)
incremental_search = sync_twin(aincremental_search)
inverse_decay_search = sync_twin(ainverse_decay_search)
