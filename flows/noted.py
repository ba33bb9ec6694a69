"""Leaving in the store what a search's keys are made of; a search never fails by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from prefect.context import FlowRunContext
from prefect.logging import get_logger

from prefect_tune.explained import Book, leave


async def note(
    make: Callable[[], Book], store: object, scope: str, thread: ThreadPoolExecutor | None = None
) -> None:
    """Nothing; the document that `make` gives is in the store, made in a thread. Trouble is logged.

    Args:
        make: of the document.
        store: of the search.
        scope: of the search.
        thread: where keys may be made; None: any.
    """
    context = FlowRunContext.get()
    run = str(context.flow_run.id) if context is not None and context.flow_run is not None else ""
    try:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, lambda: leave(make(), store, scope, run))
    except Exception:
        get_logger("prefect_tune").warning(
            "what this search's keys are made of could not be stored; `prefect-tune store why` will not know "
            "them",
            exc_info=True,
        )
