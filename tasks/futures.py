"""The future of a task run on Dask: waits without blocking the loop, and never hides a lost worker.

Rule 1: a task run that ran to its end has a state (Completed, Failed, Cached); one that infrastructure killed
        has none, and says so by an exception. `outcome()` gives the one or the other; nothing is swallowed.
Rule 2: once the state has arrived, the cluster may forget it: the Dask future is released, and the state
        stands in wherever the future is passed on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import distributed
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect_dask.task_runners import PrefectDaskFuture

R = TypeVar("R")


class TuneFuture(PrefectDaskFuture[R]):
    """A submitted task run.

    `add_done_callback(fn)` calls `fn(self)` on a thread of Dask's when the run has ended, was cancelled or
    was lost, also if that happened long ago; `fn` may call `outcome()`, which then returns at once. From an
    async flow hand the news over with `loop.call_soon_threadsafe`.
    """

    _lost: BaseException | None = None
    _released = False

    def outcome(self, timeout: float | None = None) -> State[R] | BaseException:
        """The final state, or the exception by which the infrastructure lost the run.

        Such exceptions are `distributed.KilledWorker` (workers died under it, more than
        `distributed.scheduler.allowed-failures` times), `concurrent.futures.CancelledError` (cancelled, or
        the scheduler is gone) and what broke while sending or loading the call. A task's own exception is
        none of them: it is inside the Failed state. Both sorts release the Dask future.

        Raises:
            TimeoutError: the run has not ended within `timeout` seconds; nothing is released.
        """
        if self._final_state is not None:
            return self._final_state
        if self._lost is not None:
            return self._lost
        try:
            result = self._wrapped_future.result(timeout=timeout)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, (distributed.TimeoutError, TimeoutError)) and not self.done():
                raise TimeoutError(
                    f"Task run {self.task_run_id} did not end within {timeout} seconds."
                ) from error
            self._lost = error
            self.release()
            return error
        if not isinstance(result, State):
            raise TypeError(f"Task run {self.task_run_id} gave {type(result).__name__}, not a state.")
        self._final_state = result
        self.release()
        return result

    def done(self) -> bool:
        """Whether the run has ended, was cancelled or was lost."""
        settled = self._final_state is not None or self._lost is not None or self._released
        return settled or self._wrapped_future.done()

    def wait(self, timeout: float | None = None) -> None:
        """Returns when the run is done or the timeout is over; raises neither, ask `outcome()`."""
        try:
            self.outcome(timeout)
        except TimeoutError:
            return

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """The task's return value.

        Raises:
            Exception: the task's own exception, unless `raise_on_failure` is false (then it is returned); the
                exception of the infrastructure in any case, see `outcome`.
            TimeoutError: not done within `timeout` seconds.
        """
        outcome = self.outcome(timeout)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome.result(raise_on_failure=raise_on_failure, _sync=True)  # type: ignore[call-overload]

    def cancel(self) -> None:
        """Takes the run off the cluster's queue; one that is running goes on, its result is dropped."""
        if not self.done():
            self._wrapped_future.cancel(reason="cancelled-by-driver")

    def release(self) -> None:
        """Lets the cluster forget the result; unless the state has arrived, it is lost to this future too."""
        if not self._released:
            self._released = True
            self._wrapped_future.release()

    @property
    def input(self) -> Any:
        """What stands for this future in the parameters of a task run submitted later."""
        if self._final_state is not None:
            return self._final_state
        if self._released:
            raise ValueError(
                f"Task run {self.task_run_id} was released or lost before it was passed on."
                " Submit what depends on it first, or read its outcome before release()."
            ) from self._lost
        return self._wrapped_future

    def add_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        """Calls `fn(self)` once, when the run is done; see the class."""
        if self._final_state is not None or self._lost is not None or self._released:
            fn(self)
            return
        called = threading.Lock()

        def call_once(_: distributed.Future) -> None:
            if called.acquire(blocking=False):
                fn(self)

        self._wrapped_future.add_done_callback(call_once)


def cut_off(cause: BaseException) -> bool:
    """Whether a run was lost because this process lost its scheduler: nothing is known of the run itself."""
    return getattr(cause, "reason", None) == "scheduler-connection-lost"


# What a cancelled run, or one whose scheduler is gone, gives as outcome.
CancelledError = concurrent.futures.CancelledError

__all__ = ["CancelledError", "TuneFuture", "cut_off"]
