"""Adaptive searches equal the same loop written by hand: scores, survivors, winner and model, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import adaptive_oracle as hand
import numpy as np
import pandas as pd
import pytest
from adaptive_here import search
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import check_scoring, get_scorer
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(130, 4)) + 1.0
y = (X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=130) > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abcd"))
WEIGHT = rng.uniform(0.1, 2.0, size=130)
GROUPS = rng.integers(0, 12, size=130)
CLASSES = {"classes": [0, 1]}

SGD, ALPHAS = SGDClassifier(random_state=0), {"alpha": np.geomspace(1e-6, 1, 60).tolist()}
# (candidates, level) of each rung, from the published tables and worked examples.
HYPERBAND = {2: [(9, 1), (3, 3), (1, 9)], 1: [(5, 3), (1, 9)], 0: [(3, 9)]}
RUNGS: dict[str, tuple[dict[str, Any], dict[Any, list[tuple[int, int]]]]] = {
    "hyperband": ({"max_iter": 9}, HYPERBAND),
    "successive_halving": (
        {"n_initial_parameters": 9, "n_initial_iter": 2},
        {None: [(9, 2), (3, 6), (1, 18)]},
    ),
    "incremental": (
        {"n_initial_parameters": 4, "max_iter": 5, "fits_per_score": 2},
        {None: [(4, 2), (4, 4), (4, 5)]},
    ),
    "inverse_decay": ({"n_initial_parameters": 20}, {None: [(20, 1), (5, 2), (4, 3), (3, 4), (2, 5)]}),
}


def assert_by_hand(
    result: Any,
    estimator: Any,
    kind: str,
    splits: list[hand.Split],
    *,
    scoring: Any = None,
    metric: str = "score",
    arguments: dict[str, Any] | None = None,
    whole: list[hand.Split] | None = None,
) -> Any:
    """The winner's model by hand, after everything in `result` was found equal to what the loop gives.

    Args:
        whole: what the best candidate is trained on once more; None: it is kept as it was scored.
    """
    names = scoring if isinstance(scoring, list) else {}
    scorers = {n: get_scorer(n) for n in names} or {"score": check_scoring(estimator, scoring=scoring)}
    table, arguments = result.cv_results, arguments or {}
    best: tuple[float, Any, Any] = (-np.inf, None, None)
    for bracket, rungs in RUNGS[kind][1].items():
        places = [i for i, name in enumerate(table["bracket"]) if name == bracket]
        candidates = [table["params"][i] for i in places]
        assert len(candidates) == rungs[0][0]
        done = hand.climb(estimator, candidates, rungs, splits, scorers, metric, arguments)
        for row, place in enumerate(places):
            found = {
                e["partial_fit_calls"]: e["score"]
                for e in result.history
                if e["model_id"] == table["model_id"][place]
            }
            wanted = {level: float(np.mean([s[metric] for s in x])) for level, x in done.scores[row].items()}
            assert found == wanted
            for name in scorers:
                for number in range(len(splits)):
                    last = done.scores[row][max(wanted)][number][name]
                    assert table[f"split{number}_test_{name}"][place] == last
        top = done.survivors[0]
        if done.last(top, metric) > best[0]:
            best = (done.last(top, metric), candidates[top], done.models[top, 0])
            level = max(done.scores[top])
    assert (result.best_score, dict(result.best_params)) == (best[0], dict(best[1]))
    model = best[2]
    if whole is not None:
        model = hand.train(clone(estimator).set_params(**best[1]), whole[0], range(level), arguments)
    assert_same_model(result.load_best(), model)
    return model


def assert_same_model(ours: Any, theirs: Any) -> None:
    """Predictions and learned arrays are equal."""
    for name in ("coef_", "cluster_centers_", "theta_", "coefs_"):
        if hasattr(theirs, name):
            for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
                assert np.array_equal(one, other)
    data = FRAME if hasattr(theirs, "feature_names_in_") else X
    assert np.array_equal(ours.predict(data), theirs.predict(data))


@pytest.mark.parametrize("kind", RUNGS)
def test_every_kind(kind: str, tmp_path: Path) -> None:
    """Each kind of search over chunks of unlike length: the loop's scores, survivors and model."""
    options = {**RUNGS[kind][0], "chunk_size": 25, "fit_params": CLASSES}
    result = search(kind, SGD, ALPHAS, X, y, store=tmp_path, **options)
    splits = hand.one_split(hand.cut((X, y, {}), 25))
    assert_by_hand(result, SGD, kind, splits, arguments=CLASSES)
    assert result.metadata_done["partial_fit_calls"] == result.metadata["partial_fit_calls"]


