"""Blocks: they keep Prefect's standards and their own schemas, and searches run through them by name."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy
from distributed import Client, LocalCluster
from distributed.deploy.spec import SpecCluster
from distributed.security import Security
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from prefect.utilities.callables import parameter_schema
from seen import run_id, see_run
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from prefect_tune import blocks, grid_search
from prefect_tune.blocks import (
    CsvData,
    DaskCluster,
    ParquetData,
    SearchSpec,
    SqlQuery,
    StepStore,
    WorkerGroup,
)
from prefect_tune.data import DataRef, ingest
from prefect_tune.errors import ClusterUnreachable, DataError, NotAllowed, UnknownParameter, UserError
from prefect_tune.flows.adaptive import successive_halving_search
from prefect_tune.flows.places import open_store
from prefect_tune.flows.saved import cluster_spec, judged, name_of
from prefect_tune.flows.saved_search import FLOWS, asearch_from_spec, flow_of, search_from_spec
from prefect_tune.flows.tuning import tune
from prefect_tune.tasks.cluster import close_default_clusters, open_cluster

PASSWORD = "hunter2-is-no-secret"

# What servers know a block's fields by. A new field goes last, with a default, and brings a new checksum
# here; a field that is renamed or moved makes saved blocks unreadable.
SCHEMAS = {
    "step-store": (
        StepStore,
        "sha256:5732f2d449c99b95005065e51775211acc9ae2768e3047f2a19e5d18dce88427",
    ),
    "dask-cluster": (
        DaskCluster,
        "sha256:fe44ef158f84a1e174f37dbca324b5077315022870945ad92c004594e64d7c0b",
    ),
    "parquet-data": (
        ParquetData,
        "sha256:8246cd1991ee2a83a83a5d6020913f29916f07c4ef7d8f5e8ec439103b4480f4",
    ),
    "csv-data": (CsvData, "sha256:687cfb21cc669da81884da88177d08cf243b9022d8642481da2a1b40e37a5bb0"),
    "sql-query": (SqlQuery, "sha256:d79cc6a795d14dbf6a35e8439cf19b7b60760b821243a3c1cef70a606d18cb85"),
    "search-spec": (SearchSpec, "sha256:3f069d140b0949c61e46d9af994f61275c9e439e815e57eec0b963be3a36f9f6"),
}
BLOCKS = [kind for kind, _ in SCHEMAS.values()]
TREE = {"class": "sklearn.tree.DecisionTreeClassifier", "params": {"random_state": 0}}
GRID = {"max_depth": [1, 2]}


class TestStandards(BlockStandardTestSuite):
    """Prefect's own suite, without its wish for a logo and a page: see `prefect_tune.blocks.links`."""

    @pytest.fixture(params=BLOCKS, ids=lambda kind: kind.__name__)
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        return request.param

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        assert block._logo_url is None

    def test_has_a_documentation_url(self, block: type[Block]) -> None:
        assert block._documentation_url is None


@pytest.mark.parametrize("slug", SCHEMAS)
def test_slugs_and_schemas_are_permanent(slug: str) -> None:
    """A saved block can be loaded by any later version: its slug and the schema of its fields are pinned."""
    kind, checksum = SCHEMAS[slug]
    assert kind.get_block_type_slug() == slug
    assert kind._calculate_schema_checksum() == checksum
    assert getattr(blocks, kind.__name__) is kind


def test_importing_the_blocks_is_light() -> None:
    """Server and worker import them at start, which loads no engine and no library of numbers."""
    code = "import prefect_tune.blocks, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"dask", "distributed", "sklearn", "pandas", "pyarrow", "numpy", "scipy", "sqlalchemy"}
    assert heavy & set(done.stdout.split()) == set()


