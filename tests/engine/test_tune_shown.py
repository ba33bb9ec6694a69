"""What a run of `tune` leaves to be seen: artifacts in the UI, a report, an outcome in the terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from prefect_tune import tune
from prefect_tune.report.pages import outcome, page, rows
from prefect_tune.space import uniform

sys.path.append(str(Path(__file__).parent))
import objectives
from objectives import MOST


def test_a_run_leaves_three_artifacts_and_a_report(prefect_api, dask_threads, tmp_path, capsys):
    """Progress at 100, the leaderboard's rows and the page, which is also written to a file."""
    result = tune(
        objectives.epochs, {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)}, n_trials=6, sampler="random",
        schedule="asha", max_resource=MOST, name="seen in the UI", verbose=2,
        cluster=dask_threads.scheduler_address, store=str(tmp_path / "store"),
    )  # fmt: skip

    async def read() -> dict:
        names = [f"seen-in-the-ui-{kind}" for kind in ("progress", "leaderboard", "report")]
        async with get_client() as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=names))
            return {
                each.key.rpartition("-")[2]: each
                for each in await client.read_artifacts(artifact_filter=wanted)
            }

    found = asyncio.run(read())
    assert {kind: each.type for kind, each in found.items()} == {
        "progress": "progress",
        "leaderboard": "table",
        "report": "markdown",
    }
    assert found["progress"].data == 100
    assert json.loads(found["leaderboard"].data) == rows(result)
    report = found["report"].data
    assert report == Path(result.report_path).read_text(encoding="utf-8")
    assert report.startswith(page(result, figures=False).partition("\n\n## History")[0][:200])
    assert "![Learning curves][curves]" in report
    assert all(each.description.startswith(outcome(result).partition(" of ")[0]) for each in found.values())
    assert "best     loss" in capsys.readouterr().err
