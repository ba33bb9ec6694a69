"""Searches whose store is a bucket, on a real server of the S3 protocol, by real worker processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Nanny, Scheduler
from distributed.deploy.spec import SpecCluster
from prefect.client.orchestration import get_client
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prefect_tune import grid_search, hyperband_search, tune
from prefect_tune.errors import UserError
from prefect_tune.space import uniform
from prefect_tune.store import MissingBlob, Record, StepStore, StoreWarning, open_store_at
from prefect_tune.store.remote.s3 import S3Bucket
from prefect_tune.store.remote.sources import Options
from prefect_tune.store.remote.urls import parse_url

sys.path.append(str(Path(__file__).parent))
from counted import X_y, lines
from paced import Paced, table
from paced import rows as paced_rows
from tuned import MOST, rows, train

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
KEY_ID, SECRET = "AKIATESTONLY0001", "only-for-tests-0123456789"
KEY = "ab" * 32


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of the server; the variables AWS_* lead there, in this process and its workers."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "s3_server.py"), KEY_ID, "searches"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_REGION", "us-east-1")
        yield url
    server.communicate()


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers do not see: there the driver's tiers lie."""
    return tmp_path_factory.mktemp("driver")


@pytest.fixture(scope="module")
def workers(endpoint: str, served_api: str, away: Path) -> Iterator[SpecCluster]:
    """Two worker processes of another host, with one tier of their own."""
    tier = away.parent / f"{away.name}-worker-tier"
    local = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    away_from = {
        "PREFECT_TUNE_CACHE": str(tier),
        "PREFECT_TUNE_TEST_AWAY": str(away) + os.sep,
        "PREFECT_API_URL": served_api,
        "PYTHONPATH": str(HERE),
    }
    nanny = {"nthreads": 1, "memory_limit": 0, "env": away_from, "preload": [str(HERE / "elsewhere.py")]}
    spec = {number: {"cls": Nanny, "options": {**nanny, **local}} for number in range(2)}
    scheduler = {"cls": Scheduler, "options": {"port": 0, **local}}
    with SpecCluster(workers=spec, scheduler=scheduler) as cluster:
        yield cluster


def store_at(url: str, tier: Path) -> Any:
    """The store with that tier, its pickles trusted: nobody else writes in this bucket."""
    return open_store_at(url, trust="local", cache=tier)


def test_a_grid_search_is_known_to_a_host_that_has_nothing(workers, away, served_api, tmp_path):
    """Workers of another host find the data and leave their steps; from an empty tier nothing runs again.

    And nowhere that others can look is a secret.
    """
    X, y = X_y()
    model = make_pipeline(StandardScaler(), LogisticRegression())
    asked = {"cv": 3, "name": "on s3", "cluster": workers, "verbose": 0}
    first = grid_search(
        model, {"logisticregression__C": [0.1, 1.0, 10.0]}, X, y,
        store=store_at("s3://searches/grid", away / "grid"), **asked,
    )  # fmt: skip
    assert first.cost.run > 0
    tier = away.parent / f"{away.name}-worker-tier"
    assert list(tier.glob("*/cas/**/*"))  # the workers had their own

    empty = store_at("s3://searches/grid", away / "empty")
    again = grid_search(model, {"logisticregression__C": [0.1, 1.0, 10.0]}, X, y, store=empty, **asked)
    assert again.cost.run == 0
    assert again.cost.known == first.cost.run
    assert list(again.cv_results["mean_test_score"]) == list(first.cv_results["mean_test_score"])
    assert again.model.store == "s3://searches/grid"
    assert again.load_best().score(X, y) > 0.9

    told = [pickle.dumps(empty), repr(empty).encode(), repr(vars(empty)).encode(), pickle.dumps(again)]
    told += [json.dumps(page, default=str).encode() for page in _everything(served_api)]
    assert b"s3://searches/grid" in told[-1] + told[-2] + b"".join(told)
    assert not [text for text in told if SECRET.encode() in text or KEY_ID.encode() in text]


def _everything(api: str) -> list[Any]:
    """Parameters, logs and artifacts of all runs that the API knows."""
    with get_client(sync_client=True) as client:
        ask = client._client.post
        return [
            ask(f"/{kind}/filter", json={"limit": 200}).json() for kind in ("flow_runs", "logs", "artifacts")
        ]


def test_tune_and_hyperband_go_on_from_an_empty_tier(workers, away, tmp_path):
    """A driver on another host has the journal, the decisions and the scores: nothing is trained again."""
    log = tmp_path / "log"
    asked = {"n_trials": 4, "sampler": "random", "schedule": {"asha": {"type": "promotion"}},
             "max_resource": MOST, "verbose": 0, "cluster": workers}  # fmt: skip
    space = {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0), "log": str(log)}
    url = "s3://searches/tune"
    first = tune(train, space, store=store_at(url, away / "tune-1"), **asked)
    ran = len(lines(log))
    assert ran
    again = tune(train, space, store=store_at(url, away / "tune-2"), **asked)
    assert rows(again) == rows(first)
    assert again.store == url
    assert len(lines(log)) == ran

    paced, calls = Paced(log=str(tmp_path / "paced")), {"rate": [0.1, 0.2, 0.3, 0.4]}
    asked = {"max_iter": 3, "chunk_size": 40, "random_state": 0, "verbose": 0, "cluster": workers}
    url = "s3://searches/hyperband"
    first = hyperband_search(paced, calls, *paced_rows(), store=store_at(url, away / "band-1"), **asked)
    ran = len(lines(tmp_path / "paced"))
    assert ran
    again = hyperband_search(paced, calls, *paced_rows(), store=store_at(url, away / "band-2"), **asked)
    assert table(again) == table(first)
    assert len(lines(tmp_path / "paced")) == ran