def test_prefect_registers_every_block(prefect_api: str) -> None:
    """The entry point leads Prefect to the module, and `prefect block register` puts all on a server."""
    (found,) = [entry for entry in entry_points(group="prefect.collections") if entry.name == "prefect_tune"]
    assert found.value == "prefect_tune.blocks"
    prefect = Path(sys.executable).with_name("prefect")
    subprocess.run(
        [prefect, "block", "register", "-m", found.value],
        env={**os.environ, "PREFECT_API_URL": prefect_api}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with get_client(sync_client=True) as client:
        for slug, (kind, checksum) in SCHEMAS.items():
            known = client.read_block_type_by_slug(slug)
            assert known.name == kind.get_block_type_name()
            assert client.read_block_schema_by_checksum(checksum).block_type_id == known.id


# -- what is in them -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    "block",
    [
        StepStore(
            root="s3://bucket/steps",
            trust="data-only",
            size_budget="20 GB",
            access_key_id=PASSWORD,
            secret_access_key=PASSWORD,
            region="eu-west-1",
        ),
        DaskCluster(
            kind="class",
            cluster_class="somewhere.Cluster",
            cluster_kwargs={"n": 3},
            secret_kwargs={"token": PASSWORD},
            adapt_maximum=4,
        ),
        DaskCluster(
            groups=[WorkerGroup(name="cpu", workers=2), WorkerGroup(name="gpu", resources={"GPU": 1})]
        ),
        ParquetData(path="flights.parquet", columns=["distance"], target="delay"),
        CsvData(path="flights.csv", separator=";", dates=["time"]),
        SqlQuery(query="SELECT 1 AS x", url=f"postgresql://me:{PASSWORD}@host/db", parameters={"a": 1}),
        SearchSpec(method="grid", parameters={"estimator": TREE, "param_grid": GRID, "X": "parquet-data/x"}),
    ],
    ids=lambda block: type(block).__name__,
)
def test_saved_and_loaded(block: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What was saved comes back, and its secrets are seen nowhere but by who asks for them."""
    with caplog.at_level(logging.DEBUG):
        block.save("round-trip", overwrite=True)
        loaded = type(block).load("round-trip")
    assert loaded.model_dump(context={"include_secrets": True}) == block.model_dump(
        context={"include_secrets": True}
    )
    assert name_of(loaded) == f"{block.get_block_type_slug()}/round-trip"
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(
            "round-trip", block.get_block_type_slug(), include_secrets=False
        )
    for shown in (
        repr(loaded),
        str(loaded),
        document.model_dump_json(),
        loaded.model_dump_json(),
        caplog.text,
    ):
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("20 GB", 20 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("1,000", 1000),
        ("512 kib", 2**19),
        (" ", None),
        (None, None),
    ],
)
def test_budget_of_a_store(text: str | None, held: int | None) -> None:
    """A size is bytes or a number with a unit."""
    assert StepStore(root="x", size_budget=text).budget() == held


def test_bad_budget_is_refused() -> None:
    """A text that is no size is named, before the store is opened."""
    with pytest.raises(UserError, match="'20 bananas'"):
        StepStore(root="x", size_budget="20 bananas").open()


def test_a_store_is_kept_in_its_budget(tmp_path: Path) -> None:
    """The oldest entries go when a search opens the store; those of the last day stay in any case."""
    block = StepStore(root=str(tmp_path / "store"), size_budget="1 kB")
    store = block.open()
    for seed in range(4):
        ingest(pd.DataFrame({"x": range(seed, seed + 1000)}), store)
    assert store.usage()["total"]["bytes"] > 1000
    assert block.make_room(store) == 0
    two_days_ago = (Path(store.root) / "FORMAT").stat().st_mtime - 2 * 86_400
    for path in Path(store.root).rglob("*"):
        os.utime(path, (two_days_ago, two_days_ago))
    open_store(block)
    assert store.usage()["cas"]["bytes"] == 0


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (DaskCluster(kind="address"), "address is missing"),
        (DaskCluster(kind="class"), "cluster_class is missing"),
        (DaskCluster(address="tcp://x:1"), "address belongs to kind='address'"),
        (DaskCluster(kind="address", address="tls://x:1", tls_ca_file="ca.pem"), "TLS needs all"),
        (DaskCluster(kind="class", cluster_class="a.B", adapt_minimum=3, adapt_maximum=2), "adapt_minimum 3"),
    ],
)
def test_fields_of_a_cluster_must_fit(block: DaskCluster, says: str) -> None:
    """Fields of another kind, and missing ones, are said before anything is started."""
    with pytest.raises(UserError, match=says):
        block.form()


# -- clusters ------------------------------------------------------------------------------------------


def test_worker_groups_are_started() -> None:
    """A local cluster of two groups: their names, threads, limits, resources and devices are the workers'."""
    block = DaskCluster(
        groups=[
            WorkerGroup(name="cpu", workers=1, threads=2, memory_limit="1 GB"),
            WorkerGroup(name="gpu", workers=1, resources={"GPU": 1}, devices=["7"]),
        ]
    )
    try:
        with open_cluster(cluster_spec(block)) as lease:
            assert lease.n_slots == 3
            with Client(lease.address, set_as_default=False) as client:
                found = {
                    info["name"]: info for info in client.scheduler_info(n_workers=-1)["workers"].values()
                }
                seen = client.submit(os.getenv, "CUDA_VISIBLE_DEVICES", resources={"GPU": 1}).result()
    finally:
        close_default_clusters()
    assert set(found) == {"cpu-0", "gpu-0"}
    assert (found["cpu-0"]["nthreads"], found["cpu-0"]["memory_limit"]) == (2, 10**9)
    assert found["gpu-0"]["resources"] == {"GPU": 1}
    assert seen == "7"


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([{"workers": 0}], r"groups\[0\].workers"),
        ([{"name": "a", "threads": 1.5}], "threads"),
        ([{"memory_limit": "much"}], "memory_limit"),
        ([{"name": "a"}, {"name": "a"}], "names of their own"),
        ([{"workers": 2, "devices": ["0"]}], "1 for 2 workers"),
        ([{"environment": {"LD_PRELOAD": "x"}}], "environment"),
    ],
)
def test_bad_groups_are_refused(groups: list[Any], says: str) -> None:
    """A group that makes no sense is said before a process is started."""
    with pytest.raises(UserError, match=says):
        open_cluster({"groups": groups})


