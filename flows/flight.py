"""Task runs in the air: submitted under a number, and handed back as they end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import dask
from prefect.tasks import Task

from prefect_tune.errors import InfrastructureError
from prefect_tune.tasks.runner import TuneFuture, TuneTaskRunner

_LOOK = 1.0  # seconds between two looks whether the scheduler is there


class Flight:
    """The task runs of one driver that have not come back.

    Args:
        runner: the started task runner.
        landed: where (item, future) of each that ends is put.

    Attributes:
        flying: number -> future.
    """

    def __init__(self, runner: TuneTaskRunner, landed: asyncio.Queue[tuple[Any, TuneFuture]]) -> None:
        self.runner, self.landed = runner, landed
        self.flying: dict[int, TuneFuture] = {}

    def __len__(self) -> int:
        return len(self.flying)

    def submit(
        self,
        number: int,
        item: Any,
        task: Task[..., Any],
        parameters: dict[str, Any],
        *,
        resources: Mapping[str, float] | None = None,
        priority: int = 0,
    ) -> None:
        """Sends a task run.

        Args:
            number: to know it by.
            item: comes back with the future.
            resources: that its Dask worker must have free.
            priority: the higher goes first.

        Raises:
            InfrastructureError: nobody would run it, see `check`.
        """
        self.check()
        loop = asyncio.get_running_loop()
        annotations: dict[str, Any] = {"resources": dict(resources)} if resources else {}
        if priority:
            annotations["priority"] = priority
        with dask.annotate(**annotations):
            future = self.runner.submit(task, parameters)
        self.flying[number] = future

        def ended(_: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.landed.put_nowait, (item, future))

        future.add_done_callback(ended)

    async def back(self) -> tuple[Any, TuneFuture]:
        """The next that ends, once there is one.

        Raises:
            InfrastructureError: none will, see `check`.
        """
        while True:
            try:
                async with asyncio.timeout(_LOOK):
                    return await self.landed.get()
            except TimeoutError:
                self.check()

    def check(self) -> None:
        """Nothing, while task runs may still come back; Dask's futures alone would stay silent for ever.

        Raises:
            InfrastructureError: the scheduler is gone, and the client has given up on it.
        """
        if (place := self.runner.lost()) is not None:
            raise InfrastructureError(
                f"the Dask scheduler at {place} is gone. What ended is in the store: start it again, or name "
                "another cluster, and run the same search again to go on."
            )

    def take(self, number: int) -> None:
        """Forgets a task run that came back."""
        self.flying.pop(number, None)

    def abandon(self) -> None:
        """Cancels what is in flight; after an error nobody waits for it."""
        for future in self.flying.values():
            future.cancel()
        self.flying.clear()
