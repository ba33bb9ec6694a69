"""The examples and the deployment file, as their readers use them."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
import yaml
from prefect import Flow
from prefect.events import DeploymentTriggerTypes
from prefect.flows import load_flow_from_entrypoint
from pydantic import TypeAdapter
from sklearn.datasets import make_classification

import prefect_tune
from prefect_tune.flows.saved_search import search_from_spec

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


# Arguments that make an example small enough for every test run.
SMALL = {"05_flights": ["--months", "3", "--rows", "900", "--chunks", "3"]}
# These start processes of their own, or end with what they have started; the others share an API and workers.
ALONE = ("05_flights", "06_fan_out")
# Each as a program, with a folder and a store of its own; what it prints goes into a file beside the folder.
RUN = """
import contextlib, os, runpy, sys, traceback
for script in sys.argv[2:]:
    folder = os.path.join(sys.argv[1], os.path.splitext(os.path.basename(script))[0])
    os.mkdir(folder)
    os.chdir(folder)
    os.environ["PREFECT_TUNE_STORE"] = folder + "-store"
    with open(folder + ".out", "w") as out, contextlib.redirect_stdout(out):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit:
            pass
        except Exception:
            traceback.print_exc(file=out)
"""


def run(command: list[str], folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """A Python program that has ended, in that folder and with a Prefect home of its own."""
    environment = {**os.environ, "PREFECT_HOME": str(home)}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]) -> Path:
    """The folder with what the examples printed that share a process."""
    folder = tmp_path_factory.mktemp("examples")
    scripts = [str(script) for script in EXAMPLES if script.stem not in ALONE]
    done = run(["-c", RUN, str(folder), *scripts], folder, prefect_home(folder / "home"))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.cluster
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(
    script: Path, tmp_path: Path, prefect_home: Callable[[Path], Path], request: pytest.FixtureRequest
) -> None:
    """Each example runs in an empty folder, and shows that a wider or longer search runs less."""
    if script.stem in ALONE:
        done = run([str(script), *SMALL.get(script.stem, [])], tmp_path, prefect_home(tmp_path / "home"))
        assert done.returncode == 0, done.stderr[-3000:]
        printed = done.stdout
    else:
        printed = (request.getfixturevalue("together") / f"{script.stem}.out").read_text(encoding="utf-8")
    if script.stem == "01_digits":
        found = re.search(r"steps run: (\d+) the first time, (\d+) the second; (\d+) of (\d+)", printed)
        assert found is not None, printed
        first, second, known, distinct = map(int, found.groups())
        # 5 folds of: scale, 3 PCAs, on two sides; 15 fits and their scores. Then one PCA and 5 fits more.
        assert first == 5 * (2 + 3 * 2 + 15 * 2)
        assert second == 5 * (2 + 5 * 2)
        assert (known, distinct) == (first, first + second)
    if script.stem == "02_hyperband":
        found = re.search(
            r"calls run: 69 the first time, (\d+) the second \(22 of 22 .*; (\d+) of 357", printed
        )
        assert found is not None, printed
        second, longer = map(int, found.groups())
        assert second == 0
        assert 357 - 69 <= longer < 357
    if script.stem == "03_tune":
        found = re.search(
            r"trained: (\d+) for 15 configurations, (\d+) for 30 .*: 810\); then (\d+) more, and (\d+) were",
            printed,
        )
        assert found is not None, printed
        first, more, longer, known = map(int, found.groups())
        assert 15 <= first < more < 810
        # Three configurations to 81 epochs, from what the search before had trained of them: at most 27 each.
        assert longer + known == 3 * 81
        assert 3 <= known <= 3 * 27
    if script.stem == "04_torch":
        if "Skipped: " in printed:
            pytest.skip(printed.strip())
        found = re.search(r"trained: (\d+) for 8 configurations, (\d+) for 16 .*: 144\)", printed)
        assert found is not None, printed
        first, more = map(int, found.groups())
        assert 8 <= first < more < 144
    if script.stem == "05_flights":
        rows = dict(re.findall(r"^│ ([a-z, ]+?) +│ (.*?) *│$", printed, re.MULTILINE))
        calls, planned, refit = (
            [int(part) for part in rows[name].split("│")]
            for name in ("training calls run", "of", "calls of the refit")
        )
        # Three brackets: 9 and 5 and 3 candidates, up to 9 and then 12 calls; see the plan of Hyperband.
        assert planned == [69, 85]
        # New are 3 calls to 12 for each that gets that far, 1 to the rung that has moved from 3 to 4, and
        # what candidates train that only the second run has promoted: 8 calls at most.
        assert calls[0] == 69
        assert 3 * 3 + 5 + 3 <= calls[1] <= 3 * 3 + 5 + 8
        # The months that were held back are trained on at last, and what a bracket ended before.
        assert refit[0] == 2 * 3
        assert refit[1] in (2 * 3, 3 * 3)
        exam, table = ([float(part) for part in rows[n].split("│")] for n in ("exam", "exam, by a table"))
        assert all(model > other + 0.02 for model, other in zip(exam, table, strict=True))
        model = load_model(tmp_path / re.search(r"model: (.*)", printed)[1])
        month = pd.read_parquet(tmp_path / "flights" / "monthly" / "2013-12.parquet")
        assert model.predict_proba(month).shape == (900, 2)
        assert "data:image/png" in (tmp_path / "flights" / "model" / "card.md").read_text(encoding="utf-8")
    if script.stem == "06_fan_out":
        rows = re.findall(r"^(linear|kernel|trees)(, closer)? +(\S+) +(\d+) +(\d+)$", printed, re.MULTILINE)
        steps = {(name, bool(closer)): (int(run), int(known)) for name, closer, _, run, known in rows}
        # 3 folds of: scale and PCA, on two sides; 4 fits and their scores. The preparation is shared by all.
        assert sorted(steps[name, False] for name in ("linear", "kernel", "trees")) == [
            (24, 12),
            (24, 12),
            (36, 0),
        ]
        # The deployment is a process of its own; of its 12 candidates 4 are known.
        assert steps[next(key for key in steps if key[1])] == (48, 36)
    assert Path(printed.split("report: ")[-1].strip()).is_file()


def load_model(file: Path) -> Any:
    """The published model, by skops or joblib."""
    if file.suffix == ".skops":
        from skops.io import get_untrusted_types, load

        assert get_untrusted_types(file=file) == []
        return load(file)
    return joblib.load(file)


def write_tables(folder: Path) -> None:
    """Nothing; the files that the deployments name are there, small."""
    X, y = make_classification(240, 4, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(target=y)
    frame.to_parquet(folder / "table.parquet")
    for name, first, last in (("events", 0, 180), ("held-out", 180, 240)):
        (folder / name).mkdir()
        for start in range(first, last, 30):
            frame[start : start + 30].to_parquet(folder / name / f"{start:03d}.parquet")


def test_deployment_file_describes_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entrypoints load, and what each is given passes every check that a search makes before it runs."""
    entries = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))[
        "deployments"
    ]
    write_tables(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = set()
    for entry in entries:
        flow = load_flow_from_entrypoint(entry["entrypoint"])
        bound = inspect.signature(flow.fn).bind(**entry["parameters"])
        bound.apply_defaults()
        assert json.loads(json.dumps(entry["parameters"])) == entry["parameters"]
        search = flow.ready(flow.kind, {**bound.arguments, "store": str(tmp_path / "store")})
        assert search.settings.space.leaves if flow.kind == "tune" else search.spec.candidates
        names.add(flow.name)
    assert {"grid-search", "hyperband-search", "successive-halving-search", "tune"} <= names
    # One by the clock, one by an event, others by hand; of each study one run at a time.
    assert [entry["name"] for entry in entries if entry.get("schedules")] == ["nightly"]
    assert [entry["name"] for entry in entries if entry.get("triggers")] == ["on-new-data"]
    assert all(entry["concurrency_limit"]["limit"] == 1 for entry in entries)
    for entry in entries:
        for trigger in entry.get("triggers", ()):
            assert TypeAdapter(DeploymentTriggerTypes).validate_python(trigger).expect


def test_automations_watch_every_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script of automations names every flow of the package that can be deployed, and no other."""
    monkeypatch.syspath_prepend(ROOT / "deployments")
    import automations

    public = [getattr(prefect_tune, name) for name in prefect_tune.__all__]
    ours = {found.name for found in [*public, search_from_spec] if isinstance(found, Flow)}
    assert set(automations.FLOWS) == ours
