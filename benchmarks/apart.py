"""Calls in processes of their own, so that one measurement does not see what another has left."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

THREADS = ("RAYON_NUM_THREADS",)
"""Variables by which the threads of the hash are limited, before it loads."""


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], end: Any) -> None:
    end.send(function(*arguments))


def apart(
    function: Callable[..., Any], *arguments: Any, threads: int | None = None, method: str = "spawn"
) -> Any:
    """What a call in a new process returns.

    Args:
        threads: of the hash in that process; None: as many as there are cores.
        method: of starting it; "fork" keeps what is imported.

    Raises:
        RuntimeError: it ended without an answer; its own words are on the terminal.
    """
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe(duplex=False)
    before = {name: os.environ.pop(name, None) for name in THREADS}
    if threads is not None:
        os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        process = context.Process(target=_answer, args=(function, arguments, theirs))
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__}{arguments} ended with an error") from None
    finally:
        process.join()
