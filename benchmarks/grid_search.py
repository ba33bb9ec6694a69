"""Grid search side by side: prefect-tune, scikit-learn and dask-ml on the same work in one run.

    python benchmarks/grid_search.py [--case a-small a b c d e f g] [--rounds 3] [--json FILE]

The systems take turns within each round, so that the drift of a shared machine falls on all of them; medians
and their ratios are reported. prefect-tune starts every round with an empty store and a warm cluster and API,
scikit-learn with a warm pool of processes (`n_jobs=2`), dask-ml with its threads scheduler.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
warnings.filterwarnings("ignore")

from machine import machine  # noqa: E402  (threads are pinned before numpy loads)

WORKERS = 2
SMS = Path(__file__).resolve().parents[2] / "shared" / "data" / "sms" / "sms.tsv"


def dask_learn_case(values_of_c: list[float], folds: int) -> tuple[Any, dict, Any, Any, int]:
    """The experiment of dask-learn (2016): PCA, then a logistic regression by liblinear."""
    from sklearn.datasets import make_classification
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    X, y = make_classification(
        n_samples=10_000, n_features=500, n_classes=2, n_redundant=250, random_state=42
    )
    pipe = Pipeline(
        [("pca", PCA(random_state=0)), ("logistic", LogisticRegression(solver="liblinear", random_state=0))]
    )
    grid = {
        "pca__n_components": [50, 100, 250],
        "logistic__C": values_of_c,
        "logistic__penalty": ["l1", "l2"],
    }
    return pipe, grid, X, y, folds


def case_a_small() -> tuple[Any, dict, Any, Any, int]:
    return dask_learn_case([1e-4, 1.0, 1e4], 3)


def case_a() -> tuple[Any, dict, Any, Any, int]:
    return dask_learn_case([1e-4, 1e-2, 1.0, 1e1, 1e2, 1e4], 5)


def case_b() -> tuple[Any, dict, Any, Any, int]:
    """192 candidates of one estimator: nothing to share."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier

    X, y = load_digits(return_X_y=True)
    grid = {
        "alpha": [1e-4, 1e-3, 1e-2, 1e-1],
        "loss": ["hinge", "log_loss", "modified_huber", "perceptron"],
        "penalty": ["l2", "elasticnet", "l1"],
        "average": [False, True],
        "fit_intercept": [True, False],
    }
    return SGDClassifier(random_state=0), grid, X / 16.0, y, 5


