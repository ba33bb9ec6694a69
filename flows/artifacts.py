"""A search in the Prefect UI: its progress, its leaderboard, its report; tags of its run, lines in its log.

Rule 1: the search never waits for them and never fails by them. What is to be shown is left in a slot, and
one background task empties the slots, one API call per interval. Rule 2: pictures are drawn in a thread.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from prefect.artifacts import Artifact, MarkdownArtifact, ProgressArtifact, TableArtifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from prefect_tune.report.markdown import report_markdown
from prefect_tune.report.markup import code
from prefect_tune.report.pages import Found, outcome, page, rows
from prefect_tune.report.progress import Progress
from prefect_tune.report.text import progress_text
from prefect_tune.results import SearchResult
from prefect_tune.tasks.cluster import ClusterLease

_INTERVAL = 2.0  # seconds between two calls while the search runs
_PATIENCE = 30.0  # seconds that the end of a search waits for an API that does not answer
_DRAW_FIRST = 10.0  # seconds before pictures are first drawn; a shorter search has them at its end
_DRAW_EVERY = 30.0  # seconds between two renewals of the pictures while the search runs, at least
_DRAW_SHARE = 50  # and so many times as long as drawing them took
# One thread for all drawing: matplotlib keeps its loaded fonts per thread.
_PEN = ThreadPoolExecutor(1, thread_name_prefix="prefect-tune-report")


def artifact_key(name: str, kind: str) -> str:
    """`<name>-<kind>` in lower-case letters, digits and dashes, as artifact keys must be.

    >>> artifact_key("Prévision (Q3)", "report")
    'prevision-q3-report'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return f"{re.sub('[^a-z0-9]+', '-', plain).strip('-')[:80].rstrip('-') or 'search'}-{kind}"


