"""Searches in signed stores: models are kept, a wrong key knows nothing, and keys are seen nowhere."""

from __future__ import annotations

import json
import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
from cli_here import call_cli
from distributed.deploy.spec import SpecCluster
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.settings import PREFECT_API_URL, temporary_settings
from seen import run_id, see_run
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from prefect_tune import grid_search
from prefect_tune.blocks import StepStore as StepStoreBlock
from prefect_tune.errors import UserError
from prefect_tune.flows.cli.access import access_checks
from prefect_tune.flows.places import require_models
from prefect_tune.model import load_model
from prefect_tune.store import StepStore, StoreWarning, open_store_at
from prefect_tune.store.keys import KEYS_FILE

ONE, TWO = f"one:{'c0ffee11' * 8}", f"two:{'deadbe22' * 8}"
X, Y = load_iris(return_X_y=True, as_frame=True)
PIPE = make_pipeline(StandardScaler(), SVC())
GRID = {"svc__C": [0.1, 1.0]}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that everybody can write in."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def search(store: Any, cluster: SpecCluster) -> Any:
    return grid_search(PIPE, GRID, X, Y, cv=3, store=store, cluster=cluster.scheduler_address, verbose=0)


def test_a_search_in_a_signed_store(shared: Path, prefect_api: str, dask_threads: SpecCluster) -> None:
    """Frames and models are kept where others can write; the second run knows all. With another key nothing
    is known, and what is computed then is known to that key."""
    first = search(open_store_at(shared, trust="signed", keys=ONE), dask_threads)
    assert first.cost.run > 0
    best = load_model(first.model, store=open_store_at(shared, trust="signed", keys=ONE))
    assert len(best.predict(X)) == len(X)
    again = search(open_store_at(shared, trust="signed", keys=f"{TWO} {ONE}"), dask_threads)
    assert again.cost.run == 0
    scores = "mean_test_score"
    assert again.dataframe()[scores].tolist() == first.dataframe()[scores].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)  # that entries are not signed is said once
        other = search(open_store_at(shared, trust="signed", keys=TWO), dask_threads)
        assert (first.cost.known, other.cost.known) == (0, 0)
        assert other.cost.run > 0  # less than at first: these workers have some steps in memory
        assert search(open_store_at(shared, trust="signed", keys=TWO), dask_threads).cost.run == 0


def test_models_are_allowed_in_a_signed_store(shared: Path) -> None:
    """What a data-only store is refused for, a signed one may; the refusal names the way."""
    require_models(open_store_at(shared, trust="signed", keys=ONE), "they are to be kept")
    with pytest.raises(UserError, match=r"trust='signed'.*prefect-tune store key"):
        require_models(StepStore.open(shared), "they are to be kept")


