"""Optuna without its asides: what it says to a person at a terminal is no news to a search.

Rule: only this thread, only during the call. The user's own studies keep their log level and their warnings.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet_log() -> Iterator[None]:
    """Drops this thread's messages below ERROR from Optuna's loggers."""
    mine = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or threading.get_ident() != mine

    known = list(logging.root.manager.loggerDict.items())
    loggers = [
        logger
        for name, logger in known
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "optuna"
    ]
    for logger in loggers:
        logger.addFilter(passes)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(passes)


@contextmanager
def no_experimental_warnings() -> Iterator[None]:
    """Silences Optuna's ExperimentalWarning: which of its options are used is our business and tested."""
    from optuna.exceptions import ExperimentalWarning

    # Python keeps the filters once for all threads, so only the making of a sampler runs inside.
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
