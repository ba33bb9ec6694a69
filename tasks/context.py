"""What a Dask worker must know to run a Prefect task run, packed in the driver.

Rule 1: what is the same for a whole flow run (flow, settings, deployment) is pickled once, into a
        `FrozenContext`; its token is the digest of the bytes, so a worker hydrates when the token changes.
Rule 2: what differs from task run to task run (id, tags, parent task run, assets, inputs) is in the `Call`.
Rule 3: a worker never starts an API server: the driver's URL and "no ephemeral server" are in the settings.
"""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import cloudpickle
from distributed import Future
from prefect.tasks import Task

from prefect_tune.tasks import internals


@dataclass(frozen=True, slots=True)
class FrozenContext:
    """The part of the context that a flow run's task runs share, as bytes, known by its digest."""

    token: str
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One task run as the worker needs it, without its parameters."""

    context_token: str
    task: FrozenContext
    task_run_id: uuid.UUID
    tags: frozenset[str]
    dependencies: dict[str, set[Any]]
    parent: bytes | None = None
    assets: dict[str, Any] | None = None


def _freeze(value: Any) -> FrozenContext:
    blob = cloudpickle.dumps(value)
    return FrozenContext(blake2b(blob, digest_size=16).hexdigest(), blob)


_packed: tuple[Any, Any, str, dict[str, Any]] | None = None


def _worker_settings(api_url: str) -> dict[str, Any]:
    """The settings in force here, with what every Dask worker must be told; not to be changed.

    Made once for all flow runs with the same settings, as brackets are: it takes Prefect 10 ms and more.
    """
    global _packed
    context = internals.SettingsContext.get()
    assert context is not None  # Prefect always has a global one
    known = _packed
    if known and known[0] is context.settings and known[1] is context.profile and known[2] == api_url:
        return known[3]
    packed = context.serialize()
    settings = packed["settings"]
    settings.setdefault("api", {})["url"] = api_url
    settings.setdefault("client", {})["server_version_check_enabled"] = False
    settings.setdefault("server", {}).setdefault("ephemeral", {})["enabled"] = False
    _packed = context.settings, context.profile, api_url, packed
    return packed


def body_stays_with_the_driver() -> None:
    """Nothing; stands on workers for the body of the flow."""
    raise RuntimeError("The body of a flow is not sent to the Dask workers.")


def _flow_run(context: Any) -> dict[str, Any]:
    """The flow run without the flow's body and hooks: workers never call them, and they may hold anything.

    A body defined in a notebook or inside a function would travel by value, with all that it refers to.
    """
    packed = context.serialize()
    if (flow := packed.get("flow")) is not None:
        packed["flow"] = slim = copy.copy(flow)
        slim.fn = slim.__wrapped__ = body_stays_with_the_driver
        for event in ("completion", "failure", "cancellation", "crashed", "running"):
            setattr(slim, f"on_{event}_hooks", [])
    return packed


class Freezer:
    """Frozen contexts and tasks of one runner; each is pickled once, however many task runs use it."""

    def __init__(self) -> None:
        self._context: tuple[Any, Any, str, FrozenContext] | None = None
        self._tasks: dict[int, tuple[Task[..., Any], FrozenContext]] = {}

    def context(self, api_url: str) -> FrozenContext:
        """The shared context of the flow run that is active now.

        Identity, not equality, decides whether it changed: a retry of the flow or a block of
        `temporary_settings` brings new objects, and comparing settings costs as much as dumping them.
        """
        flow = internals.FlowRunContext.get()
        settings = internals.SettingsContext.get()
        known = self._context
        if known and known[0] is flow and known[1] is settings and known[2] == api_url:
            return known[3]
        deployment = internals._deployment_id.get()
        frozen = _freeze(
            {
                "flow_run_context": _flow_run(flow) if flow else {},
                "settings_context": _worker_settings(api_url),
                "deployment_id": str(deployment) if deployment else None,
                "deployment_parameters": internals._deployment_parameters.get(),
            }
        )
        self._context = (flow, settings, api_url, frozen)
        return frozen

    def task(self, task: Task[..., Any]) -> FrozenContext:
        """The pickled task, by identity of the object; bounded, for `with_options` in a loop makes many."""
        known = self._tasks.get(id(task))
        if known and known[0] is task:
            return known[1]
        if len(self._tasks) >= 64:
            self._tasks.clear()
        frozen = _freeze(task)
        self._tasks[id(task)] = (task, frozen)
        return frozen

    def call(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        context: FrozenContext,
        dependencies: dict[str, set[Any]] | None,
    ) -> Call:
        """The call of `task` with `parameters`, whose Prefect futures are Dask futures already."""
        task_run_id = uuid.uuid4()
        inputs = {
            name: internals.collect_task_run_inputs_sync(value, future_cls=Future)
            for name, value in parameters.items()
        }
        for name, more in (dependencies or {}).items():
            inputs[name] = inputs.get(name, set()) | more
        parent = internals.TaskRunContext.get()
        return Call(
            context_token=context.token,
            task=self.task(task),
            task_run_id=task_run_id,
            tags=frozenset(internals.TagsContext.get().current_tags),
            dependencies=inputs,
            parent=cloudpickle.dumps(parent.serialize()) if parent else None,
            assets=_assets(task, task_run_id, inputs),
        )


def _assets(
    task: Task[..., Any], task_run_id: uuid.UUID, inputs: dict[str, set[Any]]
) -> dict[str, Any] | None:
    """The asset context of the task run, or None when no asset is in play (the worker makes an empty one)."""
    assets = internals.AssetContext.from_task_and_inputs(
        task=task, task_run_id=task_run_id, task_inputs=inputs, copy_to_child_ctx=True
    )
    if assets.direct_asset_dependencies or assets.downstream_assets or assets.upstream_assets:
        return assets.serialize()
    return None
