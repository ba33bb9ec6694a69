"""A Prefect API that goes away while a search runs.

Rule 1: training and decisions do not need the API. Only where a flow run begins or ends must it answer.
Rule 2: there a search waits for it, a minute in all. Prefect's engine alone would wait a minute for each
report: that a bracket ended, that this failed, that the search failed, and that that failed.
Rule 3: after that minute the search stops with one error, and what is left to report is tried once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from prefect_tune.errors import ApiUnreachable
from prefect_tune.tasks import internals

PATIENCE = 60.0  # seconds; as long as Prefect's client tries
_REACH = 5.0  # seconds that one answer may take
_LOOK_AGAIN = 0.5  # seconds between two attempts


class Outage:
    """What the flow runs of one search know of the API.

    Args:
        store: the folder where the search can go on from, for the error.
    """

    def __init__(self, store: object) -> None:
        self.store, self.over, self._since = store, False, 0.0

    def error(self) -> ApiUnreachable:
        """What the user is told."""
        return ApiUnreachable(PREFECT_API_URL.value() or "", self.store)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Around the body of a flow run: when it is left, the API answers, so that its end can be reported.

        Raises:
            ApiUnreachable: it has not answered for a minute.
        """
        try:
            yield
            await self._answered()
        except (httpx.TransportError, ApiUnreachable) as error:
            self.over = True
            _try_once()
            if isinstance(error, ApiUnreachable):
                raise
            raise self.error() from error
        except BaseException:
            if self.over:
                _try_once()
            raise

    async def _answered(self) -> None:
        """Nothing, once the API answers; the flow runs of a search share their patience."""
        while await _is_silent():
            now = time.monotonic()
            self._since = self._since or now
            if self.over or now - self._since > PATIENCE:
                raise self.error()
            await asyncio.sleep(_LOOK_AGAIN)
        self._since = 0.0


async def _is_silent() -> bool:
    try:
        with _no_retries():
            async with asyncio.timeout(_REACH), get_client() as client:  # the flow run's own, connected
                return await client.api_healthcheck() is not None
    except (TimeoutError, httpx.TransportError):
        return True


def _try_once() -> None:
    """Prefect's engine tries once what it still reports from this context; its flow run is at its end."""
    if internals.FAST_PATH:
        # Never left: the engine is still to come, and the context ends with it or with `api_settings`.
        _no_retries().__enter__()


_last: tuple[Any, Any] = (None, None)


def _no_retries() -> AbstractContextManager[Any]:
    """The settings in force with no second attempt of Prefect's client.

    Made once for all brackets of a search: making settings takes Prefect 10 ms and more.
    """
    global _last
    context = internals.SettingsContext.get() if internals.FAST_PATH else None
    if context is None:
        return temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0})
    asked, made = _last
    if asked is not context.settings:
        made = context.settings.copy_with_update(updates={PREFECT_CLIENT_MAX_RETRIES: 0})
        _last = context.settings, made
    return internals.SettingsContext(profile=context.profile, settings=made)