def test_an_address_with_tls(tmp_path: Path) -> None:
    """A scheduler that asks for certificates takes them from the block's files, and nobody without."""
    keys = Security.temporary()
    files = {"tls_ca_file": "ca.pem", "tls_client_cert": "cert.pem", "tls_client_key": "key.pem"}
    for field, name in files.items():
        (tmp_path / name).write_text(getattr(keys, field))
    paths = {field: str(tmp_path / name) for field, name in files.items()}
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, security=keys,
        protocol="tls://",
    ) as cluster:  # fmt: skip
        block = DaskCluster(kind="address", address=cluster.scheduler_address, **paths)
        with open_cluster(cluster_spec(block)) as lease:
            assert lease.n_slots == 2
            with Client(lease.address, set_as_default=False, **lease.client_kwargs) as client:
                assert client.submit(sum, [1, 2]).result() == 3
        plain = DaskCluster(kind="address", address=cluster.scheduler_address)
        with pytest.raises((ClusterUnreachable, TypeError)):
            open_cluster(cluster_spec(plain))
    (tmp_path / "key.pem").unlink()
    with pytest.raises(UserError, match=r"key\.pem"):
        open_cluster(cluster_spec(block))


@pytest.mark.usefixtures("prefect_api")
def test_a_cluster_class_must_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved block starts any class whose module the settings name; made in code, it is code."""
    block = DaskCluster(
        kind="class",
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={
            "n_workers": 1,
            "threads_per_worker": 1,
            "processes": False,
            "dashboard_address": None,
        },
        secret_kwargs={"name": PASSWORD},
        adapt_minimum=1,
        adapt_maximum=3,
    )
    assert cluster_spec(block)["kwargs"]["name"] == PASSWORD
    assert PASSWORD not in json.dumps(block.form())
    block.save("any-class", overwrite=True)
    with pytest.raises(NotAllowed, match="dask-cluster/any-class"):
        cluster_spec("dask-cluster/any-class")
    with judged(), pytest.raises(NotAllowed):
        open_cluster({"class": "distributed.LocalCluster"})
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TUNE_ALLOWED_MODULES", "json, distributed")
    with judged(), open_cluster(cluster_spec("dask-cluster/any-class")) as lease:
        assert lease.n_slots == 3  # an adaptive cluster counts at its maximum


def test_the_setting_is_read_from_a_file(tmp_path: Path) -> None:
    """Prefect's own file of settings may hold it, as may the environment."""
    (tmp_path / "prefect.toml").write_text('[integrations.tune]\nallowed_modules = "xgboost,lightgbm.*"\n')
    code = "from prefect_tune.flows.settings import allowed_modules; print(*allowed_modules())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["xgboost", "lightgbm"]


