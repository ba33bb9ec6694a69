"""The run form of every flow: what it shows, what it takes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from sklearn.datasets import load_iris
from ui import CONTROLS, Api, Form, Ui, as_read, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

ESTIMATOR = {"class": "sklearn.linear_model.SGDClassifier", "params": {"random_state": 0}}
GRID = {"alpha": [0.001, 0.1], "penalty": ["l1", "l2"]}
SPACE = {"alpha": {"scipy": "loguniform", "args": [0.0001, 1]}, "penalty": {"choice": ["l1", "l2"]}}


def estimator_of(space: str, value: Any = GRID) -> Callable[[Form], dict[str, Any]]:
    """Fills what every search of an estimator needs, and some more; gives what is to arrive."""

    def fill(form: Form) -> dict[str, Any]:
        form.write_json("estimator", ESTIMATOR)
        form.write_json(space, value)
        form.write("X", "parquet-data/flowers")
        form.write("y", "target", tab="column")
        form.write("scoring", "accuracy", tab="name")
        form.write("cv", "3", tab="folds")
        asked = {"estimator": ESTIMATOR, space: value, "X": "parquet-data/flowers", "y": "target"}
        return {**asked, "scoring": "accuracy", "cv": 3}

    return fill


def of_tune(form: Form) -> dict[str, Any]:
    """The same for `tune`."""
    form.write("objective", "trials.train:loss", tab="function")
    form.write_json("space", SPACE)
    form.pick("schedule", "asha", tab="name")
    form.write("n_trials", "20", tab="int")
    return {"objective": "trials.train:loss", "space": SPACE, "schedule": "asha", "n_trials": 20}


def of_spec(form: Form) -> dict[str, Any]:
    """The same for a saved search."""
    form.write("spec", "search-spec/nightly")
    form.write_json("overrides", {"seed": 1}, tab="JSON")
    return {"spec": "search-spec/nightly", "overrides": {"seed": 1}}


FLOWS = {
    "search.grid_search": estimator_of("param_grid"),
    "search.randomized_search": estimator_of("param_distributions"),
    "halving.halving_grid_search": estimator_of("param_grid"),
    "halving.halving_randomized_search": estimator_of("param_distributions"),
    "adaptive.successive_halving_search": estimator_of("parameters", SPACE),
    "adaptive.hyperband_search": estimator_of("parameters", SPACE),
    "adaptive.incremental_search": estimator_of("parameters", SPACE),
    "adaptive.inverse_decay_search": estimator_of("parameters", SPACE),
    "tuning.tune": of_tune,
    "saved_search.search_from_spec": of_spec,
}


def schema_of(flow: str) -> dict[str, Any]:
    """The JSON schema that the form is made of."""
    found = load_flow_from_entrypoint(f"prefect_tune.flows.{flow}", use_placeholder_flow=False)
    return parameter_schema(found).model_dump(mode="json")


def deployed(api: Api, flow: str) -> str:
    """The id of a deployment of the flow, which nobody serves."""
    name = flow.rpartition(".")[2]
    made = api.post("/flows/", name=name)
    deployment = api.post(
        "/deployments/",
        name=f"form {name}",
        flow_id=made["id"],
        entrypoint=f"prefect_tune.flows.{flow}",
        parameter_openapi_schema=schema_of(flow),
        enforce_parameter_schema=True,
    )
    return deployment["id"]


@pytest.mark.parametrize("flow", FLOWS)
def test_the_form_shows_every_parameter_and_submits(ui: Ui, api: Api, flow: str) -> None:
    """Every parameter has its name, its help and a control; what is filled in arrives in the run."""
    form = Form(ui, deployed(api, flow))
    for name, wanted in schema_of(flow)["properties"].items():
        field = form.field(name)
        assert field.count() == 1, name
        assert as_read(wanted["description"]) in as_read(field.inner_text()), name
        assert field.locator(CONTROLS).count(), name
    asked = FLOWS[flow](form)
    assert ui.problems == []
    if flow == "search.grid_search":
        ui.picture("form", 1000)
    run = api.flow_run(form.submit())
    assert {name: run["parameters"].get(name) for name in asked} == asked
    assert ui.problems == []


@pytest.mark.parametrize("flow", ["search.grid_search", "tuning.tune"])
def test_the_second_ui_shows_the_form_too(ui: Ui, api: Api, flow: str) -> None:
    """Prefect's newer UI shows the same parameters with the same help."""
    ui.open(f"/v2/deployments/deployment/{deployed(api, flow)}/run", "0 is silent")
    text = as_read(ui.text())
    for name, wanted in schema_of(flow)["properties"].items():
        assert as_read(wanted["description"]) in text, name
    assert ui.problems == []


def test_the_form_refuses_what_its_schema_can_judge(ui: Ui, api: Api) -> None:
    """What is missing, no JSON or of another type is refused in the form, with the reason; no run is made."""
    form = Form(ui, deployed(api, "search.grid_search"))
    form.write_json("estimator", '"sklearn.svm.SVC"')
    form.write_json("param_grid", "{'C': [1]}")
    form.send()
    ui.shows("'sklearn.svm.SVC' is not of type 'object'")
    ui.shows("Invalid JSON")
    assert ui.page.url.endswith("/run")
    form.write_json("estimator", ESTIMATOR)
    form.write_json("param_grid", GRID)
    form.send()
    ui.shows("'X' is a required property")


def ask(form: Form, folder: Path, grid: dict[str, Any], name: str) -> None:
    """Fills the form of a small search over iris."""
    load_iris(as_frame=True).frame.to_parquet(folder / "flowers.parquet")
    form.write_json("estimator", ESTIMATOR)
    form.write_json("param_grid", grid)
    form.write("X", str(folder / "flowers.parquet"))
    form.write("y", "target", tab="column")
    form.write("cv", "3", tab="folds")
    form.write("store", str(folder / "store"), tab="place or block")
    form.write("n_workers", "1", tab="int")
    form.write("name", name)


def test_a_search_runs_from_the_form(ui: Ui, api: Api, served: str, tmp_path: Path) -> None:
    """What is submitted runs to its end; an unknown parameter fails before any task, and says what it is."""
    form = Form(ui, served)
    ask(form, tmp_path, {"alfa": [0.1]}, "asked wrongly")
    wrong = form.submit()
    form = Form(ui, served)
    ask(form, tmp_path, GRID, "asked in a form")
    right = form.submit()

    def ended(run: str) -> bool:
        return api.flow_run(run)["state_type"] in ("COMPLETED", "FAILED", "CRASHED")

    until(lambda: ended(wrong) and ended(right), "both searches", 150)
    ui.open(f"/runs/flow-run/{right}", "Completed")
    ui.shows("of 4 candidates in")
    assert len(json.loads(api.artifacts(right)["leaderboard"]["data"])) == 4
    ui.open(f"/runs/flow-run/{wrong}", "Failed")
    ui.tab("Details", "State Message")
    ui.tab("See More", "UnknownParameter")
    ui.shows("Did you mean 'alpha'?")
    assert api.task_runs(wrong) == []


def test_the_server_refuses_what_the_form_would(api: Api) -> None:
    """A run that is made without the form is judged by the same schema."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        api.post(
            f"/deployments/{deployed(api, 'adaptive.hyperband_search')}/create_flow_run",
            parameters={"estimator": ESTIMATOR, "parameters": SPACE, "X": "flowers.parquet", "max_iter": 0},
        )
    assert "0 is less than the minimum of 1" in refused.value.response.text