RACE = """
import sys, numpy as np
from prefect_tune.store import Record, open_store_at
store = open_store_at("s3://searches/race", trust="local", cache=sys.argv[1])
print("ready", flush=True); sys.stdin.readline()
for i in range(20):
    ours = Record(key=f"{i:064x}", kind="test", values={"by": sys.argv[2]})
    record = store.put(ours, {"out": np.full(3, int(sys.argv[2]))}, "ab12")
    print(record.values["by"], int(store.load(record, "out")[0]))
"""


def test_two_processes_that_put_the_same_keys_agree(endpoint, tmp_path):
    """Of two hosts that store a key at the same time one wins, and both go on with its bits."""
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path / name), name],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("1", "2")
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ends = [racer.communicate()[0].splitlines() for racer in racers]
    assert ends[0] == ends[1]
    assert len(ends[0]) == 20
    assert all(line.split()[0] == line.split()[1] for line in ends[0])


def test_an_object_that_was_changed_is_a_miss(endpoint, tmp_path):
    """The digest shows it before the bytes are used; large objects come in parts."""
    store = store_at("s3://searches/damage", tmp_path / "1")
    large = np.arange(5_000_000.0)
    record = store.put(Record(key=KEY, kind="test"), {"out": large, "small": np.zeros(3)}, "ab12")
    other = store_at("s3://searches/damage", tmp_path / "2")
    assert np.array_equal(other.load(other.get(KEY, "ab12"), "out"), large)
    bucket = S3Bucket(parse_url("s3://searches/damage"), Options(None))
    digest = record.outputs[0].digest.rpartition(":")[2]
    (blob := tmp_path / "blob").write_bytes(bytes(record.outputs[0].size))
    bucket.upload(f"cas/b3-256/{digest[:2]}/{digest}", blob)
    third = store_at("s3://searches/damage", tmp_path / "3")
    with pytest.warns(StoreWarning, match="digest is not its name"), pytest.raises(MissingBlob):
        third.load(third.get(KEY, "ab12"), "out")
    assert third.counters.corrupt == 1


def test_the_requests_do_what_the_store_takes_them_for(endpoint, tmp_path):
    """Each request of a bucket on the real protocol: what is absent, taken, changed meanwhile, listed."""
    bucket = S3Bucket(parse_url("s3://searches/requests"), Options(None))
    assert bucket.get("a/1", 10) is None
    assert bucket.size("a/1") is None
    assert bucket.create("a/1", b"one")
    assert not bucket.create("a/1", b"two")
    data, tag = bucket.get("a/1", 10)
    assert data == b"one"
    assert bucket.replace("a/1", b"three", tag)
    assert not bucket.replace("a/1", b"four", tag)
    assert bucket.size("a/1") == 5
    with pytest.raises(OSError, match="at most 2"):
        bucket.get("a/1", 2)
    bucket.create("ab/2", b"")
    assert [(entry.name, entry.size) for entry in bucket.entries("a/")] == [("a/1", 5)]
    assert bucket.entries("none/") == []
    bucket.delete(["a/1", "a/absent"])
    assert bucket.get("a/1", 10) is None


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        (
            "s3://searches/x",
            {"access_key_id": "AKIAWRONG", "secret_access_key": "geheim"},
            "access was refused",
        ),
        ("s3://no-such-bucket/x", {}, "there is no bucket 'no-such-bucket'"),
        ("s3://searches/x", {"endpoint_url": "http://example.invalid"}, "starts with http://"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(url, options, words, endpoint, tmp_path, monkeypatch):
    """Wrong credentials and missing buckets are an error, told without what was sent."""
    with pytest.raises(UserError, match=words) as caught:
        open_store_at(url, options=options, cache=tmp_path)
    assert not any(secret in str(caught.value) for secret in ("geheim", "AKIAWRONG"))
    for name, value in options.items():
        monkeypatch.setenv({"endpoint_url": "AWS_ENDPOINT_URL"}.get(name, f"AWS_{name.upper()}"), value)
    with pytest.raises(UserError, match=words):
        grid_search(LogisticRegression(), {"C": [1.0]}, *X_y(), store=url, verbose=0)


def test_options_are_enough(endpoint, tmp_path, monkeypatch):
    """With credentials given no variable is needed, and a copy that travels asks its source for them."""
    from prefect_tune.store.remote import register

    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    options = {"endpoint_url": endpoint, "access_key_id": KEY_ID, "secret_access_key": SECRET,
               "region": "us-east-1"}  # fmt: skip
    register("test-source", lambda name: {**options, "region": name})
    store = open_store_at("s3://searches/options", options=options, cache=tmp_path / "1",
                          source="test-source/us-east-1")  # fmt: skip
    store.put(Record(key=KEY, kind="test"), {"out": np.zeros(3)}, "ab12")
    assert StepStore.open("s3://searches/options") is store  # this process has said how to open it
    travelled = pickle.dumps(store)
    assert SECRET.encode() not in travelled
    from prefect_tune.store.remote import store as module

    monkeypatch.setattr(module, "_known", {})  # as in another process
    monkeypatch.setenv("PREFECT_TUNE_CACHE", str(tmp_path / "2"))
    copy = pickle.loads(travelled)
    assert copy.root != store.root
    assert np.array_equal(copy.load(copy.get(KEY, "ab12"), "out"), np.zeros(3))