# -- data ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flowers() -> pd.DataFrame:
    """The data, with the target among the columns."""
    return load_iris(as_frame=True).frame.rename(
        columns=lambda name: name.replace(" (cm)", "").replace(" ", "_")
    )


@pytest.fixture(scope="module")
def database(flowers: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with the table `flowers`."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / f'{PASSWORD}.db'}"
    engine = sqlalchemy.create_engine(url)
    flowers.to_sql("flowers", engine, index=False)
    engine.dispose()
    return url


def test_one_table_has_one_identity(flowers: pd.DataFrame, database: str, tmp_path: Path) -> None:
    """A table is the same data from a path, a Parquet block, a CSV block and a query."""
    store = open_store(tmp_path / "store")
    flowers.to_parquet(tmp_path / "flowers.parquet")
    flowers.to_csv(tmp_path / "flowers.csv.gz", index=False)
    wanted = ingest(tmp_path / "flowers.parquet", store)
    found = [
        ParquetData(path=str(tmp_path / "flowers.parquet")),
        ParquetData(path=(tmp_path / "flowers.parquet").as_uri(), columns=list(flowers.columns)),
        CsvData(path=str(tmp_path / "flowers.csv.gz")),
        SqlQuery(query="SELECT * FROM flowers ORDER BY rowid", url=database),
    ]
    for block in found:
        ref = block.ingest(store)
        assert isinstance(ref, DataRef)
        assert (ref.identity, ref.rows, ref.unstable) == (wanted.identity, 150, "")


def test_columns_are_chosen_in_order(flowers: pd.DataFrame, tmp_path: Path) -> None:
    """`columns` chooses and orders the features, and the target comes along."""
    flowers.to_parquet(tmp_path / "flowers.parquet")
    flowers.to_csv(tmp_path / "flowers.csv", index=False, sep=";")
    chosen = {"columns": ["petal_width", "sepal_width"], "target": "target"}
    tables = [
        ParquetData(path=str(tmp_path / "flowers.parquet"), **chosen).read(),
        CsvData(path=str(tmp_path / "flowers.csv"), separator=";", **chosen).read(),
    ]
    for table in tables:
        pd.testing.assert_frame_equal(table, flowers[["petal_width", "sepal_width", "target"]])


def test_new_rows_are_other_data(database: str, tmp_path: Path) -> None:
    """A query is asked again each time; its parameters are bound, not pasted."""
    store = open_store(tmp_path / "store")
    query = "SELECT sepal_width, target FROM flowers WHERE target = :kind ORDER BY rowid"
    first, again, other = (
        SqlQuery(query=query, url=database, parameters={"kind": kind}, target="target").ingest(store)
        for kind in (0, 0, 1)
    )
    assert first.identity == again.identity != other.identity
    injected = SqlQuery(query=query, url=database, parameters={"kind": "0; DROP TABLE flowers"})
    assert len(injected.read()) == 0
    assert len(SqlQuery(query="SELECT * FROM flowers", url=database).read()) == 150


@pytest.mark.usefixtures("prefect_api")
def test_the_url_of_a_database_may_lie_in_another_block(database: str) -> None:
    """A secret with the URL serves as the connection; something else, and none, are refused."""
    Secret(value=database).save("flowers-db", overwrite=True)
    query = "SELECT * FROM flowers LIMIT 3"
    assert len(SqlQuery(query=query, connection="secret/flowers-db").read()) == 3
    SearchSpec(method="grid", parameters={}).save("no-database", overwrite=True)
    for connection, says in (("secret/nowhere", "no saved block"), ("search-spec/no-database", "SearchSpec")):
        with pytest.raises(UserError, match=says):
            SqlQuery(query=query, connection=connection).read()
    with pytest.raises(UserError, match="either url or connection"):
        SqlQuery(query=query).read()


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (ParquetData(path="nowhere.parquet"), "nowhere"),
        (CsvData(path="nowhere.csv"), "nowhere"),
        (SqlQuery(query="SELECT * FROM nowhere", url="sqlite://"), "no such table"),
        (SqlQuery(query="SELECT 1", url=f"nodialect://me:{PASSWORD}@host/db"), "is no URL"),
        (SqlQuery(query="SELECT 1", url=f"{PASSWORD}"), "is no URL"),
        (SqlQuery(query="SELECT 1 AS x", url="sqlite://", target="y"), "target 'y'"),
    ],
    ids=["parquet", "csv", "table", "dialect", "url", "target"],
)
def test_data_that_cannot_be_had(block: Any, says: str, tmp_path: Path) -> None:
    """The error names what is wrong, and no password."""
    with pytest.raises((DataError, UserError), match=says) as caught:
        block.ingest(open_store(tmp_path / "store"))
    assert PASSWORD not in str(caught.value)