DATA: dict[str, tuple[Any, dict[str, Any], Callable[[], list[hand.Split]]]] = {
    "one chunk": (X, {}, lambda: hand.one_split([(X, y, {})])),
    "sparse": (
        sparse.csr_matrix(np.where(X > 1, X, 0)),
        {"chunk_size": 40},
        lambda: hand.one_split(hand.cut((sparse.csr_matrix(np.where(X > 1, X, 0)), y, {}), 40)),
    ),
    "sparse columns": (
        sparse.csc_array(X),
        {"chunk_size": 40},
        lambda: hand.one_split(hand.cut((sparse.csr_array(X), y, {}), 40)),
    ),
    "frame": (FRAME, {"chunk_size": 33}, lambda: hand.one_split(hand.cut((FRAME, pd.Series(y), {}), 33))),
    "float32, Fortran order": (
        np.asfortranarray(X.astype(np.float32)),
        {"chunk_size": 33},
        lambda: hand.one_split(hand.cut((X.astype(np.float32), y, {}), 33)),
    ),
    "share": (
        X,
        {"chunk_size": 65, "test_size": 0.4, "random_state": 7},
        lambda: hand.one_split(hand.cut((X, y, {}), 65), 7, 0.4),
    ),
    "validation": (
        X[:100],
        {"chunk_size": 30, "validation": (X[100:], y[100:])},
        lambda: hand.one_split(hand.cut((X[:100], y[:100], {}), 30), valid=(X[100:], y[100:], {})),
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_every_kind_of_data(name: str, tmp_path: Path) -> None:
    """Arrays, sparse matrices and frames are cut, split and handed over as the rules say."""
    given, options, by_hand = DATA[name]
    options = {**RUNGS["successive_halving"][0], **options, "fit_params": CLASSES}
    target = pd.Series(y[: given.shape[0]], name="t") if name == "frame" else y[: given.shape[0]]
    result = search("successive_halving", SGD, ALPHAS, given, target, store=tmp_path, **options)
    assert_by_hand(result, SGD, "successive_halving", by_hand(), arguments=CLASSES)


SIZES = {"alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 1e-2, 1e-1, 0.5, 0.9]}
NET = MLPClassifier((5,), random_state=1, batch_size=16)
ESTIMATORS: dict[str, tuple[Any, dict[str, Any], Any, dict[str, Any], Any]] = {
    "regressor": (SGDRegressor(random_state=0), ALPHAS, X[:, 2] + y, {}, None),
    "regressor, named score": (
        SGDRegressor(random_state=0),
        ALPHAS,
        X[:, 2] + y,
        {},
        "neg_mean_absolute_error",
    ),
    "without y": (
        MiniBatchKMeans(random_state=3, n_init=1),
        {"n_clusters": list(range(2, 12))},
        None,
        {},
        None,
    ),
    "network": (NET, SIZES, y, CLASSES, None),
    "text labels": (
        SGD,
        ALPHAS,
        np.array(["no", "yes"])[y],
        {"classes": np.array(["no", "yes"])},
        "balanced_accuracy",
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_kind_of_estimator(name: str, tmp_path: Path) -> None:
    """Classifiers, regressors and clusterings train from their checkpoints as without them."""
    estimator, space, target, arguments, scoring = ESTIMATORS[name]
    options = {
        **RUNGS["successive_halving"][0],
        "chunk_size": 45,
        "fit_params": arguments,
        "scoring": scoring,
    }
    result = search("successive_halving", estimator, space, X, target, store=tmp_path, **options)
    splits = hand.one_split(hand.cut((X, target, {}), 45))
    assert_by_hand(result, estimator, "successive_halving", splits, arguments=arguments, scoring=scoring)


def test_folds_with_weights_and_several_metrics(tmp_path: Path) -> None:
    """A score is the mean over the folds, each metric has its columns, and the best is trained on all."""
    metrics = ["accuracy", "neg_log_loss"]
    space = {"var_smoothing": np.geomspace(1e-9, 10, 40).tolist()}
    options = {
        **RUNGS["hyperband"][0],
        "chunk_size": 50,
        "cv": 3,
        "scoring": metrics,
        "refit": "neg_log_loss",
    }
    arguments = {**CLASSES, "sample_weight": WEIGHT}
    result = search("hyperband", GaussianNB(), space, X, y, store=tmp_path, fit_params=arguments, **options)
    chunks = hand.cut((X, y, {"sample_weight": WEIGHT}), 50)
    everything = hand.one_split(chunks, valid=(X, y, {}))
    assert_by_hand(
        result,
        GaussianNB(),
        "hyperband",
        hand.folds(chunks, 3),
        scoring=metrics,
        metric="neg_log_loss",
        arguments=CLASSES,
        whole=everything,
    )
    means = result.cv_results["mean_test_neg_log_loss"]
    assert result.cv_results["rank_test_neg_log_loss"].tolist() == [int((means > m).sum()) + 1 for m in means]


@pytest.mark.parametrize(
    ("cv", "pairs"),
    [
        (None, lambda: GroupShuffleSplit(1, test_size=0.2, random_state=0).split(X, y, GROUPS)),
        (4, lambda: GroupKFold(4).split(X, y, GROUPS)),
    ],
)
def test_groups(cv: int | None, pairs: Callable[[], Any], tmp_path: Path) -> None:
    """No group is on both sides; training rows are cut into calls as they stand."""
    options = {**RUNGS["incremental"][0], "chunk_size": 20, "cv": cv}
    fit_params = {**CLASSES, "groups": GROUPS}
    result = search("incremental", SGD, ALPHAS, X, y, store=tmp_path, fit_params=fit_params, **options)
    splits = hand.by_numbers((X, y, {}), pairs(), 20)
    whole = None if cv is None else hand.by_numbers((X, y, {}), [(np.arange(130), np.arange(130))], 20)
    assert_by_hand(result, SGD, "incremental", splits, arguments=CLASSES, whole=whole)


def test_a_splitter(tmp_path: Path) -> None:
    """A splitter of scikit-learn chooses the rows."""
    options = {**RUNGS["incremental"][0], "chunk_size": 30, "cv": KFold(3)}
    result = search("incremental", SGD, ALPHAS, X, y, store=tmp_path, fit_params=CLASSES, **options)
    splits = hand.by_numbers((X, y, {}), KFold(3).split(X), 30)
    whole = hand.by_numbers((X, y, {}), [(np.arange(130), np.arange(130))], 30)
    assert_by_hand(result, SGD, "incremental", splits, arguments=CLASSES, whole=whole)


def test_refit(tmp_path: Path) -> None:
    """`refit=True` trains the best once more, for as many calls, on all rows."""
    options = {**RUNGS["hyperband"][0], "chunk_size": 30, "refit": True}
    result = search("hyperband", SGD, ALPHAS, X, y, store=tmp_path, fit_params=CLASSES, **options)
    chunks = hand.cut((X, y, {}), 30)
    whole = hand.one_split(chunks, valid=(X, y, {}))
    assert_by_hand(result, SGD, "hyperband", hand.one_split(chunks), arguments=CLASSES, whole=whole)


def test_epochs(tmp_path: Path) -> None:
    """An epoch is one pass: as many calls as there are chunks."""
    options = {**RUNGS["incremental"][0], "chunk_size": 50, "resource": "epochs"}
    result = search("incremental", SGD, ALPHAS, X, y, store=tmp_path, fit_params=CLASSES, **options)
    (split,) = hand.one_split(hand.cut((X, y, {}), 50))
    for row, params in enumerate(result.cv_results["params"]):
        model = hand.train(clone(SGD).set_params(**params), split, range(5 * 3), CLASSES)
        assert result.cv_results["mean_test_score"][row] == model.score(*split.valid[:2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Parquet folder of five files: features a to d, `t` the target, `w` weights."""
    place = tmp_path / "data"
    place.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(130), 5)):
        frame = FRAME.iloc[rows].assign(t=y[rows], w=WEIGHT[rows])
        frame.to_parquet(place / f"part-{number}.parquet", index=False)
    return place


def test_parquet(folder: Path, tmp_path: Path) -> None:
    """Every file is a chunk: the first pass goes in their order, and the split's rows are those scored."""
    from prefect_tune.flows.adaptive.ready import ready_adaptive

    asked = {**RUNGS["successive_halving"][0], "random_state": 0, "test_size": 0.2}
    asked |= {"fit_params": {**CLASSES, "sample_weight": "w"}, "store": tmp_path / "s"}
    result = search("successive_halving", SGD, ALPHAS, str(folder), "t", **asked)
    ready = ready_adaptive(
        "successive_halving", {**asked, "estimator": SGD, "parameters": ALPHAS, "X": str(folder), "y": "t"}
    )
    plan = ready.spec.split
    train, test = [], []
    for number, path in enumerate(sorted(folder.iterdir())):
        frame = pd.read_parquet(path)
        rows = (frame[list("abcd")], frame["t"], {"sample_weight": frame["w"]})
        train.append(hand.pick(rows, plan.rows(0, number, "train")))
        test.append(hand.pick(rows, plan.rows(0, number, "test")))
    order = plan.order(0, 20)
    assert order[:5] == [0, 1, 2, 3, 4]
    splits = [hand.Split(train, hand.joined(test), order)]
    assert_by_hand(result, SGD, "successive_halving", splits, arguments=CLASSES)
