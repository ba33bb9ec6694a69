"""Leaving in the store what a search's keys are made of; a search never fails by it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from prefect.context import FlowRunContext
from prefect.logging import get_logger

from prefect_tune.explained import Book, leave

FIRST, LONGEST = 60.0, 900.0
"""Seconds to the first renewal of a document while its search runs, and the most between two. Each pause is
twice the one before, so that all drafts together are not much more than the last one."""


async def note(
    make: Callable[[], Book],
    store: object,
    scope: str,
    thread: ThreadPoolExecutor | None = None,
    *,
    draft: str = "",
    part: bool = False,
) -> None:
    """Nothing; the document that `make` gives is in the store, made in a thread. Trouble is logged.

    Args:
        make: of the document.
        store: of the search.
        scope: of the search.
        thread: where keys may be made; None: any.
        draft, part: as for `leave`.
    """
    context = FlowRunContext.get()
    run = str(context.flow_run.id) if context is not None and context.flow_run is not None else ""
    try:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, lambda: leave(make(), store, scope, run, draft=draft, part=part))
    except Exception:
        get_logger("prefect_tune").warning(
            "what this search's keys are made of could not be stored; `prefect-tune store why` will not know "
            "them",
            exc_info=True,
        )


@asynccontextmanager
async def noted(
    make: Callable[[], Book], store: object, scope: str, thread: ThreadPoolExecutor | None = None
) -> AsyncIterator[None]:
    """A block of work that is explained from its start: its document is there before it begins.

    It is renewed now and then while the work lasts, and at its end, however that is. Arguments as for `note`.
    """
    draft, over = uuid.uuid4().hex, asyncio.Event()

    async def write() -> None:
        await note(make, store, scope, thread, draft=draft)

    async def renew() -> None:
        pause = FIRST
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause)
                break
            await write()
            pause = min(2 * pause, LONGEST)

    await write()
    renewals = asyncio.create_task(renew())
    try:
        yield
    finally:
        over.set()
        await renewals
        await write()