# -- searches by name ----------------------------------------------------------------------------------


@pytest.fixture
def saved(
    flowers: pd.DataFrame, database: str, dask_threads: SpecCluster, prefect_api: str, tmp_path: Path
) -> dict[str, str]:
    """Names of saved blocks: a store, a cluster, and the data in three forms."""
    flowers.to_parquet(tmp_path / "flowers.parquet")
    StepStore(root=str(tmp_path / "store")).save("here", overwrite=True)
    DaskCluster(kind="address", address=dask_threads.scheduler_address).save("here", overwrite=True)
    ParquetData(path=str(tmp_path / "flowers.parquet"), target="target").save("here", overwrite=True)
    query = "SELECT * FROM flowers ORDER BY rowid"
    SqlQuery(query=query, url=database, target="target").save("here", overwrite=True)
    names = ("step-store", "dask-cluster", "parquet-data", "sql-query")
    return {slug: f"{slug}/here" for slug in names}


def parameters_of(result: Any) -> dict[str, Any]:
    """The parameters of the flow run of a search."""
    return see_run(run_id(result), lambda tasks: True).run.parameters


def test_a_search_through_blocks_by_name(
    saved: dict[str, str], flowers: pd.DataFrame, tmp_path: Path
) -> None:
    """Store, cluster and data by name give what live ones give; the flow run has the names, and no more."""
    places = {"store": saved["step-store"], "cluster": saved["dask-cluster"], "cv": 3, "verbose": 0}
    by_name = grid_search(TREE, GRID, saved["sql-query"], **places)
    X, y = flowers.drop(columns="target"), flowers["target"]
    live = grid_search(
        DecisionTreeClassifier(random_state=0), GRID, X, y, **{**places, "store": str(tmp_path / "store")}
    )
    assert by_name.cv_results["mean_test_score"].tolist() == live.cv_results["mean_test_score"].tolist()
    assert live.cost.known > 0  # the blocks led to the same store, data and steps
    parameters = parameters_of(by_name)
    assert (parameters["store"], parameters["cluster"]) == ("step-store/here", "dask-cluster/here")
    assert parameters["X"]["saved"] == "sql-query/here"
    assert set(parameters["X"]) == {"saved", "data", "blob", "rows", "kind", "unstable"}
    shown = json.dumps(parameters)
    assert PASSWORD not in shown
    assert "sqlite" not in shown


def test_a_search_through_blocks_as_objects(saved: dict[str, str]) -> None:
    """A loaded block does as its name does, an unsaved one too; `y` overrides the target."""
    places = {"store": StepStore.load("here"), "cluster": DaskCluster.load("here"), "cv": 3, "verbose": 0}
    result = grid_search(TREE, GRID, ParquetData.load("here"), **places)
    parameters = parameters_of(result)
    assert (parameters["store"], parameters["cluster"]) == ("step-store/here", "dask-cluster/here")
    unsaved = ParquetData(path=ParquetData.load("here").path)
    again = grid_search(TREE, GRID, unsaved, "target", **{**places, "cluster": DaskCluster(
        kind="address", address=DaskCluster.load("here").address)})  # fmt: skip
    assert again.cv_results["mean_test_score"].tolist() == result.cv_results["mean_test_score"].tolist()
    assert parameters_of(again)["cluster"] == {"address": DaskCluster.load("here").address}
    assert "saved" not in parameters_of(again)["X"]


