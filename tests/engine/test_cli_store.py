"""`prefect-tune store`: what lies there, what is damaged, what can go, and why two keys differ."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_here import GRID, call_cli
from distributed.deploy.spec import SpecCluster
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from prefect_tune import grid_search, hyperband_search, tune
from prefect_tune.store import StepStore
from prefect_tune.store.gc import removable, remove
from prefect_tune.store.inspect import records, searches, site_of

Ask = Callable[..., Any]


def question(**change: Any) -> dict[str, Any]:
    """A small search, with some of it changed."""
    X, y = load_iris(return_X_y=True)
    pipe = Pipeline([("scale", MinMaxScaler()), ("clf", KNeighborsClassifier())])
    return {"estimator": pipe, "param_grid": GRID, "X": X, "y": y, "cv": 3, "verbose": 0, **change}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of all searches of this module."""
    return tmp_path_factory.mktemp("shared") / "store"


@pytest.fixture(scope="module")
def ask(prefect_api: str, dask_threads: SpecCluster, root: Path) -> Ask:
    """Runs a search and gives what `store why` needs: its own key, then those of its scores."""

    def run(flow: Any = grid_search, *args: Any, store: Path = root, **asked: Any) -> list[str]:
        flow(*args, **asked, store=str(store), cluster=dask_threads.scheduler_address)
        note = searches(StepStore.open(store))[0]
        return [note.record.key, *(row[0] for row in note.document["scores"])]

    return run


@pytest.fixture(scope="module")
def base(ask: Ask) -> list[str]:
    """The keys of the search that others are compared with; the module's store has it."""
    return ask(**question(), name="flowers")


@pytest.fixture
def copy(base: list[str], root: Path, tmp_path: Path) -> Path:
    """A store of the test's own with that search."""
    left = [record for record in records(StepStore.open(root)) if record.kind == "search"]
    (run,) = [record.values["flow_run"] for record in left if record.key == base[0]]
    shutil.copytree(root, tmp_path / "store")
    others = [record.key for record in left if record.values["flow_run"] != run]
    StepStore.open(tmp_path / "store").release(others)
    return tmp_path / "store"


@pytest.fixture
def told(root: Path, capsys: Any) -> Callable[..., Any]:
    """What a `store` command says, as JSON."""

    def say(*arguments: str, code: int = 0, store: Path = root) -> Any:
        capsys.readouterr()
        assert call_cli("store", *arguments, "--json", "--store", str(store)) == code
        return json.loads(capsys.readouterr().out)

    return say


def changed_row() -> dict[str, Any]:
    X = load_iris().data.copy()
    X[7, 0] += 1e-9
    return {"X": X}


def scaled_otherwise() -> dict[str, Any]:
    return {"estimator": Pipeline([("scale", StandardScaler()), ("clf", KNeighborsClassifier())])}


def declared_otherwise() -> dict[str, Any]:
    clf = KNeighborsClassifier(weights="distance")
    return {"estimator": Pipeline([("scale", MinMaxScaler()), ("clf", clf)])}


