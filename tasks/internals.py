"""The semi-private parts of Prefect that the fast runner leans on, and whether they are as we know them.

Rule 1: no other module of ours imports a name of Prefect that its documentation does not list.
Rule 2: importing this module never fails; what is missing or changed is named in `PROBLEMS`, and the runner
        then takes the stock path. A contract test asserts that the pinned version has no problems.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from prefect.logging import get_logger

PROBLEMS: list[str] = []

try:
    from prefect.context import (
        AssetContext,
        FlowRunContext,
        SettingsContext,
        SyncClientContext,
        TagsContext,
        TaskRunContext,
        _deployment_id,
        _deployment_parameters,
        hydrated_context,
    )
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler, APILogWorker
    from prefect.task_engine import run_task_async, run_task_sync
    from prefect.utilities.engine import collect_task_run_inputs_sync
except ImportError as error:  # pragma: no cover - needs another Prefect
    PROBLEMS.append(f"a name has moved: {error}")

_RUN_PARAMETERS = {
    "task",
    "task_run_id",
    "parameters",
    "wait_for",
    "return_type",
    "dependencies",
    "context",
}


def _lacks(call: Callable[..., Any], wanted: set[str]) -> set[str]:
    return wanted - set(inspect.signature(call).parameters)


def _changes() -> list[str]:
    """What differs from the Prefect that this package was written against, one sentence each."""
    calls: list[tuple[Callable[..., Any], set[str]]] = [
        (run_task_sync, _RUN_PARAMETERS),
        (run_task_async, _RUN_PARAMETERS),
        (hydrated_context, {"serialized_context", "client"}),
        (collect_task_run_inputs_sync, {"expr", "future_cls"}),
        (AssetContext.from_task_and_inputs, {"task", "task_run_id", "task_inputs", "copy_to_child_ctx"}),
        (EventsWorker.drain_all, {"timeout"}),
        (APILogWorker.drain_all, {"timeout"}),
    ]
    found = [f"{call.__qualname__} lacks {sorted(_lacks(call, wanted))}" for call, wanted in calls
             if _lacks(call, wanted)]  # fmt: skip
    fields: dict[Any, set[str]] = {
        FlowRunContext: {"run_results", "task_run_assets", "task_run_dynamic_keys"},
        TagsContext: {"current_tags"},
        SettingsContext: {"settings", "profile"},
        SyncClientContext: {"client"},
        AssetContext: {"direct_asset_dependencies", "downstream_assets", "upstream_assets"},
        TaskRunContext: {"task_run", "client"},
    }
    for model, wanted in fields.items():
        if missing := wanted - set(model.model_fields):
            found.append(f"{model.__name__} lacks {sorted(missing)}")
        if not hasattr(model, "__var__") or not hasattr(model, "serialize"):
            found.append(f"{model.__name__} has no context variable or no serialize()")
    return found


if not PROBLEMS:
    try:
        PROBLEMS.extend(_changes())
    except Exception as error:  # any surprise means the stock path
        PROBLEMS.append(f"the check itself failed: {error!r}")

FAST_PATH = not PROBLEMS

if PROBLEMS:  # pragma: no cover - needs another Prefect
    get_logger(__name__).warning(
        "TuneTaskRunner: this Prefect differs from the one it was written for (%s). Task runs take the slower"
        " stock path; results are the same.",
        "; ".join(PROBLEMS),
    )

__all__ = [
    "FAST_PATH",
    "PROBLEMS",
    "APILogHandler",
    "APILogWorker",
    "AssetContext",
    "EventsWorker",
    "FlowRunContext",
    "SettingsContext",
    "SyncClientContext",
    "TagsContext",
    "TaskRunContext",
    "_deployment_id",
    "_deployment_parameters",
    "collect_task_run_inputs_sync",
    "hydrated_context",
    "run_task_async",
    "run_task_sync",
]
