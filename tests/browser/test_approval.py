"""A search that waits for a person, who answers on its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from ui import CONTROLS, Api, Fields, Ui, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_a_person_approves_another_candidate_on_the_page(
    ui: Ui, api: Api, served: str, tmp_path: Path
) -> None:
    """The paused run shows the question, a table and a form; what is filled in comes of it."""
    load_iris(as_frame=True).frame.to_parquet(tmp_path / "flowers.parquet")
    asked = {
        "estimator": {"class": "sklearn.neighbors.KNeighborsClassifier"},
        "param_grid": {"n_neighbors": [1, 9, 25]},
        "X": str(tmp_path / "flowers.parquet"),
        "y": "target",
        "cv": 3,
        "store": str(tmp_path / "store"),
        "n_workers": 1,
        "approve": 600,
        "name": "flowers to approve",
    }
    run = api.post(f"/deployments/{served}/create_flow_run", parameters=asked)["id"]
    until(lambda: api.flow_run(run)["state_type"] == "PAUSED", "the question", 150)
    ui.open(f"/runs/flow-run/{run}", "Paused")
    ui.page.get_by_role("button", name="Resume").click()
    ui.shows("Shall this candidate be fitted on all rows, or another one?")
    rows = [row.split() for row in ui.page.locator(".p-modal table tr").all_inner_texts()]
    assert [row[0] for row in rows] == ["candidate", "1", "2", "3"]
    assert sorted(row[2] for row in rows[1:]) == ["n_neighbors=1", "n_neighbors=25", "n_neighbors=9"]
    form = Fields(ui)
    for name in ("Decision", "Candidate", "Note"):
        assert form.field(name).locator(CONTROLS).count(), name
    ui.picture("approval", 900)

    def answered() -> bool:
        """Whether the answer has arrived; the server says "later" while its database is locked."""
        if not ui.page.locator(".p-modal").is_visible():
            ui.page.get_by_role("button", name="Resume").click()
        form.write("Candidate", "2")
        form.write("Note", "Ada: as good, and simpler")
        with ui.page.expect_response(lambda response: response.url.endswith("/resume")) as answer:
            form.send()
        return answer.value.ok

    until(answered, "the answer")
    until(lambda: api.flow_run(run)["state_type"] == "COMPLETED", "the model", 120)
    ui.open(f"/runs/flow-run/{run}", "Completed")
    ui.tab("Task Runs", "best · all rows")
    report = api.artifacts(run)["report"]["data"]
    assert "A person chose candidate 2 of the list" in report
    assert "Ada: as good, and simpler" in report
    assert ui.problems == []