def case_c() -> tuple[Any, dict, Any, Any, int]:
    """SMS spam: words are counted once per fold and setting, not once per candidate."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import Pipeline

    with SMS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    texts, labels = [row["sentence"] for row in rows], [int(row["label"]) for row in rows]
    pipe = Pipeline(
        [("count", CountVectorizer()), ("tfidf", TfidfTransformer()), ("sgd", SGDClassifier(random_state=0))]
    )
    grid = {
        "count__ngram_range": [(1, 1), (1, 2)],
        "count__max_df": [0.5, 1.0],
        "tfidf__use_idf": [True, False],
        "tfidf__norm": ["l1", "l2"],
        "sgd__alpha": [1e-5, 1e-4, 1e-3],
        "sgd__penalty": ["l2", "elasticnet"],
    }
    return pipe, grid, texts, labels, 5


def warm_up() -> tuple[Any, dict, Any, Any, int]:
    """A search that only starts what a system needs: processes, connections, imports."""
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    X, y = load_iris(return_X_y=True)
    return DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3, 4]}, X, y, 3


CASES = {"a-small": case_a_small, "a": case_a, "b": case_b, "c": case_c}
TITLES = {
    "a-small": "(a) dask-learn experiment, 18 candidates × 3 folds",
    "a": "(a) its larger sister, 36 candidates × 5 folds",
    "b": "(b) SGD on digits, 192 candidates × 5 folds, nothing to share",
    "c": "(c) SMS spam, 96 candidates × 5 folds",
}


def run_ours(case: tuple) -> tuple[float, Any]:
    """(seconds, fitted search) with an empty store."""
    from prefect_tune import GridSearchCV

    estimator, grid, X, y, folds = case
    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        start = time.perf_counter()
        search = GridSearchCV(estimator, grid, cv=folds, n_jobs=WORKERS, store=folder).fit(X, y)
        return time.perf_counter() - start, search
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_sklearn(case: tuple) -> tuple[float, Any]:
    from sklearn.model_selection import GridSearchCV

    estimator, grid, X, y, folds = case
    start = time.perf_counter()
    search = GridSearchCV(estimator, grid, cv=folds, n_jobs=WORKERS).fit(X, y)
    return time.perf_counter() - start, search


def run_dask_ml(case: tuple) -> tuple[float, Any]:
    from dask_ml.model_selection import GridSearchCV

    estimator, grid, X, y, folds = case
    start = time.perf_counter()
    search = GridSearchCV(estimator, grid, cv=folds, n_jobs=WORKERS, scheduler="threads").fit(X, y)
    return time.perf_counter() - start, search


def compare(name: str, rounds: int) -> dict[str, Any]:
    """Seconds of each system, round by round, and the ratios of the medians."""
    case = CASES[name]()
    systems: dict[str, Callable] = {"prefect-tune": run_ours, "scikit-learn": run_sklearn}
    try:
        import dask_ml.model_selection  # noqa: F401

        systems["dask-ml"] = run_dask_ml
    except ImportError:
        print("dask-ml is not installed: left out", file=sys.stderr)
    for run in systems.values():
        run(warm_up())
    seconds: dict[str, list[float]] = {system: [] for system in systems}
    scores, work = {}, []
    for number in range(rounds):
        for system, run in systems.items():
            took, search = run(case)
            seconds[system].append(took)
            scores[system] = float(search.best_score_)
            if system == "prefect-tune":
                work.append(search.search_result_.cost.seconds_run)
            print(f"  round {number + 1}: {system:13s} {took:8.2f} s", file=sys.stderr, flush=True)
    medians = {system: statistics.median(times) for system, times in seconds.items()}
    ours = medians["prefect-tune"]
    # What two workers would need for the distinct steps alone: no engine can be faster.
    bound = statistics.median(work) / WORKERS
    return {
        "title": TITLES[name],
        "seconds": seconds,
        "median": medians,
        "ratio": {system: other / ours for system, other in medians.items() if system != "prefect-tune"},
        "bound": bound,
        "best_score": scores,
    }


def case_d() -> dict[str, Any]:
    """A repeat of 1,000 candidates × 5 folds of which every score is known."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.naive_bayes import GaussianNB

    from prefect_tune import GridSearchCV

    X, y = load_digits(return_X_y=True)
    grid = {"var_smoothing": np.logspace(-12, 0, 1000).tolist()}
    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            search = GridSearchCV(GaussianNB(), grid, cv=5, n_jobs=WORKERS, store=folder).fit(X, y)
            times.append(time.perf_counter() - start)
        assert search.search_result_.cost.run == 0
        return {"title": "(d) fully known repeat, 1,000 × 5", "first": times[0], "repeats": times[1:],
                "median": statistics.median(times[1:])}  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def case_f() -> dict[str, Any]:
    """Fingerprint of a 256 MiB array against a raw BLAKE3 pass over the same bytes."""
    import numpy as np
    from blake3 import blake3

    from prefect_tune.identity.data import fingerprint

    array = np.random.default_rng(0).standard_normal((2**20, 32))
    raw, ours = [], []
    for _ in range(7):
        start = time.perf_counter()
        blake3(memoryview(array).cast("B"), max_threads=blake3.AUTO).digest()
        raw.append(time.perf_counter() - start)
        start = time.perf_counter()
        fingerprint(array)
        ours.append(time.perf_counter() - start)
    size = array.nbytes / 1e9
    rates = {"raw": size / statistics.median(raw), "fingerprint": size / statistics.median(ours)}
    return {"title": "(f) fingerprint, GB/s", **rates, "ratio": rates["fingerprint"] / rates["raw"]}