class SearchArtifacts:
    """The artifacts of one search; for use inside one run of an async flow.

    Each is created on first use and renewed in place, so that one search leaves one version of each. A call
    that fails is logged, once.

    Args:
        interval: least number of seconds between two API calls while the search runs.
    """

    def __init__(self, *, interval: float = _INTERVAL) -> None:
        self._interval = interval
        self._name = "search"
        self._ids: dict[str, UUID] = {}
        self._waiting: dict[str, Callable[[], Awaitable[None]]] = {}
        self._sender: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._complained = False
        self._page = ""
        self._dashboard = ""
        self._draw_at = time.monotonic() + _DRAW_FIRST  # when pictures may be drawn next

    async def start(self, name: str, lease: ClusterLease | None = None, *words: str) -> None:
        """Announces the search: in the log, by tags of its run and by the progress artifact, soon after.

        Args:
            name: of the search.
            lease: where it runs; its Dask dashboard is linked, if it has one.
            words: tags of the run besides `prefect-tune` and the kind of search.
        """
        self._name = name
        if lease is not None:
            self._dashboard = shown_link(lease.dashboard)
            at = f", dashboard {self._dashboard}" if self._dashboard else ""
            _log("%s runs on the %s%s", name, lease.describe.removeprefix("the "), at)
        await self.update(Progress(name=name))
        self._put("tags", partial(_add_tags, ("prefect-tune", *words)))

    async def update(self, progress: Progress) -> None:
        """Leaves `progress` to be shown and returns at once; only the latest one counts."""
        if progress.total:  # planned, and so about to wait for workers: not at the plan's expense
            _warm_once()
        self._put("progress", partial(self._show_progress, progress))

    async def publish(self, result: Found, *, figures: bool = False, awaited: bool = False) -> None:
        """Leaves a partial result to be shown and returns at once.

        Args:
            result: so far.
            figures: draw the report with its pictures, and then so rarely that the driver hardly feels it;
                otherwise it is renewed each time, without them.
            awaited: somebody is about to look at it: draw the pictures now.
        """
        self._put("leaderboard", partial(self._show_leaderboard, result))
        if awaited:
            self._draw_at = 0.0
        if not figures:
            self._put("report", partial(self._show_report, result, figures=False))
        elif time.monotonic() >= self._draw_at:
            self._draw_at = math.inf  # until these are drawn
            self._put("report", partial(self._show_report, result, figures=True))

    async def finish(self, result: Found) -> str:
        """The report as Markdown, once all three artifacts are in their final state; empty if that failed."""
        tags = self._waiting.pop("tags", None)
        self._waiting.clear()
        self._closing.set()
        await self._guarded(partial(_log_outcome, result))
        jobs: list[Callable[[], Awaitable[None]]] = [tags] if tags else []
        jobs += [partial(self._show_end, result), partial(self._show_leaderboard, result)]
        # Before the API is given its time: on a busy machine pictures take longer than any API, and what is
        # being sent may wait for the same pen.
        await self._guarded(partial(self._draw, result, figures=True))
        if self._page:
            jobs.append(partial(self._write_report, result))
        await self._guarded(partial(self._close, jobs))
        return self._page

    async def _close(self, jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
        async with asyncio.timeout(_PATIENCE):
            if self._sender is not None:
                await self._sender
            await asyncio.gather(*(self._guarded(job) for job in jobs))

    def _put(self, kind: str, job: Callable[[], Awaitable[None]]) -> None:
        """Replaces what waits under `kind` and sees that somebody sends it."""
        if self._closing.is_set():
            return
        self._waiting[kind] = job
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="prefect-tune-artifacts")

    async def _send(self) -> None:
        # A kind that comes back goes to the end of the dict: no kind starves another.
        while self._waiting:
            job = self._waiting.pop(next(iter(self._waiting)))
            await self._guarded(job)
            try:
                await asyncio.wait_for(self._closing.wait(), self._interval)
            except TimeoutError:
                continue

    async def _guarded(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception:
            if not self._complained:
                self._complained = True
                logger = get_logger("prefect_tune")
                logger.warning(
                    "artifacts of %r could not be written; the search goes on", self._name, exc_info=True
                )

    async def _show_progress(self, progress: Progress) -> None:
        percent = 100 * min(1.0, max(0.0, progress.fraction))
        description = progress_text(progress, quote=code)
        if self._dashboard:
            description += f" · [Dask dashboard]({self._dashboard})"
        await self._write("progress", ProgressArtifact(progress=round(percent, 1), description=description))

    async def _show_end(self, result: Found) -> None:
        await self._write("progress", ProgressArtifact(progress=100.0, description=await _outcome(result)))

    async def _show_leaderboard(self, result: Found) -> None:
        table = await asyncio.to_thread(rows, result)
        await self._write("leaderboard", TableArtifact(table=table, description=await _outcome(result)))

    async def _show_report(self, result: Found, *, figures: bool) -> None:
        await self._draw(result, figures=figures)
        await self._write_report(result)

    async def _draw(self, result: Found, *, figures: bool) -> None:
        start, draw = time.monotonic(), partial(page, result, figures=figures)
        try:
            self._page = await asyncio.get_running_loop().run_in_executor(_PEN, draw)
            if self._dashboard:  # after the pictures' definitions, which do not show
                self._page += f"\nDask dashboard: <{self._dashboard}>\n"
        finally:
            now = time.monotonic()
            self._draw_at = now + max(_DRAW_EVERY, _DRAW_SHARE * (now - start))

    async def _write_report(self, result: Found) -> None:
        await self._write("report", MarkdownArtifact(markdown=self._page, description=await _outcome(result)))

    async def _write(self, kind: str, artifact: Artifact) -> None:
        """Creates the artifact of this kind, or renews it."""
        if kind not in self._ids:
            artifact.key = artifact_key(self._name, kind)
            self._ids[kind] = (await artifact.acreate()).id
            return
        change = ArtifactUpdate(data=await artifact.aformat(), description=artifact.description)
        async with get_client() as client:  # the flow run's own, already connected
            await client.update_artifact(self._ids[kind], change)


def shown_link(link: str) -> str:
    """`link` without what may be a secret in it, empty if it is no plain address.

    >>> shown_link("https://user:word@host:8787/status?token=abc")
    'https://host:8787/status'
    """
    parts = urlsplit(link)
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return plain if re.fullmatch(r"https?://[\w.:/%@+\[\]-]+", plain) else ""


def plain_text(markdown: str) -> str:
    """A line of Markdown as it reads in a log: code spans without their marks."""
    return markdown.replace("`", "")


def _log(message: str, *values: object) -> None:
    """Writes a line into the log of the flow run; nothing outside of one."""
    with suppress(MissingContextError):
        get_run_logger().info(message, *values)


async def _log_outcome(result: Found) -> None:
    """Writes what was found into the log of the flow run."""
    _log("%s", plain_text(await _outcome(result)))


async def _add_tags(words: tuple[str, ...]) -> None:
    """Gives the flow run tags besides those that it has."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    kind = str(getattr(context.flow, "kind", "")).replace("_", "-")
    tags = {*context.flow_run.tags, *words, *([kind] if kind else [])}
    async with get_client() as client:
        await client.update_flow_run(context.flow_run.id, tags=sorted(tags))


async def _outcome(result: Found) -> str:
    """The result in one line, made in a thread: there may be thousands of trials to read."""
    return await asyncio.to_thread(outcome, result)


@cache
def _warm_once() -> None:
    """Has a report drawn that nobody reads, once per process: the first real one then waits for no import."""
    _PEN.submit(_warm)


def _warm() -> None:
    tiny = {
        "params": [{"a": 1}, {"a": 2}],
        "mean_test_score": [1.0, 0.0],
        "std_test_score": [0.0, 0.0],
        "rank_test_score": [1, 2],
        "mean_fit_time": [0.0, 0.0],
    }
    result = SearchResult(
        name="", cv_results=tiny, best_index=0, best_params={}, best_score=1.0, metric="score",
        metrics=("score",), n_splits=1,
    )  # fmt: skip
    report_markdown(result)
