"""What a run of `tune` leaves to be seen: artifacts in the UI, a report, an outcome in the terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)

from prefect_tune import tune
from prefect_tune.report.pages import outcome, page, rows
from prefect_tune.space import choice, uniform

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


def test_a_failed_trial_is_one_line_in_the_log_and_in_its_state(
    prefect_api, dask_threads, tmp_path, monkeypatch
):
    """Trial, error and where the rest is; no stack of ours, no repr. The report has the trace."""
    heard: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("prefect.task_runs"), logging.Handler()
    monkeypatch.setattr(handler, "emit", heard.append)
    logger.addHandler(handler)
    try:
        result = tune(
            objectives.misbehaving, {"kind": choice(["raises", "fine"])}, n_trials=2,
            points_to_evaluate=[{"kind": "raises"}, {"kind": "fine"}],
            cluster=dask_threads.scheduler_address, store=str(tmp_path / "store"), verbose=0,
        )  # fmt: skip
    finally:
        logger.removeHandler(handler)
    trial = next(trial for trial in result if trial.config["kind"] == "raises")
    line = (
        f"trial {trial.index} failed: ValueError: a bad learning rate (Its traceback is in the report, under "
        "Failures.)"
    )
    assert str(trial.error) == "ValueError: a bad learning rate"

    async def message() -> str:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[result.flow_run_url.rpartition("/")[2]]))
        failed = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=["FAILED"])))
        async with get_client() as client, asyncio.timeout(30):
            while not (found := await client.read_task_runs(flow_run_filter=wanted, task_run_filter=failed)):
                await asyncio.sleep(0.2)
        (run,) = found
        return run.state.message

    assert asyncio.run(message()) == line
    told = [record for record in heard if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in told] == [f"Finished in state Failed({line!r})"]
    assert told[0].exc_info is None
    report = Path(result.report_path).read_text(encoding="utf-8")
    assert "in misbehaving" in report.partition("## Failures")[2]
