"""The examples and the deployment file, as their readers use them."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from prefect_tune.request import build_search
from prefect_tune.store import StepStore

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


@pytest.mark.cluster
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    """Each example runs in an empty folder and place; the first shows that a wider search runs less."""
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "home")}
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if script.stem == "01_digits":
        found = re.search(r"steps run: (\d+) the first time, (\d+) the second; (\d+) of (\d+)", done.stdout)
        assert found is not None, done.stdout
        first, second, known, distinct = map(int, found.groups())
        # 5 folds of: scale, 3 PCAs, on two sides; 15 fits and their scores. Then one PCA and 5 fits more.
        assert first == 5 * (2 + 3 * 2 + 15 * 2)
        assert second == 5 * (2 + 5 * 2)
        assert (known, distinct) == (first, first + second)
        assert Path(done.stdout.split("report: ")[-1].strip()).is_file()


def test_deployment_file_describes_searches(tmp_path: Path) -> None:
    """Entrypoints load, parameters are those of the flow, and their estimators and grids can be built."""
    entries = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))[
        "deployments"
    ]
    assert entries
    for entry in entries:
        flow = load_flow_from_entrypoint(entry["entrypoint"])
        inspect.signature(flow.fn).bind(**entry["parameters"])
        search = build_search("grid", entry["parameters"], StepStore.open(tmp_path / "store"))
        known = search.estimator.get_params(deep=True)
        assert set(search.param_grid) <= set(known)