def test_other_searches_take_blocks(saved: dict[str, str]) -> None:
    """An adaptive search reads the chunks of a Parquet block and scores on a block; `tune` takes one, too."""
    places = {"store": saved["step-store"], "cluster": saved["dask-cluster"], "verbose": 0}
    sgd = {"class": "sklearn.linear_model.SGDClassifier", "params": {"random_state": 0}}
    adaptive = successive_halving_search(
        sgd, {"alpha": [1e-4, 1e-3]}, saved["parquet-data"], n_initial_parameters=2, n_initial_iter=1,
        validation=saved["sql-query"], fit_params={"classes": [0, 1, 2]}, **places,
    )  # fmt: skip
    assert adaptive.best_params["alpha"] in (1e-4, 1e-3)
    parameters = parameters_of(adaptive)
    assert (parameters["X"], parameters["validation"]) == ("parquet-data/here", "sql-query/here")
    space = {"max_depth": {"choice": [1, 2]}}
    tuned = tune(TREE, space, X=saved["parquet-data"], cv=3, sampler="grid", **places)
    assert tuned.best_config in ({"max_depth": 1}, {"max_depth": 2})


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"store": "step-store/nowhere"}, "store: there is no saved block 'step-store/nowhere'"),
        ({"cluster": "dask-cluster/nowhere"}, "cluster: there is no saved block"),
        ({"X": "sql-query/nowhere"}, "X: there is no saved block"),
        ({"store": SearchSpec(method="grid", parameters={})}, "store: takes a block StepStore"),
    ],
)
def test_a_block_that_is_not_there(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    """A name without a block, and a block of another type, are refused, with the parameter's name."""
    asked = {"X": [[0], [1]] * 6, "y": [0, 1] * 6, "store": str(tmp_path / "store"), "cv": 2, "verbose": 0}
    with pytest.raises(UserError, match=says):
        grid_search(TREE, GRID, **{**asked, **change})


# -- saved searches ------------------------------------------------------------------------------------


def spec(saved: dict[str, str], **change: Any) -> dict[str, Any]:
    """The parameters of a saved grid search."""
    places = {"store": saved["step-store"], "cluster": saved["dask-cluster"], "cv": 3, "verbose": 0}
    return {"estimator": TREE, "param_grid": GRID, "X": saved["parquet-data"], **places, **change}


def test_a_saved_search_is_run_by_its_name(saved: dict[str, str]) -> None:
    """The search is a subflow named after the block; overrides take the place of what was saved."""
    SearchSpec(method="grid", parameters=spec(saved)).save("flowers", overwrite=True)
    result = search_from_spec("search-spec/flowers", overrides={"param_grid": {"max_depth": [3]}})
    assert result.best_params == {"max_depth": 3}
    seen = see_run(run_id(result), lambda tasks: True)
    assert seen.run.name == "flowers"
    assert seen.run.parameters["X"]["saved"] == "parquet-data/here"
    with get_client(sync_client=True) as client:
        (parent,) = [run for run in client.read_flow_runs() if run.name == "search-spec/flowers"]
    assert parent.parameters == {
        "spec": "search-spec/flowers",
        "overrides": {"param_grid": {"max_depth": [3]}},
    }


@pytest.mark.parametrize(
    ("method", "change", "overrides", "says"),
    [
        ("grid", {"param_grid": None}, {}, "have no 'param_grid'"),
        ("grid", {"cv_folds": 3}, {}, "no parameter 'cv_folds'"),
        ("grid", {}, {"cv_folds": 3}, "cv_folds"),
        ("hyperband", {}, {}, "have no 'parameters'"),
        ("grid", {"search": "hyperband"}, {}, "search='hyperband'"),
        ("grid", {"estimator": {"class": "os.system", "params": {"command": "true"}}}, {}, "'os.system'"),
        ("grid", {}, {"estimator": {"class": "subprocess.Popen"}}, "ALLOWED_MODULES"),
        ("grid", {}, {"cluster": {"class": "distributed.LocalCluster"}}, "distributed.LocalCluster"),
        ("grid", {}, {"estimator": object()}, "no JSON"),
    ],
)
def test_a_saved_search_that_cannot_run(
    method: Any, change: dict, overrides: dict, says: str, saved: dict[str, str]
) -> None:
    """What is missing, unknown or not allowed in a spec or its overrides is said before anything runs."""
    SearchSpec(method=method, parameters=spec(saved, **change)).save("broken", overwrite=True)
    with pytest.raises((UserError, UnknownParameter), match=says):
        search_from_spec("search-spec/broken", overrides=overrides)


def test_a_saved_search_is_named() -> None:
    """Anything but the name of a saved search is refused at once."""
    for given in ("flowers", "step-store/here", SearchSpec(method="grid", parameters={})):
        with pytest.raises(UserError, match=r"search-spec/NAME|SearchSpec"):
            search_from_spec(given)


def test_every_method_has_a_flow() -> None:
    """A `SearchSpec` offers the methods that there are flows for, and both twins have a form."""
    offered = SearchSpec.model_json_schema()["properties"]["method"]["enum"]
    assert set(offered) == set(FLOWS)
    assert all(flow_of(method).isasync for method in offered)
    for flow in (search_from_spec, asearch_from_spec):
        schema = parameter_schema(flow).model_dump()
        assert schema["required"] == ["spec"]
        assert all(field["description"] for field in schema["properties"].values())


def test_parameters_of_a_deployment_are_judged(
    saved: dict[str, str], prefect_api: str, tmp_path: Path
) -> None:
    """A deployed search runs with names of blocks; one that names other code fails, and runs none of it."""
    trap = {"class": "os.mkdir", "params": {"path": str(tmp_path / "trapped")}}
    deployment = RunnerDeployment.from_entrypoint("prefect_tune.flows.search.grid_search", name="judged")
    asked = spec(saved, name="judged")
    with get_client(sync_client=True) as client:
        place = deployment.apply()
        runs = [
            client.create_flow_run_from_deployment(place, parameters=given)
            for given in (asked, {**asked, "estimator": trap})
        ]
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "prefect.engine", str(run.id)],
                env={**os.environ, "PREFECT_API_URL": prefect_api},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for run in runs
        ]  # fmt: skip
        said = [child.communicate(timeout=120)[0] for child in children]
        good, bad = (client.read_flow_run(run.id) for run in runs)
    assert good.state_name == "Completed", said[0]
    assert good.parameters["X"] == "parquet-data/here"
    assert bad.state_name == "Failed", said[1]
    for words in ("estimator", "os.mkdir", "PREFECT_INTEGRATIONS_TUNE_ALLOWED_MODULES"):
        assert words in bad.state.message
    assert not (tmp_path / "trapped").exists()
    assert PASSWORD not in "".join(said)