def test_a_block_that_names_a_secret(
    shared: Path, prefect_api: str, dask_threads: SpecCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The store is found by its name, also by a copy of it in a worker; the key is in no parameter, pickle,
    task run, artifact or log."""
    Secret(value=f"{ONE}\n{TWO}").save("signing", overwrite=True)
    StepStoreBlock(root=str(shared), signing_key="secret/signing").save("signed", overwrite=True)
    with caplog.at_level(logging.DEBUG):
        result = search("step-store/signed", dask_threads)
    block = StepStoreBlock.load("signed")
    store = block.open()
    assert (store.trust, store._site.signer.ids) == ("signed", ("one", "two"))
    travelling = pickle.dumps(store)
    assert b"step-store/signed" in travelling
    seen = see_run(run_id(result), lambda seen: True)
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[seen.run.id])))
        document = client.read_block_document_by_name("signed", "step-store", include_secrets=True)
    shown = [repr(seen), repr(logs), document.model_dump_json(), caplog.text, repr(block), repr(store)]
    for text in [*shown, travelling.decode("latin-1")]:
        assert "c0ffee11" not in text
        assert "deadbe22" not in text
    from prefect_tune.store.store import _reopened

    _reopened.clear()  # as another process would see it
    assert pickle.loads(travelling)._site.signer.ids == ("one", "two")


def test_a_signing_key_that_is_none(shared: Path, prefect_api: str) -> None:
    """A block that is not there, or holds something else: the field is named, the value is not."""
    with pytest.raises(UserError, match=r"signing_key.*secret/nothing-here"):
        StepStoreBlock(root=str(shared), signing_key="secret/nothing-here").open()
    Secret(value="c0ffee11, but no key").save("no-key", overwrite=True)
    with pytest.raises(UserError, match="ID:KEY") as caught:
        StepStoreBlock(root=str(shared), signing_key="secret/no-key").open()
    assert "c0ffee11" not in str(caught.value)
    Secret(value=ONE).save("signing", overwrite=True)
    with pytest.raises(UserError, match="trust='signed'"):
        StepStoreBlock(root=str(shared), trust="data-only", signing_key="secret/signing").open()


def test_store_key_prints_a_key_that_works(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the command prints, a store takes."""
    assert not call_cli("store", "key", "--name", "ci")
    line = capsys.readouterr().out.strip()
    assert line.startswith("ci:")
    assert open_store_at(shared, keys=line)._site.signer.ids == ("ci",)
    assert call_cli("store", "key", "--name", "no name") == 2


# -- the doctor ----------------------------------------------------------------------------------------


def checks(place: Path) -> dict[str, str]:
    """Name of each check -> its level."""
    found = list(access_checks(str(place)))
    assert all(check.move for check in found if check.level != "ok")
    return {check.name: check.level for check in found}


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("http://127.0.0.1:4200/api", "ok"),
        ("http://localhost:4200/api", "ok"),
        ("https://prefect.example.org/api", "ok"),
        ("http://prefect.example.org:4200/api", "warn"),
        ("http://me:hush@10.0.0.5/api", "warn"),
    ],
)
def test_an_api_in_clear_is_a_warning(url: str, level: str, tmp_path: Path) -> None:
    """Plain HTTP beyond this machine; what stands before the @ is not repeated."""
    with temporary_settings({PREFECT_API_URL: url}):
        assert checks(tmp_path)["api access"] == level
        assert "hush" not in repr(list(access_checks(str(tmp_path))))


def test_a_store_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    """If all folders above let them in."""
    StepStore.open(tmp_path / "closed" / "store")
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "closed" / "store").chmod(0o755)
    assert checks(tmp_path / "closed" / "store")["store readers"] == "ok"
    parents = [folder.stat().st_mode & 0o001 for folder in tmp_path.parents]
    for mode in (0o755, 0o705, 0o750):
        (tmp_path / "closed").chmod(0o755)
        tmp_path.chmod(0o755)
        (tmp_path / "closed" / "store").chmod(mode)
        assert checks(tmp_path / "closed" / "store")["store readers"] == ("warn" if all(parents) else "ok")


def test_a_file_of_keys_that_others_can_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is missing, or holds no keys; a good one is told by the names of its keys alone."""
    file = tmp_path / "keys"
    monkeypatch.setenv(KEYS_FILE, str(file))
    assert checks(tmp_path)["signing keys"] == "warn"
    file.write_text(ONE)
    for mode, level in ((0o600, "ok"), (0o644, "warn"), (0o640, "warn")):
        file.chmod(mode)
        assert checks(tmp_path)["signing keys"] == level
        assert "c0ffee11" not in repr(list(access_checks(str(tmp_path))))
    file.chmod(0o600)
    file.write_text("nothing")
    assert checks(tmp_path)["signing keys"] == "warn"


def test_the_doctor_looks_at_access(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its document has these checks among the others."""
    StepStore.open(tmp_path / "store")
    call_cli("doctor", "--json", "--store", str(tmp_path / "store"))
    names = {check["name"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "store readers" in names
