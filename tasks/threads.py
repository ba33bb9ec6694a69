"""Threads of numerical libraries, held to what a worker owns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pinned: int | None = None

# Read by the libraries when they are loaded; set before that, they cost nothing.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def pin_threads(n: int) -> bool:
    """Whether this call set the limit: BLAS and OpenMP use at most `n` threads from now on, in this process.

    Once per process and `n`: looking for the loaded libraries takes milliseconds. Libraries loaded later are
    not caught; our own workers set the environment as well.
    """
    global _pinned
    with _lock:
        if _pinned == n:
            return False
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=n)
        _pinned = n
        return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Within: BLAS and OpenMP use one thread, in this whole process; afterwards as before.

    The small matrices of a model of hundreds of trials are slower on several threads than on one, by far
    where others need the cores.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