@pytest.mark.cluster
def test_a_store_in_a_bucket_by_its_name(prefect_api: str, tmp_path: Path) -> None:
    """Worker processes ask the saved block for the credentials; they are seen in no parameter and no log."""
    pytest.importorskip("moto", reason="the extra `test` brings a server that speaks S3")
    server = subprocess.Popen(
        [sys.executable, Path(__file__).parents[1] / "cluster" / "s3_server.py", "the-key-id", "bucket"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        block = StepStore(
            root="s3://bucket/steps", trust="local", cache=str(tmp_path / "tier"), endpoint_url=url,
            region="us-east-1", access_key_id="the-key-id", secret_access_key=PASSWORD,
        )  # fmt: skip
        block.save("bucket", overwrite=True)
        X, y = load_iris(return_X_y=True)
        asked = {"X": X, "y": y, "store": "step-store/bucket", "n_workers": 2, "cv": 3, "verbose": 0}
        first = grid_search(TREE, GRID, **asked)
        again = grid_search(TREE, GRID, **asked)
    finally:
        close_default_clusters()
        server.stdin.close()
        server.wait(timeout=10)
    assert first.failures == ()
    assert first.cost.known == 0 < again.cost.known
    shown = json.dumps(parameters_of(first))
    assert parameters_of(first)["store"] == "step-store/bucket"
    assert PASSWORD not in shown
    assert "the-key-id" not in shown
