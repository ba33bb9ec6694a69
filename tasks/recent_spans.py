"""Dask's spans, the last of them only.

Dask's scheduler opens a span whenever work comes after a pause, and keeps it for ever with its groups of
tasks. In a search that decides after each task run that is one for each of them, and a notebook or a served
flow keeps its local cluster for days.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from distributed.spans import Span, SpansSchedulerExtension


class RecentSpans(SpansSchedulerExtension):
    """Dask's extension for spans, which forgets what is over when newer ones have come.

    Attributes:
        kept: how many without a name of the user's stay; 100, as Dask keeps computations.
    """

    kept = 100

    def _ensure_default_span(self) -> Span:
        span = super()._ensure_default_span()
        own = self.spans_search_by_name["default",]
        for old in own[: -self.kept]:
            if self._is_over(old):
                del self.spans[old.id]
                for found in (self.root_spans, own, self.spans_search_by_tag["default"]):
                    found.remove(old)
        return span

    def _is_over(self, span: Span) -> bool:
        """Whether no group of tasks that the scheduler knows would ask for it."""
        groups = self.scheduler.task_groups
        return all(groups.get(group.name) is not group for group in span.groups)

    def heartbeat(self, ws: Any, data: dict[tuple[Hashable, ...], float]) -> None:
        """Takes a worker's times in; those of a span that is forgotten are of no use to anybody."""
        super().heartbeat(ws, {key: value for key, value in data.items() if key[1] in self.spans})


__all__ = ["RecentSpans"]
