"""The flow `search_from_spec`: a saved search, run by its name, and its async twin.

Rule: the search is a subflow of its own kind. What spec and overrides name is judged as the parameters of a
deployment are, wherever the flow runs.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from prefect import Flow

from prefect_tune.blocks import SearchSpec
from prefect_tune.errors import UnknownParameter, UserError
from prefect_tune.flows import forms
from prefect_tune.flows.saved import block_of, judged, name_of
from prefect_tune.flows.search import SearchFlow, search_flow, sync_twin
from prefect_tune.tasks.api import api_settings, ensure_api

FLOWS = {
    "grid": "search:agrid_search",
    "randomized": "search:arandomized_search",
    "halving_grid": "halving:ahalving_grid_search",
    "halving_randomized": "halving:ahalving_randomized_search",
    "hyperband": "adaptive:ahyperband_search",
    "successive_halving": "adaptive:asuccessive_halving_search",
    "incremental": "adaptive:aincremental_search",
    "inverse_decay": "adaptive:ainverse_decay_search",
    "tune": "tuning:atune",
}
"""The async flow of each method of a `SearchSpec`."""


def flow_of(method: str) -> SearchFlow:
    """The async flow of a method."""
    module, _, name = FLOWS[method].partition(":")
    return getattr(import_module(f"prefect_tune.flows.{module}"), name)


def spec_parameters(spec: Any, overrides: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """(the method, the parameters of its flow) of a saved search.

    Args:
        spec: a block `SearchSpec`, or its name.
        overrides: parameters that take the place of the spec's.

    Raises:
        UserError: there is no such block, or its parameters are not those of the method's flow.
    """
    block = block_of(spec, "spec", SearchSpec)
    if block is None:
        raise UserError(f"spec: give the name of a saved search, such as 'search-spec/NAME', got {spec!r}.")
    given = {**block.parameters, **(overrides or {})}
    block.model_copy(update={"parameters": given}).check()
    given.pop("search", None)  # a file of `prefect-tune run` says there what the block says as its method
    known = inspect.signature(flow_of(block.method).fn).parameters
    for name in given:
        if name not in known:
            raise UnknownParameter(f"search-spec: {block.method} search", str(name), known)
    saved = (name_of(spec) or "").partition("/")[2]
    return block.method, {**({"name": saved} if saved else {}), **given}


class SavedSearchFlow(SearchFlow):
    """A flow that runs a saved search; its parameters are a name and what is asked for instead."""

    kind = "saved"

    def start(self, asked: dict[str, Any]) -> Any:
        """Runs the flow with `asked`; the cluster is the search's own affair."""
        name = name_of(asked["spec"])
        if name is None:
            raise UserError(
                f"spec: give the name of a saved search, such as 'search-spec/NAME', got {asked['spec']!r}; "
                "a block that was not saved yet has none."
            )
        try:
            overrides = json.loads(json.dumps(asked.get("overrides") or {}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"overrides: they are no JSON ({error}); for live objects call the search's own flow."
            ) from error
        return super().start({"spec": name, "overrides": overrides})

    async def _run(self, asked: dict[str, Any]) -> Any:
        await asyncio.to_thread(spec_parameters, asked["spec"], asked["overrides"])  # mistakes come first
        with api_settings(await asyncio.to_thread(ensure_api)):
            run: Any = Flow.__call__(self, spec=asked["spec"], overrides=asked["overrides"])
            return await run


@search_flow("search-from-spec", "saved", SavedSearchFlow)
async def asearch_from_spec(spec: str, overrides: forms.Arguments = None) -> Any:
    """The result of a saved search, run by its name.

    Args:
        spec: Name of the saved search, as search-spec/NAME.
        overrides: Parameters of the search that take the place of the saved ones, such as {"seed": 1}.
    """
    method, asked = await asyncio.to_thread(spec_parameters, spec, overrides)
    with judged():
        return await flow_of(method)(**asked)


asearch_from_spec.flow_run_name = "{spec}"
search_from_spec = sync_twin(asearch_from_spec)
search_from_spec.flow_run_name = "{spec}"
