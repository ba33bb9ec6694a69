"""The worker's half of the fast runner: a task run in a context that its process has hydrated before.

Rule 1: hydrating (settings, HTTP client, flow run) happens once per worker process and context token: its
        threads share what came out, which nobody writes to, and an HTTP client that may be shared.
Rule 2: nothing leaks between task runs: each gets fresh copies of what Prefect writes into the context, and
        every context variable is put back afterwards.
Rule 3: of the logs, warnings and worse go to the API; one request per "Finished in state" line is too dear.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import pickle
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect.states import State
from prefect.tasks import Task

from prefect_tune.tasks import internals
from prefect_tune.tasks.context import Call

# Flow runs whose task runs may interleave in one process (brackets side by side) without hydrating again.
_SCOPES_PER_PROCESS = 16
_TASKS_PER_PROCESS = 64
_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect")

_on_worker: contextvars.ContextVar[bool] = contextvars.ContextVar("tune_on_worker", default=False)
_lock = threading.Lock()
_tasks: OrderedDict[str, Task[..., Any]] = OrderedDict()
_api_url: str | None = None


class _WarningsOnly(logging.Filter):
    """Passes everything in the driver; only warnings and worse inside a task run on a worker."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or not _on_worker.get()


_warnings_only = _WarningsOnly()


def _quiet_api_logs() -> None:
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, internals.APILogHandler):
                handler.addFilter(_warnings_only)  # adding the same filter twice changes nothing


def _follow_api(url: str | None) -> None:
    """Retires the services that talk to the API of an earlier driver: they keep the first URL they saw."""
    global _api_url
    with _lock:
        if _api_url is not None and url != _api_url:
            internals.EventsWorker.drain_all(timeout=5)
            internals.APILogWorker.drain_all(timeout=5)
        _api_url = url


class _Scope:
    """The Prefect context of one flow run, entered in a context of its own, lent variable by variable."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0  # task runs inside; only an unused scope is closed
        self.ready = False
        self._home = contextvars.Context()  # a context can only be left where it was entered
        self._stack = ExitStack()

    def hydrate(self, blob: bytes) -> None:
        """Enters the context, unless a thread has done so before; the others wait for the first."""
        with self.lock:
            if not self.ready:
                try:
                    self.variables = self._home.run(self._hydrate, pickle.loads(blob))
                except BaseException:
                    self.close()
                    raise
                self.ready = True

    def _hydrate(self, shared: dict[str, Any]) -> dict[contextvars.ContextVar[Any], Any]:
        settings = internals.SettingsContext(**shared.pop("settings_context"))
        self._stack.enter_context(settings)
        _follow_api(settings.settings.api.url)
        # One HTTP client for both uses: hydrated_context() would build a second one (a TLS context each).
        client = self._stack.enter_context(internals.SyncClientContext()).client
        self._stack.enter_context(internals.hydrated_context(shared, client=client))
        self.client = client
        _quiet_api_logs()
        return dict(contextvars.copy_context().items())

    def variables_for(self, call: Call) -> dict[contextvars.ContextVar[Any], Any]:
        """The context variables of one task run."""
        variables = {**self.variables, _on_worker: True}
        flow_variable = internals.FlowRunContext.__var__
        if flow := variables.get(flow_variable):
            # Prefect notes each result here by id(); shared, that would grow and link recycled ids.
            fresh: dict[str, Any] = {"run_results": {}, "task_run_assets": {}, "task_run_dynamic_keys": {}}
            variables[flow_variable] = flow.model_copy(update=fresh)
        if call.tags:
            tags = internals.TagsContext(current_tags=set(call.tags))
            variables[internals.TagsContext.__var__] = tags
        if call.parent:
            parent = internals.TaskRunContext(**pickle.loads(call.parent), client=self.client)
            variables[internals.TaskRunContext.__var__] = parent
        if call.assets:
            variables[internals.AssetContext.__var__] = internals.AssetContext(**call.assets)
        return variables

    def close(self) -> None:
        self._home.run(self._stack.close)


_scopes: OrderedDict[str, _Scope] = OrderedDict()


@atexit.register
def _close_scopes() -> None:
    while _scopes:
        _scopes.popitem()[1].close()


@contextmanager
def _scope(token: str, blob: bytes) -> Iterator[_Scope]:
    """The scope of one flow run, held open while it is in use."""
    with _lock:
        scope = _scopes.setdefault(token, _Scope())
        _scopes.move_to_end(token)
        scope.users += 1
        unused = [name for name, other in _scopes.items() if not other.users]
        retired = [_scopes.pop(name) for name in unused[: max(0, len(_scopes) - _SCOPES_PER_PROCESS)]]
    try:
        for old in retired:
            old.close()
        scope.hydrate(blob)
        yield scope
    finally:
        with _lock:
            scope.users -= 1


def _task(call: Call) -> Task[..., Any]:
    token = call.task.token
    with _lock:
        if task := _tasks.get(token):
            _tasks.move_to_end(token)
            return task
    task = pickle.loads(call.task.blob)
    with _lock:
        _tasks[token] = task
        while len(_tasks) > _TASKS_PER_PROCESS:
            _tasks.popitem(last=False)
    return task


@contextmanager
def _in_force(variables: dict[contextvars.ContextVar[Any], Any]) -> Iterator[None]:
    tokens = [(variable, variable.set(value)) for variable, value in variables.items()]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def keep(blob: bytes) -> bytes:
    """The bytes themselves: a Dask task whose result is a context too big to send with each call."""
    return blob


def run_call(call: Call, context: bytes, parameters: dict[str, Any], wait_for: Any) -> State:
    """The final state of the task run, its result inside; runs on a Dask worker."""
    with _scope(call.context_token, context) as scope, _in_force(scope.variables_for(call)):
        arguments: dict[str, Any] = {
            "task": (task := _task(call)),
            "task_run_id": call.task_run_id,
            "parameters": parameters,
            "wait_for": wait_for,
            "return_type": "state",
            "dependencies": call.dependencies,
            "context": None,
        }
        state: Any  # the return type asked for, which Prefect's annotations do not tell apart
        if task.isasync:
            state = asyncio.run(internals.run_task_async(**arguments))
        else:
            state = internals.run_task_sync(**arguments)
        return state
