"""The three artifacts of a search, read back through Prefect's API."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import time
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from prefect_tune.flows import artifacts as artifacts_module
from prefect_tune.flows.artifacts import SearchArtifacts, artifact_key
from prefect_tune.report.progress import Progress
from prefect_tune.report.tables import leaderboard_rows
from prefect_tune.results import Cost, SearchResult

pytestmark = pytest.mark.usefixtures("prefect_api")


def a_result(*scores: float) -> SearchResult:
    scores_ = np.array(scores)
    return SearchResult(
        name="My Search",
        cv_results={
            "params": [{"C": float(10**i), "note": "a|b"} for i in range(len(scores))],
            "mean_test_score": scores_,
            "std_test_score": np.full(len(scores), np.inf),
            "rank_test_score": np.argsort(np.argsort(-scores_)) + 1,
            "mean_fit_time": np.full(len(scores), 0.5),
        },
        best_index=0,
        best_params={"C": 1.0},
        best_score=scores[0],
        metric="score",
        metrics=("score",),
        n_splits=3,
        cost=Cost(uses=30, distinct=20, known=5, run=15, wall_seconds=1.5),
    )


class Recorded(SearchArtifacts):
    """Artifacts that also note each write."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.written: list[tuple[str, object]] = []

    async def _write(self, kind, artifact):
        self.written.append((kind, getattr(artifact, "progress", None)))
        await super()._write(kind, artifact)


async def artifacts_of(run_id: str) -> dict[str, list]:
    """Artifacts of one flow run by key."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]))
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=wanted, limit=100)
    return {a.key: [b for b in found if b.key == a.key] for a in found}


def test_finish_leaves_one_version_of_each_artifact():
    """After updates and partial results a run has one progress, one table and one report, all final."""
    final = a_result(0.9, 0.8, float("nan"))

    @flow
    async def search() -> str:
        shown = SearchArtifacts(interval=0.01)
        await shown.start("My Search")
        for done in range(5):
            await shown.update(Progress(name="My Search", total=10, done=done))
            await asyncio.sleep(0.05)
        await shown.publish(a_result(0.5))
        await asyncio.sleep(0.2)
        await shown.finish(final)
        await shown.update(Progress(name="My Search", total=10, done=1))  # too late: changes nothing
        return flow_run.id

    found = asyncio.run(read_back(search))
    assert {key: (len(versions), versions[0].type) for key, versions in found.items()} == {
        "my-search-progress": (1, "progress"),
        "my-search-leaderboard": (1, "table"),
        "my-search-report": (1, "markdown"),
    }
    assert found["my-search-progress"][0].data == 100
    assert json.loads(found["my-search-leaderboard"][0].data, parse_constant=refuse) == leaderboard_rows(
        final
    )
    report = found["my-search-report"][0].data
    assert report.startswith("# `My Search`")
    assert "3 candidates" in report
    pictures = [line.split("base64,")[1] for line in report.splitlines() if "base64," in line]
    assert len(pictures) == 2
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()
    assert "best 0.9 (`C=1`) of 3 candidates" in found["my-search-report"][0].description


def refuse(constant: str):
    raise AssertionError(f"{constant} is no JSON")


async def read_back(search) -> dict[str, list]:
    return await artifacts_of(await search())


def test_known_search_needs_no_updates():
    """A search that finishes at once, without any update, still leaves all three."""

    @flow
    async def search() -> str:
        shown = SearchArtifacts()
        await shown.start("quick")
        await shown.finish(a_result(0.9))
        return flow_run.id

    found = asyncio.run(read_back(search))
    assert sorted(found) == ["quick-leaderboard", "quick-progress", "quick-report"]
    assert [a.data for a in found["quick-progress"]] == [100]


def test_a_busy_machine_draws_as_long_as_it_takes(monkeypatch):
    """Only the API's answers have a time limit: a report that is drawn for longer is there all the same."""

    def slow(*arguments, **more):
        time.sleep(1.5 * artifacts_module._PATIENCE)
        return drawn(*arguments, **more)

    drawn = artifacts_module.page
    monkeypatch.setattr(artifacts_module, "page", slow)
    monkeypatch.setattr(artifacts_module, "_PATIENCE", 5.0)

    @flow
    async def search() -> str:
        shown = SearchArtifacts(interval=0.01)
        await shown.start("My Search")
        assert await shown.finish(a_result(0.9))
        return flow_run.id

    found = asyncio.run(read_back(search))
    assert found["my-search-report"][0].data.startswith("# `My Search`")


def test_updates_are_merged_and_the_end_does_not_wait_for_the_interval():
    """Within an interval a thousand updates make no call; the end ends the interval early."""

    @flow
    async def search() -> list:
        shown = Recorded(interval=10_000)
        await shown.start("merged")
        for done in range(1000):
            await shown.update(Progress(name="merged", total=1000, done=done))
            await asyncio.sleep(0)
        for _ in range(1000):  # let the first call return
            await asyncio.sleep(0.001)
        await shown.finish(a_result(0.9))
        return shown.written

    first, *last = asyncio.run(search())
    assert first[0] == "progress"
    assert first[1] < 100
    assert sorted(kind for kind, _ in last) == ["leaderboard", "progress", "report"]


def test_update_does_not_wait_for_the_api():
    """While a call hangs, updates return; the latest of them is sent when it is over."""

    @flow
    async def search() -> list:
        gate = asyncio.Event()

        class Hanging(Recorded):
            async def _write(self, kind, artifact):
                await gate.wait()
                await super()._write(kind, artifact)

        shown = Hanging(interval=0)
        await shown.start("hanging")
        await asyncio.sleep(0)
        for done in range(100):
            await shown.update(Progress(name="hanging", total=100, done=done))
        assert shown.written == []
        gate.set()
        while len(shown.written) < 2:
            await asyncio.sleep(0.01)
        await shown.finish(a_result(0.9))
        return shown.written

    assert asyncio.run(search())[:2] == [("progress", 0.0), ("progress", 99.0)]


def test_failing_api_is_reported_once_and_breaks_nothing(monkeypatch, caplog):
    """With an API that refuses every artifact the search ends well, and the log has one warning."""

    async def refused(self, client=None):
        raise ConnectionError("no API")

    monkeypatch.setattr(artifacts_module.Artifact, "acreate", refused)

    @flow
    async def search() -> str:
        shown = SearchArtifacts(interval=0)
        await shown.start("broken")
        for done in range(5):
            await shown.update(Progress(name="broken", total=5, done=done))
            await asyncio.sleep(0.01)
        await shown.finish(a_result(0.9))
        return "done"

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(search()) == "done"
    assert len([record for record in caplog.records if "could not be written" in record.message]) == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("My Search", "my-search-report"),
        ("Prévision (Q3)", "prevision-q3-report"),
        ("--a__b--", "a-b-report"),
        ("日本", "search-report"),
        ("", "search-report"),
        ("x" * 500, "x" * 80 + "-report"),
    ],
)
def test_artifact_key_is_lower_case_letters_digits_and_dashes(name, key):
    """Prefect takes no other keys."""
    assert artifact_key(name, "report") == key
