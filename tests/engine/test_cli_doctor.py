"""`prefect-tune doctor`: each thing that can be wrong is found, named, and comes with a next move."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from cli_here import call_cli
from distributed.deploy.spec import SpecCluster
from packaging.requirements import Requirement
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED, temporary_settings

from prefect_tune.flows.cli import checks, cluster
from prefect_tune.store import StepStore


@pytest.fixture
def diagnose(capsys: Any, tmp_path: Path) -> Any:
    """(exit code, name -> check) of the doctor, on a store of the test's own."""

    def run(*arguments: str, store: Path = tmp_path / "store") -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = call_cli("doctor", "--json", "--store", str(store), *arguments)
        told = json.loads(capsys.readouterr().out)
        assert code == (1 if told["verdict"] == "fail" else 0)
        for check in told["checks"]:
            assert check["level"] == "ok" or check["move"]
        return code, {check["name"]: check for check in told["checks"]}

    return run


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def test_all_is_well(diagnose: Any, prefect_api: str, dask_threads: SpecCluster, tmp_path: Path) -> None:
    """A running API, a store of one's own and a cluster of this process: nothing fails."""
    StepStore.open(tmp_path / "store")
    code, found = diagnose("--cluster", dask_threads.scheduler_address)
    assert code == 0
    for name in ("prefect api", "api version", "store", "store trust", "store leftovers", "dask scheduler",
                 "dask access", "dask versions", "python", "fastapi"):  # fmt: skip
        assert found[name]["level"] == "ok", found[name]
    assert "2 workers" in found["dask scheduler"]["found"]


def test_doctor_prints_for_people(prefect_api: str, capsys: Any, tmp_path: Path) -> None:
    """One line for all packages that fit, one for each other check; no store is created."""
    assert call_cli("doctor", "--store", str(tmp_path / "none")) == 0
    out = capsys.readouterr().out
    assert "fit their declared bounds" in out
    assert "will be created" in out
    assert not (tmp_path / "none").exists()


def test_every_dependency_is_looked_at(diagnose: Any, prefect_api: str) -> None:
    """Each package that prefect-tune asks for has a line; developers' tools have none."""
    wanted = [Requirement(text) for text in importlib.metadata.requires("prefect-tune") or ()]
    needed = {requirement.name for requirement in wanted if requirement.marker is None}
    _, found = diagnose()
    assert needed <= set(found)
    assert "pytest" not in found


def test_a_version_out_of_bounds_fails(
    diagnose: Any, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FastAPI with which Prefect's server cannot be imported, and a package that is missing."""
    real = checks._installed
    wrong = {"fastapi": "0.151.0", "blake3": ""}
    monkeypatch.setattr(checks, "_installed", lambda name: wrong.get(name, real(name)))
    code, found = diagnose()
    assert code == 1
    assert found["fastapi"]["level"] == found["blake3"]["level"] == "fail"
    assert found["fastapi"]["move"] == "pip install 'fastapi<0.151'"


def test_an_api_that_does_not_answer(diagnose: Any) -> None:
    """Its address is named without what stands before the @."""
    url = f"http://me:hush@127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        code, found = diagnose()
    assert code == 1
    assert "does not answer" in found["prefect api"]["found"]
    assert "hush" not in json.dumps(found)


@pytest.mark.parametrize(("allowed", "level"), [(True, "warn"), (False, "fail")])
def test_no_api_at_all(allowed: bool, level: str, diagnose: Any) -> None:
    """Temporary servers are a hint at most; without them nothing can run."""
    with temporary_settings({PREFECT_SERVER_EPHEMERAL_ENABLED: allowed}, restore_defaults={PREFECT_API_URL}):
        _, found = diagnose()
    assert found["prefect api"]["level"] == level


def test_a_cluster_that_does_not_answer(diagnose: Any, prefect_api: str) -> None:
    """An address where nobody listens fails; one that is no address fails too."""
    for address in (f"tcp://127.0.0.1:{free_port()}", "nonsense://x"):
        code, found = diagnose("--cluster", address)
        assert code == 1
        assert found["dask scheduler"]["level"] == "fail"


@pytest.mark.parametrize(
    ("address", "level"),
    [
        ("tcp://127.0.0.1:8786", "ok"),
        ("tcp://[::1]:8786", "ok"),
        ("inproc://10.0.0.5/1/2", "ok"),
        ("tls://10.0.0.5:8786", "ok"),
        ("tcp://10.0.0.5:8786", "warn"),
        ("ucx://10.0.0.5:8786", "warn"),
    ],
)
def test_an_open_scheduler_is_a_warning(address: str, level: str) -> None:
    """Bound beyond this machine without TLS: whoever reaches it runs code."""
    assert cluster._openness(address).level == level


def test_unequal_versions_on_workers_are_named() -> None:
    """A worker with another scikit-learn is a warning, one without prefect-tune a failure."""

    class Client:
        def get_versions(self, packages: list[str]) -> dict[str, Any]:
            here = {"python": "3.12.1", "sklearn": "1.9.1", "prefect_tune": "0.1.0"}
            there = {"python": "3.12.9", "sklearn": "1.8.0", "prefect_tune": None}
            return {
                "client": {"packages": here},
                "scheduler": {"packages": {"python": "3.12.1"}},
                "workers": {"tcp://w:1": {"packages": there}},
            }

    found = {check.name: check for check in cluster._versions(Client())}  # type: ignore[arg-type]
    assert {name: check.level for name, check in found.items()} == {
        "dask sklearn": "warn", "dask prefect_tune": "fail",
    }  # fmt: skip
    assert "1.8.0 on tcp://w:1, 1.9.1 here" in found["dask sklearn"].found


def test_trouble_of_a_store_is_told(diagnose: Any, prefect_api: str, tmp_path: Path) -> None:
    """A damaged FORMAT fails; a folder others can write in and old leftovers are warnings."""
    root = tmp_path / "store"
    StepStore.open(root)
    (root / "tmp" / "run-dead").mkdir()
    os.utime(root / "tmp" / "run-dead", (1, 1))
    root.chmod(0o777)
    _, found = diagnose()
    assert (found["store trust"]["level"], found["store leftovers"]["level"]) == ("warn", "warn")
    (root / "FORMAT").chmod(0o600)
    (root / "FORMAT").write_text("{")
    code, found = diagnose()
    assert code == 1
    assert "FORMAT" in found["store"]["found"]