def case_g() -> dict[str, Any]:
    """Keys and plan for growing searches of 3 steps and 5 folds."""
    import tracemalloc

    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from prefect_tune.batches import Planner
    from prefect_tune.plan import CompiledSearch, summarise
    from prefect_tune.search import prepare
    from prefect_tune.store import StepStore

    X, y = load_digits(return_X_y=True)
    pipe = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("clf", SVC())])
    folder = tempfile.mkdtemp(prefix="bench-")
    found = {}
    try:
        store = StepStore.open(folder)
        for count in (1_000, 10_000, 20_000):
            grid = {
                "pca__n_components": list(range(10, 20)),
                "clf__C": np.logspace(-4, 4, count // 100).tolist(),
                "clf__gamma": np.logspace(-4, 1, 10).tolist(),
            }
            spec = prepare(GridSearchCV(pipe, grid, cv=5), X, y, store=store)
            times = []
            for _ in range(3):
                start = time.perf_counter()
                compiled = CompiledSearch(spec, store)
                plan = summarise(compiled, len(Planner(compiled, WORKERS).batches()))
                times.append(time.perf_counter() - start)
            tracemalloc.start()
            CompiledSearch(spec, store)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            found[count] = {"seconds": statistics.median(times), "bytes_per_leaf": peak / (count * 5),
                            "distinct": plan.distinct}  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"title": "(g) keys and plan, × 5 folds × 3 steps", "candidates": found}


def case_e() -> dict[str, Any]:
    """Milliseconds per no-op task run, ours and the stock runner's."""
    import subprocess

    script = Path(__file__).with_name("task_runner.py")
    done = subprocess.run([sys.executable, str(script), "--json"], check=True, stdout=subprocess.PIPE)
    return {"title": "(e) cost per no-op task run", **json.loads(done.stdout)}


def show(name: str, found: dict[str, Any]) -> None:
    """One line of the table."""
    print(f"{found['title']}: {WORDS.get(name, compared)(found)}", flush=True)


def compared(found: dict[str, Any]) -> str:
    """Medians of the systems, our speed over theirs, and the bound."""
    medians = " · ".join(f"{system} {value:.2f} s" for system, value in found["median"].items())
    ratios = " · ".join(f"{value:.2f} × {system}" for system, value in found["ratio"].items())
    return f"{medians}; speed: {ratios}; bound {found['bound']:.2f} s"


def _grown(found: dict[str, Any]) -> str:
    sizes = found["candidates"].items()
    return ", ".join(
        f"{int(count):,} candidates {one['seconds']:.1f} s and {one['bytes_per_leaf'] / 1000:.1f} kB a fit"
        for count, one in sizes
    )


WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "d": lambda found: f"{found['median']:.2f} s, the first run {found['first']:.1f} s",
    "e": lambda found: (
        f"{found['median']['tune']:.1f} ms, stock DaskTaskRunner {found['median']['stock']:.1f} ms: "
        f"{found['ratio']:.1f} × less"
    ),
    "f": lambda found: (
        f"{found['fingerprint']:.1f}; raw BLAKE3 {found['raw']:.1f}: {found['ratio']:.2f} of it"
    ),
    "g": _grown,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*CASES, "d", "e", "f", "g"]
    parser.add_argument("--case", nargs="*", default=names, choices=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if "PREFECT_HOME" not in os.environ:
        os.environ["PREFECT_HOME"] = home = tempfile.mkdtemp(prefix="bench-home-")
        import atexit

        atexit.register(shutil.rmtree, home, ignore_errors=True)
    results: dict[str, Any] = {"machine": machine("scikit-learn", "dask-ml")}
    for name in asked.case:
        if name == "c" and not SMS.exists():
            print(f"(c) left out: {SMS.name} is not there", file=sys.stderr)
            continue
        single = {"d": case_d, "e": case_e, "f": case_f, "g": case_g}
        results[name] = compare(name, asked.rounds) if name in CASES else single[name]()
        show(name, results[name])
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