CHANGES = {
    "parameter": (declared_otherwise, ["clf: parameter weights"], ["'uniform' against 'distance'"]),
    "class": (scaled_otherwise, ["class of scale"], ["MinMaxScaler", "StandardScaler"]),
    "data row": (changed_row, ["data X"], ["ndarray 150×4"]),
    "target": (lambda: {"y": 1 - load_iris().target}, ["data y"], ["ndarray 150"]),
    "cv": (lambda: {"cv": 5}, ["cv (which rows are in which fold)"], ["3 folds against 5 folds"]),
    "metric": (lambda: {"scoring": "f1_macro"}, ["metric score"], ["f1_score"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_why_names_the_one_thing_in_which_two_searches_differ(
    name: str, ask: Ask, base: list[str], told: Any
) -> None:
    """Two searches equal but for one thing: for the same candidate's first score `why` names that and
    nothing else. Compared as a whole the searches differ in the same, unless it is the estimator."""
    change, places, words = CHANGES[name]
    other = ask(**question(**change()))
    assert base[1] != other[1]
    found = told("why", base[1], other[1])["differences"]
    assert [line["place"] for line in found] == places
    assert all(word in f"{found[0]['left']} against {found[0]['right']}" for word in words)
    whole = [line["place"] for line in told("why", base[0], other[0])["differences"]]
    assert whole == ([] if "estimator" in change() else places)


def test_why_names_the_candidate_and_the_fold(base: list[str], told: Any) -> None:
    """Within one search: two candidates differ in their parameter, two folds in their rows."""
    candidates = told("why", base[1], base[4])["differences"]
    assert [str(line["place"]) for line in candidates] == ["clf: parameter n_neighbors"]
    assert (candidates[0]["left"], candidates[0]["right"]) == ("3", "5")
    folds = told("why", base[1], base[2])["differences"]
    assert {line["place"] for line in folds} == {"rows"}
    assert told("why", base[1], base[1][:12])["equal"] is True


def test_why_names_the_seed_of_seeded_steps(ask: Ask, told: Any) -> None:
    """Another seed changes the key of a forest without a seed of its own, and `why` says so."""
    forest = {"estimator": RandomForestClassifier(n_estimators=3), "param_grid": {"max_depth": [1]}}
    one, other = ask(**question(**forest)), ask(**question(**forest, seed=1))
    found = told("why", one[1], other[1])["differences"]
    assert [(line["place"], line["left"], line["right"]) for line in found] == [
        ("seed of the search", "0", "1")
    ]


def test_why_of_one_key_tells_what_it_is_made_of(base: list[str], told: Any, capsys: Any, root: Path) -> None:
    """The record, and the chain of steps up to the rows, what the candidate chose and the code's version."""
    found = told("why", base[1][:10])
    assert found["record"]["kind"] == "score"
    roles = ["score", "transform", "fit", "rows", "fit_transform", "rows"]
    assert [line["role"] for line in found["chain"]] == roles
    assert found["chain"][0]["params"] == {"n_neighbors": "3"}
    assert found["chain"][2]["code"].startswith("scikit-learn ")
    assert "flowers" in [search["name"] for search in found["searches"]]
    assert call_cli("store", "why", base[1], "--store", str(root)) == 0
    assert "clf (KNeighborsClassifier)" in capsys.readouterr().out
    assert call_cli("store", "why", "0" * 64, "--store", str(root)) == 2
    assert "knows no key" in capsys.readouterr().err


def test_why_knows_searches_in_rounds(ask: Ask, told: Any) -> None:
    """Scores after more training differ in how long was trained, those of candidates in the parameter."""
    X, y = load_iris(return_X_y=True)
    asked = {"max_iter": 9, "fit_params": {"classes": [0, 1, 2]}, "verbose": 0}
    ask(hyperband_search, SGDClassifier(random_state=0), {"alpha": [0.1, 0.01]}, X, y, **asked)
    note = searches(StepStore.open(told("ls")["store"]))[0]
    assert told("why", note.record.key)["facts"]["what"] == "rounds of partial_fit"
    scores = [row for row in note.document["scores"] if row[1] == "score"]
    first = scores[0]
    later = next(row for row in scores if row[2] == first[2] and row[3] != first[3])
    other = next(row for row in scores if row[2] != first[2] and row[3] == first[3])
    found = told("why", first[0], later[0])["differences"]
    assert [(d["place"], d["left"], d["right"]) for d in found] == [
        ("trained for", str(first[3]), str(later[3]))
    ]
    assert [d["place"] for d in told("why", first[0], other[0])["differences"]] == ["parameter alpha"]


def test_why_knows_searches_over_objectives(ask: Ask, told: Any) -> None:
    """Reports of two trials differ in their configuration."""
    space = {"x": {"uniform": [0.0, 1.0]}, "y": [1.0]}
    keys = ask(tune, "objectives:epochs", space, n_trials=2, sampler="random", max_resource=2, verbose=0)
    places = {line["place"] for line in told("why", keys[1], keys[-1])["differences"]}
    assert "objective: parameter x" in places


def test_nothing_secret_and_no_data_is_written(ask: Ask, tmp_path: Path) -> None:
    """The document holds names, short texts and digests: no array's numbers, no value named like a secret."""
    secret = {"estimator": Guarded(password="hunter2"), "param_grid": {"k": [[0.123456789] * 50]}}
    ask(**question(**secret), store=tmp_path / "store")
    document = json.dumps(searches(StepStore.open(tmp_path / "store"))[0].document)
    assert "hunter2" not in document
    assert "0.123456789" not in document
    assert "(hidden)" in document


class Guarded(KNeighborsClassifier):
    """An estimator with a secret."""

    cache_version = "1"

    def __init__(self, password: str = "", k: Any = None) -> None:
        super().__init__()
        self.password, self.k = password, k

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return ["k", "password"]


def test_ls_and_du_count_what_is_there(copy: Path, told: Any) -> None:
    """`ls` names the search with its run, `du` adds up to the bytes of the files, by area."""
    listed = told("ls", "--records", "5", store=copy)
    assert [entry["name"] for entry in listed["searches"]] == ["flowers"]
    assert len(listed["records"]) == 5
    used = told("du", store=copy)
    files = [path for path in copy.rglob("*") if path.is_file() and path.name != "FORMAT"]
    inside = [path.stat().st_size for path in files if "reports" not in path.parts]
    assert used["areas"]["total"] == {"files": len(inside), "bytes": sum(inside)}
    assert used["kinds"]["search"]["records"] == 2  # the search, and its model


def test_verify_finds_a_flipped_byte_and_puts_it_aside(
    copy: Path, base: list[str], ask: Ask, told: Any
) -> None:
    """Exit code 0 while all is well, 1 with the bad files named; after --quarantine the store verifies again,
    and the search finds or runs what it needs."""
    assert told("verify", store=copy)["bad"] == []
    blob = next(path for path in (copy / "cas").rglob("*") if path.is_file())
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    bad = told("verify", code=1, store=copy)["bad"]
    assert [problem["path"] for problem in bad] == [str(blob)]
    assert told("verify", "--quarantine", code=1, store=copy)["quarantined"] is True
    assert not blob.exists()
    assert told("verify", store=copy)["bad"] == []
    assert ask(**question(), store=copy)[1:] == base[1:]


def test_gc_lists_first_and_removes_only_what_is_old(copy: Path, told: Any) -> None:
    """Without --yes nothing goes. What a running search holds is younger than the grace: its scratch folder,
    the file it is writing and a blob that no record points to yet all stay."""
    store = StepStore.open(copy)
    old = [store.scratch("dead") / "search.pickle", copy / "quarantine" / "gone.1"]
    running = [store.scratch("busy") / "search.pickle", copy / "tmp" / "99-1-def"]
    for path in (*old, *running):
        path.write_bytes(b"x" * 100)
    digests = [store.put_blob(text).digest[7:] for text in ("an old blob", "a new blob")]
    loose, new = [copy / "cas" / "b3-256" / digest[:2] / digest for digest in digests]
    past = time.time() - 30 * 86_400
    for path in (*old, old[0].parent, loose):
        os.utime(path, (past, past))
    listed = told("gc", store=copy)
    assert (listed["removed"], listed["freed"]) == (False, 0)
    whys = {name: group["files"] for name, group in listed["groups"].items()}
    assert whys == {"temporary": 1, "quarantine": 1, "unreferenced": 1}
    assert all(path.exists() for path in (*old, loose))
    assert told("gc", "--yes", store=copy)["freed"] == sum(item["bytes"] for item in listed["items"])
    assert not any(path.exists() for path in (*old, loose))
    assert all(path.exists() for path in (*running, new))
    assert told("verify", store=copy)["bad"] == []
    assert told("gc", store=copy)["items"] == []


def test_gc_leaves_alone_what_is_touched_after_it_was_listed(copy: Path) -> None:
    """A blob that a search takes up between the listing and the removal stays."""
    store = StepStore.open(copy)
    digest = store.put_blob("wanted again").digest[7:]
    path = copy / "cas" / "b3-256" / digest[:2] / digest
    past = time.time() - 30 * 86_400
    os.utime(path, (past, past))
    items = removable(site_of(store))
    assert [item.path for item in items] == [str(path)]
    store.put_blob("wanted again")
    assert remove(site_of(store), items) == 0
    assert path.exists()


def test_gc_in_a_budget_lists_first_and_goes_by_worth(copy: Path, told: Any) -> None:
    """--budget lists what is above it and spares the last day; it removes with --yes."""
    assert told("gc", "--budget", "1kB", store=copy)["items"] == []
    past = time.time() - 2 * 86_400
    for path in copy.rglob("*"):
        os.utime(path, (past, past))
    assert told("gc", "--budget", "1 GB", store=copy)["items"] == []
    listed = told("gc", "--budget", "1kB", store=copy)
    assert (listed["removed"], listed["freed"]) == (False, 0)
    assert {item["why"] for item in listed["items"]} <= {"over budget", "unreferenced"}
    assert told("du", store=copy)["areas"]["ac"]["files"] > 0
    assert told("gc", "--budget", "1kB", "--yes", store=copy)["freed"] > 1000
    left = told("du", store=copy)["areas"]
    # Journals are no cache: they stay, and are small.
    assert left["total"]["bytes"] - left["journal"]["bytes"] <= 1000
    assert told("verify", store=copy)["bad"] == []


def test_gc_of_old_entries_takes_them_all(copy: Path, told: Any) -> None:
    """--older-than takes records, scores and the blobs that only they need; without it they stay."""
    past = time.time() - 60 * 86_400
    for path in copy.rglob("*"):
        os.utime(path, (past, past))
    referenced = {item["why"] for item in told("gc", store=copy)["items"]}
    assert referenced <= {"unreferenced"}
    gone = told("gc", "--older-than", "30d", "--yes", store=copy)
    assert gone["groups"]["old scores"]["files"] >= 1
    assert told("ls", store=copy)["searches"] == []
    assert told("du", store=copy)["areas"]["cas"]["files"] == 0
