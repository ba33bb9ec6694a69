"""The command line: searches from a file, exit codes, help, and the console script itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_here import GRID, asked_of, call_cli, spec_file
from distributed.deploy.spec import SpecCluster

from prefect_tune.store import StepStore

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def asked(dask_threads: SpecCluster, tmp_path: Path) -> dict[str, Any]:
    """A search in JSON."""
    return asked_of(tmp_path, dask_threads.scheduler_address)


def test_cli_plans_and_runs(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`plan` counts the steps without running any; after `run` all are known."""
    path = str(spec_file(tmp_path, asked))
    assert call_cli("plan", path, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    steps = 3 * (2 + 3 * 2)  # folds × (scaler on both sides, three fits with their scores)
    facts = {"candidates": 3, "folds": 3, "distinct_steps": steps, "known": 0, "to_run": steps}
    assert {name: plan[name] for name in facts} == facts
    assert plan["seconds_of_work"] is None
    assert call_cli("run", path) == 0
    capsys.readouterr()
    assert call_cli("plan", path, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["known"], plan["to_run"]) == (steps, 0)
    assert call_cli("plan", path) == 0
    assert str(steps) in capsys.readouterr().out


def test_cli_runs_a_randomized_search(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`param_distributions` in the file makes it a randomized search, with its table at the end."""
    asked = {name: value for name, value in asked.items() if name != "param_grid"}
    path = spec_file(tmp_path, asked, param_distributions=GRID, n_iter=2, random_state=0, verbose=2)
    assert call_cli("plan", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["candidates"] == 2
    assert call_cli("run", str(path)) == 0
    shown = capsys.readouterr()
    assert "2 candidates" in shown.out + shown.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"param_grid": {"clf__depht": [1]}}, "depht"),
        ({"X": "nowhere.parquet"}, "nowhere.parquet"),
        ({"y": "colour"}, "colour"),
        ({"estimator": {"class": "sklearn.svm.SVX"}}, "SVX"),
        ({"estimator": {"class": "no_such_package.Model"}}, "no_such_package"),
        ({"param_distributions": {}}, "param_grid"),
        ({"cv_folds": 3}, "cv_folds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_cli_reports_a_mistake(
    command: str, change: dict, says: str, asked: dict, tmp_path: Path, capsys: Any
) -> None:
    """A user's mistake ends with exit code 2 and one line that names it, without a traceback."""
    path = spec_file(tmp_path, asked, **change)
    assert call_cli(command, str(path)) == 2
    shown = capsys.readouterr().err
    assert says in shown
    assert "Traceback" not in shown


def test_cli_needs_a_file_that_can_be_read(tmp_path: Path, capsys: Any) -> None:
    """A spec that is not there, or is no YAML, is the user's mistake as well."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("estimator: [")
    assert call_cli("plan", str(tmp_path / "none.yaml")) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert call_cli("run", str(broken)) == 2
    assert "YAML" in capsys.readouterr().err


def test_console_script(asked: dict, tmp_path: Path) -> None:
    """The installed command does what the module does."""
    script = Path(sys.executable).with_name("prefect-tune")
    path = spec_file(tmp_path, asked)
    ended = subprocess.run([script, "plan", path, "--as-json"], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["candidates"] == 3


def tuned(asked: dict[str, Any]) -> dict[str, Any]:
    """A search over an objective in JSON, in the same place."""
    here = {name: asked[name] for name in ("store", "cluster", "verbose")}
    space = {"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}}
    search = {"objective": "objectives:epochs", "space": space, "n_trials": 4, "sampler": "random"}
    return {**search, "schedule": "asha", "max_resource": 9, **here}


def test_cli_plans_and_runs_a_search_over_an_objective(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`plan` says what is to be started and what comes first; after `run` nothing is left."""
    path = tmp_path / "tune.yaml"
    path.write_text(yaml.safe_dump(tuned(asked)))
    assert call_cli("plan", str(path), "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["trials_to_start"], plan["trials_so_far"], plan["units_at_most"]) == (4, 0, 36)
    assert plan["next"][0] == {"x": 0.5, "y": 0.5}
    assert call_cli("run", str(path)) == 0
    capsys.readouterr()
    assert call_cli("plan", str(path), "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["trials_to_start"] == 0
    assert sum(plan["trials_so_far"][0].values()) == 4
    assert plan["units_trained"] > 4
    path.write_text(yaml.safe_dump({**tuned(asked), "sched": "asha"}))
    assert call_cli("plan", str(path)) == 2
    assert "Did you mean 'schedule'" in capsys.readouterr().err


def test_run_prints_its_result_as_json(asked: dict, tmp_path: Path, capsys: Any) -> None:
    """`run --json` prints one document and nothing else: the best, the leaderboard, the run's id."""
    assert call_cli("run", str(spec_file(tmp_path, asked, verbose=2)), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best_params"]["clf__n_neighbors"] in GRID["clf__n_neighbors"]
    assert [row["rank"] for row in told["leaderboard"]] == sorted(row["rank"] for row in told["leaderboard"])
    assert len(told["run"]) == 36


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "nonsense"),
        (["plan"], "--spec requires an argument"),
        (["show", "--limit", "many"], "many"),
        (["store", "gc", "--older-than", "soon"], "soon"),
        (["store", "gc", "--yes", "--dry-run"], "--dry-run"),
        (["store", "gc", "--grace", "5m"], "an hour"),
        (["store", "ls", "--store", "no/such/folder"], "no/such/folder"),
        (["show", "no such search"], "no such search"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list, says: str, capsys: Any) -> None:
    """What cannot be understood or found ends with 2 and says so on stderr, without a traceback."""
    assert call_cli(*arguments) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert told.startswith("prefect-tune: ")


COMMANDS = [
    "",
    "plan",
    "run",
    "show",
    "doctor",
    "store",
    *(f"store {n}" for n in ("ls", "du", "verify", "gc", "why")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_parameter(command: str, capsys: Any) -> None:
    """`--help` of each command ends with 0 and lists it with a sentence for each of its options."""
    assert call_cli(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert f"prefect-tune {command}".strip() in shown
    assert "Exit codes" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_where_the_shell_looks(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--install-completion` writes a script below the home folder that knows the commands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert call_cli("--install-completion", "--shell", shell) == 0
    files = [file for file in tmp_path.rglob("*") if file.is_file() and "prefect-tune" in file.name]
    written = "".join(file.read_text() for file in files)
    assert "doctor" in written
    assert "verify" in written


@pytest.mark.parametrize("command", ["--version", "--help", "store why --help", "store ls", "store du"])
def test_what_needs_no_engine_loads_none(command: str, tmp_path: Path) -> None:
    """The version, help, and a look into a store in a folder import no Prefect, Dask or scikit-learn."""
    StepStore.open(tmp_path / "store")
    program = (
        "import sys\nfrom prefect_tune.flows.cli import main\nmain(sys.argv[1:])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()], capture_output=True, text=True, check=True,
        env={**os.environ, "PREFECT_TUNE_STORE": str(tmp_path / "store")},
    )  # fmt: skip
    heavy = {"prefect", "prefect_dask", "dask", "distributed", "sklearn", "scipy", "pandas", "pyarrow"}
    assert heavy & set(done.stderr.split()) == set()
    assert done.stdout.strip()
