"""The wrappers answer on Dask collections what scikit-learn answers on all rows together."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
import warnings
import weakref

import dask
import dask.array as da
import dask.bag
import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask.delayed import Delayed
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.metrics import get_scorer, make_scorer, mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator_cloneable, check_get_params_invariance
from sklearn.utils.validation import check_is_fitted

import prefect_tune
from prefect_tune import Incremental, ParallelPostFit
from prefect_tune.blockwise_score import METRICS
from prefect_tune.errors import DataError, ScoringError, UserError

RNG = np.random.default_rng(7)
X = RNG.normal(size=(101, 4)) * [1, 5, 0.1, 20] + [0, 3, 100, -7]
Y = np.array(["no", "yes", "maybe"])[np.argmax(X[:, :3] / [1, 5, 0.1] - [0, 0, 1000], axis=1)]
T = X @ [1.0, -2.0, 0.5, 0.1] + 1e6 + RNG.normal(size=101)
ROWS = (40, 0, 33, 28)
COLUMNS = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=COLUMNS, index=np.arange(101) * 3)


@pytest.fixture(autouse=True)
def in_this_thread():
    """Dask's own scheduler without threads, unless a test asks for a cluster."""
    with dask.config.set(scheduler="sync"):
        yield


def blocks(values, rows=ROWS):
    """A Dask Array with these row chunks, one of which is empty."""
    return da.from_array(values, chunks=(rows, *values.shape[1:]))


def unknown(values, rows=ROWS):
    """The same, with sizes of blocks that Dask does not know."""
    array = blocks(values, rows).copy()
    array._chunks = ((np.nan,) * len(rows), *array.chunks[1:])
    return array


def frame(values=FRAME):
    """A Dask frame of four partitions, the second of them empty."""
    at = np.cumsum((0, *ROWS))
    parts = [dask.delayed(values.iloc[a:b]) for a, b in itertools.pairwise(at)]
    return dd.from_delayed(parts, meta=values.iloc[:0], verify_meta=False)


def split_columns(values):
    """A Dask Array cut along both axes."""
    return da.from_array(values, chunks=(ROWS, (1, 3)))


def sparse(values):
    """A Dask Array with sparse blocks."""
    return blocks(values).map_blocks(sp.csr_array, meta=sp.csr_array((0, 4)))


KINDS = {"array": blocks, "unknown": unknown, "columns": split_columns, "sparse": sparse}
ANSWERS = [
    (LogisticRegression(max_iter=5000), "predict"),
    (LogisticRegression(max_iter=5000), "predict_proba"),
    (LogisticRegression(max_iter=5000), "predict_log_proba"),
    (LogisticRegression(max_iter=5000), "decision_function"),
    (Ridge(), "predict"),
    (MaxAbsScaler(), "transform"),
    (MaxAbsScaler(), "inverse_transform"),
    (KMeans(2, n_init=1, random_state=0), "predict"),
    (KMeans(2, n_init=1, random_state=0), "transform"),
]


def fitted(estimator, data=X):
    """The estimator, fitted in memory by scikit-learn."""
    target = T if is_regressor(estimator) else Y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(estimator).fit(data, target)


def dense(values):
    """The values as a plain array."""
    return values.toarray() if sp.issparse(values) else np.asarray(values)


# --- answers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("estimator", "method"), ANSWERS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_answers_on_arrays_are_those_on_all_rows(estimator, method, kind):
    """Whatever the blocks, the answer has the values, dtype and shape of the answer to all rows together."""
    model, rows = fitted(estimator), KINDS[kind](X)
    wanted = getattr(model, method)(sp.csr_array(X) if kind == "sparse" else X)
    lazy = getattr(ParallelPostFit(model), method)(rows)
    assert isinstance(lazy, da.Array)
    assert lazy.dtype == wanted.dtype
    assert lazy.ndim == wanted.ndim
    assert lazy.shape[1:] == wanted.shape[1:]
    np.testing.assert_equal(lazy.chunks[0], rows.chunks[0])
    found = lazy.compute()
    assert sp.issparse(found) == sp.issparse(wanted)
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(dense(found), dense(wanted), rtol=1e-12)
    else:
        assert (dense(found) == dense(wanted)).all()


@pytest.mark.parametrize(
    ("estimator", "method"), ANSWERS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_answers_on_frames_are_those_on_all_rows(estimator, method):
    """A Dask frame with an empty partition gives what the whole frame gives."""
    model = fitted(estimator, FRAME)
    wanted = getattr(model, method)(FRAME)
    lazy = getattr(ParallelPostFit(model), method)(frame())
    assert isinstance(lazy, da.Array)
    assert lazy.shape[1:] == wanted.shape[1:]
    found = lazy.compute()
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    else:
        assert (found == wanted).all()


def test_transform_then_inverse_transform_gives_the_rows_back():
    """inverse_transform inverts, on numpy, arrays and frames alike."""
    scaler = ParallelPostFit(StandardScaler()).fit(X)
    there = scaler.transform(blocks(X))
    assert np.abs(there.compute() - X).max() > 1
    np.testing.assert_allclose(scaler.inverse_transform(there).compute(), X, rtol=1e-12)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(X)), X, rtol=1e-12)
    by_name = ParallelPostFit(StandardScaler()).fit(FRAME)
    np.testing.assert_allclose(by_name.inverse_transform(by_name.transform(frame())).compute(), X, rtol=1e-12)


def test_inverse_transform_takes_rows_of_another_width():
    """PCA: four columns to two, and back to four."""
    model = PCA(2).fit(X)
    wrapper = ParallelPostFit(model)
    back = wrapper.inverse_transform(wrapper.transform(unknown(X)))
    assert back.shape[1] == 4
    np.testing.assert_allclose(back.compute(), model.inverse_transform(model.transform(X)), rtol=1e-12)


@pytest.mark.parametrize(
    "data", [X, FRAME, sp.csr_array(X), X.tolist()], ids=["numpy", "frame", "sparse", "list"]
)
def test_in_memory_the_estimator_answers_itself(data):
    """Without Dask the wrapper hands over whatever comes in."""
    wrapper = ParallelPostFit(LogisticRegression(max_iter=5000)).fit(data, Y)
    alone = LogisticRegression(max_iter=5000).fit(data, Y)
    assert (wrapper.predict(data) == alone.predict(data)).all()
    assert (wrapper.predict_proba(data) == alone.predict_proba(data)).all()
    assert wrapper.score(data, Y) == alone.score(data, Y)


def test_dask_training_data_are_computed():
    """ParallelPostFit trains in memory: on Dask collections the same model as on their rows."""
    weights = RNG.uniform(size=101)
    alone = Ridge().fit(FRAME, T, sample_weight=weights)
    wrapper = ParallelPostFit(Ridge()).fit(frame(), blocks(T), sample_weight=blocks(weights))
    assert (wrapper.coef_ == alone.coef_).all()
    assert list(wrapper.feature_names_in_) == COLUMNS


class Counting(ClassifierMixin, BaseEstimator):
    """A classifier that says 1 and remembers the rows of every call, in this process."""

    calls: list = []  # noqa: RUF012
    here = threading.Lock()

    def fit(self, X, y=None):
        self.classes_ = np.array([0, 1])
        return self

    partial_fit = fit

    def predict(self, X):
        with self.here:
            self.calls.append(len(X))
        return np.ones(len(X), dtype=int)


def test_nothing_is_computed_before_it_is_asked_for():
    """Asking loads no block and calls no estimator but on one made-up row."""
    loaded = []

    def load(block):
        loaded.append(len(block))
        return block

    lazy_rows = blocks(X).map_blocks(load, meta=X[:0])
    Counting.calls.clear()
    lazy = ParallelPostFit(Counting().fit(X)).predict(lazy_rows)
    score = ParallelPostFit(Counting().fit(X), scoring="accuracy").score(
        lazy_rows, blocks(np.ones(101, dtype=int)), compute=False
    )
    assert loaded == []
    assert set(Counting.calls) == {1}
    Counting.calls.clear()
    assert lazy.compute().tolist() == [1] * 101
    assert sorted(Counting.calls) == sorted(rows for rows in ROWS if rows)
    assert isinstance(score, Delayed)
    assert score.compute() == 1.0


def test_a_lazy_answer_is_that_of_the_model_it_was_asked_of():
    """Training again changes later answers, not those that are waiting."""
    wrapper = Incremental(SGDRegressor(random_state=0), random_state=0).fit(blocks(X), blocks(T))
    before, lazy = wrapper.predict(X), wrapper.predict(blocks(X))
    wrapper.partial_fit(X, T)
    np.testing.assert_allclose(lazy.compute(), before, rtol=1e-12)
    assert not np.allclose(wrapper.predict(X), before)


def test_a_meta_given_is_taken_for_the_form():
    """No made-up row is asked about where the user says the form; a Series keeps the index of the rows."""
    Counting.calls.clear()
    meta = pd.Series(dtype=int, name="said")
    lazy = ParallelPostFit(Counting().fit(X), predict_meta=meta).predict(frame())
    assert Counting.calls == []
    pd.testing.assert_series_equal(
        lazy.compute(), pd.Series(1, index=FRAME.index, name="said"), check_index_type=False
    )
    model = LogisticRegression(max_iter=5000).fit(X, Y)
    wrapper = ParallelPostFit(model, predict_meta=np.array(["a"]), predict_proba_meta=np.array([[0.5]]))
    assert (wrapper.predict(blocks(X)).compute() == model.predict(X)).all()
    assert wrapper.predict_proba(frame(FRAME.set_axis(range(4), axis=1))).shape[1] == 3


def test_a_frame_setting_gives_frames():
    """set_output reaches the estimator; a Dask collection then gives a Dask frame."""
    wrapper = ParallelPostFit(StandardScaler()).set_output(transform="pandas").fit(FRAME)
    wanted = StandardScaler().set_output(transform="pandas").fit_transform(FRAME)
    pd.testing.assert_frame_equal(wrapper.transform(frame()).compute(), wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn: numbers where there were names
        found = wrapper.transform(blocks(X)).compute()
    np.testing.assert_allclose(found.to_numpy(), wanted.to_numpy(), rtol=1e-12)


def test_the_form_of_an_encoder_over_text():
    """Of a made-up row that the encoder does not know: classes say the form, and without classes the user."""
    words = pd.DataFrame({"word": np.where(X[:, 0] > 0, "up", "down")})
    classifier = make_pipeline(OneHotEncoder(), LogisticRegression(max_iter=5000)).fit(words, Y)
    lazy = ParallelPostFit(classifier).predict_proba(frame(words))
    np.testing.assert_allclose(lazy.compute(), classifier.predict_proba(words), rtol=1e-12)
    regressor = make_pipeline(OneHotEncoder(), Ridge()).fit(words, T)
    with pytest.raises(DataError, match="predict_meta"):
        ParallelPostFit(regressor).predict(frame(words))
    lazy = ParallelPostFit(regressor, predict_meta=np.empty(0)).predict(frame(words))
    np.testing.assert_allclose(lazy.compute(), regressor.predict(words), rtol=1e-12)


def test_a_wrong_form_is_an_error():
    """Columns that differ from what the meta says, or answers that are no array, are refused."""
    lazy = ParallelPostFit(StandardScaler().fit(X), transform_meta=np.empty((0, 2))).transform(blocks(X))
    with pytest.raises(DataError, match=r"\(4,\).*\(2,\).*transform_meta"):
        lazy.compute()
    with pytest.raises(DataError, match="number of columns open"):
        ParallelPostFit(StandardScaler().fit(X), transform_meta=np.empty((0, 0))).transform(blocks(X))
    several = MultiOutputClassifier(LogisticRegression(max_iter=5000)).fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(DataError, match="list"):
        ParallelPostFit(several).predict_proba(blocks(X))
    with pytest.raises(DataError, match="expecting 4 features"):
        ParallelPostFit(StandardScaler().fit(X)).transform(blocks(X[:, :3]))


# --- scores

WEIGHTS = RNG.uniform(size=101)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["array", "unknown", "frame"])
def test_a_score_from_sums_is_that_of_all_rows(metric, kind, weights):
    """accuracy, r2 and the mean errors come out as in scikit-learn, to 1e-12, weighted or not."""
    target, estimator = (Y, GaussianNB()) if metric == "accuracy" else (T, LinearRegression())
    make = {"array": blocks, "unknown": unknown, "frame": lambda values: frame(pd.DataFrame(values))}[kind]
    rows = frame(pd.DataFrame(X)) if kind == "frame" else make(X)
    y = frame(pd.Series(target)) if kind == "frame" else make(target)
    model = clone(estimator).fit(X, target)
    given = {} if weights is None else {"sample_weight": weights}
    wanted = get_scorer(metric)(model, X, target, **given)
    lazy_weights = {} if weights is None else {"sample_weight": blocks(weights)}
    found = ParallelPostFit(model, scoring=metric).score(rows, y, **lazy_weights)
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"accuracy"}))
def test_a_score_of_several_outputs(metric):
    """With two targets the score is the mean over both, or scikit-learn's root of each."""
    both = np.stack([T, X[:, 0] ** 2], axis=1)
    model = LinearRegression().fit(X, both)
    found = ParallelPostFit(model, scoring=metric).score(blocks(X), blocks(both))
    assert found == pytest.approx(get_scorer(metric)(model, X, both), rel=1e-12)


@pytest.mark.parametrize("constant", [0.1, 3.0])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_r2_of_a_constant_target(constant, shift):
    """Without variance r2 is 1 for exact answers and 0 for others, as in scikit-learn."""
    model = LinearRegression().fit(X, np.zeros(101))
    model.coef_, model.intercept_ = np.zeros(4), constant + shift
    found = ParallelPostFit(model, scoring="r2").score(blocks(X), blocks(np.full(101, constant)))
    assert found == 1.0 - shift


@pytest.mark.parametrize(
    ("estimator", "target", "scoring"),
    [
        (LogisticRegression(max_iter=5000), Y == "yes", "roc_auc"),
        (LogisticRegression(max_iter=5000), Y, "neg_log_loss"),
        (KNeighborsClassifier(), Y, "f1_macro"),
        (Ridge(), T, "explained_variance"),
        (Ridge(), T, make_scorer(mean_squared_error, greater_is_better=False)),
        (KMeans(2, n_init=1, random_state=0), Y, lambda model, X, y: float(np.mean(model.predict(X)))),
    ],
)
def test_other_scores_gather_the_answers(estimator, target, scoring):
    """A scorer without sums, or of the user's own, gives what it gives on all rows."""
    model = clone(estimator).fit(X, target)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    wanted = scorer(model, X, target)
    wrapper = ParallelPostFit(model, scoring=scoring)
    assert wrapper.score(blocks(X), blocks(target)) == pytest.approx(wanted, rel=1e-12)
    assert wrapper.score(unknown(X), target) == pytest.approx(wanted, rel=1e-12)
    assert wrapper.score(X, target) == pytest.approx(wanted, rel=1e-12)


def test_several_scores_at_once():
    """A list of names gives a dict, in memory and on blocks."""
    wrapper = ParallelPostFit(GaussianNB().fit(X, Y), scoring=["accuracy", "f1_macro"])
    assert wrapper.score(blocks(X), blocks(Y)) == pytest.approx(wrapper.score(X, Y), rel=1e-12)


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(),
        Ridge(),
        make_pipeline(StandardScaler(), GaussianNB()),
        GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=2),
        GridSearchCV(
            GaussianNB(), {"var_smoothing": [1e-9]}, cv=2, scoring=["f1_macro", "accuracy"], refit="f1_macro"
        ),
    ],
)
def test_the_own_score_of_an_estimator(estimator):
    """Without `scoring` the estimator's own score: accuracy, r2, that of a pipeline's end or of a search."""
    target = T if is_regressor(estimator) else Y
    model = estimator.fit(X, target)
    found = ParallelPostFit(model).score(blocks(X), blocks(target))
    assert found == pytest.approx(model.score(X, target), rel=1e-12)


def test_an_own_score_of_another_kind_warns():
    """KMeans scores by all rows: they are gathered, and the user is told."""
    model = KMeans(2, n_init=1, random_state=0).fit(X)
    with pytest.warns(UserWarning, match=r"KMeans.*scoring="):
        found = ParallelPostFit(model).score(blocks(X))
    assert found == pytest.approx(model.score(X), rel=1e-12)


def test_scores_that_cannot_be():
    """Unknown names, delayed scores that need all answers, and y that does not line up say what to do."""
    model = GaussianNB().fit(X, Y)
    with pytest.raises(ScoringError, match="acuracy"):
        ParallelPostFit(model, scoring="acuracy").score(X, Y)
    with pytest.raises(ScoringError, match="acuracy"):
        ParallelPostFit(GaussianNB(), scoring="acuracy").fit(X, Y)
    with pytest.raises(ScoringError, match="compute=True"):
        ParallelPostFit(model, scoring="f1_macro").score(blocks(X), blocks(Y), compute=False)
    with pytest.raises(DataError, match="4 blocks and y has 1"):
        ParallelPostFit(model).score(blocks(X), frame(pd.Series(Y)).repartition(npartitions=1))
    with pytest.raises(DataError, match="X has 101 rows and y has 100"):
        ParallelPostFit(model).score(blocks(X), Y[:100])
    with pytest.raises(DataError, match="no row"):
        ParallelPostFit(model).score(blocks(X[:0], (0, 0)), blocks(Y[:0], (0, 0)))
    with pytest.raises(DataError, match="compute"):
        ParallelPostFit(model).score(X, blocks(Y))


# --- training


def by_hand(estimator, order, data=X, target=Y, classes=None, rows=ROWS):
    """The estimator after partial_fit on these blocks in this order; blocks without rows are left out."""
    model, at = clone(estimator), np.cumsum((0, *rows))
    for number in order:
        part = slice(at[number], at[number + 1])
        if rows[number]:
            model.partial_fit(data[part], target[part], **({} if classes is None else {"classes": classes}))
    return model


def shuffled(seed, count=4):
    """The order that dask-ml documents: a shuffled range."""
    order = list(range(count))
    np.random.RandomState(seed).shuffle(order)
    return order


@pytest.mark.parametrize("seed", [0, 3, None])
@pytest.mark.parametrize("kind", ["array", "unknown", "columns"])
def test_training_is_partial_fit_block_by_block(kind, seed):
    """fit is a loop of partial_fit over the blocks, in order or as shuffled by random_state."""
    wrapper = Incremental(SGDClassifier(random_state=1), shuffle_blocks=seed is not None, random_state=seed)
    y = unknown(Y) if kind == "unknown" else blocks(Y)
    wrapper.fit(KINDS[kind](X), y, classes=np.unique(Y))
    order = range(4) if seed is None else shuffled(seed)
    model = by_hand(SGDClassifier(random_state=1), order, classes=np.unique(Y))
    assert (wrapper.coef_ == model.coef_).all()
    assert wrapper.t_ == model.t_
    assert (wrapper.predict(blocks(X)).compute() == model.predict(X)).all()
    assert not hasattr(wrapper.estimator, "coef_")


def test_training_on_frames_keeps_names():
    """Blocks of a Dask frame reach partial_fit as frames."""
    wrapper = Incremental(SGDRegressor(random_state=0), shuffle_blocks=False).fit(
        frame(), frame(pd.Series(T))
    )
    assert (wrapper.coef_ == by_hand(SGDRegressor(random_state=0), range(4), FRAME.to_numpy(), T).coef_).all()
    assert list(wrapper.feature_names_in_) == COLUMNS


def test_training_without_target():
    """Transformers and clusterers learn without y."""
    model = IncrementalPCA(2)
    for part in (X[:40], X[40:73], X[73:]):
        model.partial_fit(part)
    wrapper = Incremental(IncrementalPCA(2), shuffle_blocks=False).fit(blocks(X))
    assert (wrapper.components_ == model.components_).all()
    np.testing.assert_allclose(wrapper.transform(blocks(X)).compute(), model.transform(X), rtol=1e-12)
    assert Incremental(MiniBatchKMeans(2, n_init=1), random_state=0).fit(
        sparse(X)
    ).cluster_centers_.shape == (2, 4)


@pytest.mark.parametrize("make", [blocks, unknown, lambda values: values], ids=["array", "unknown", "memory"])
def test_classes_are_found_in_y(make):
    """A classifier that needs `classes` gets all of them, whatever the first block holds."""
    target = np.sort(Y)
    wrapper = Incremental(SGDClassifier(random_state=1), shuffle_blocks=False)
    rows = X if isinstance(make(target), np.ndarray) else make(X)
    wrapper.fit(rows, make(target))
    sizes = (101,) if rows is X else ROWS
    model = by_hand(SGDClassifier(random_state=1), range(len(sizes)), X, target, np.unique(Y), sizes)
    assert wrapper.classes_.tolist() == ["maybe", "no", "yes"]
    assert (wrapper.coef_ == model.coef_).all()


def test_partial_fit_goes_on():
    """partial_fit is fit the first time, then one more pass from where the model stood; fit begins anew."""
    model = by_hand(SGDRegressor(random_state=0), [0, 1, 2, 3, 0, 1, 2, 3], target=T)
    wrapper = Incremental(SGDRegressor(random_state=0), shuffle_blocks=False)
    once = copy.deepcopy(wrapper.partial_fit(blocks(X), blocks(T)).coef_)
    assert (wrapper.partial_fit(blocks(X), blocks(T)).coef_ == model.coef_).all()
    assert (wrapper.fit(blocks(X), blocks(T)).coef_ == once).all()
    trained = SGDRegressor(random_state=0).fit(X, T)
    longer = ParallelPostFit(trained).partial_fit(X, T)
    assert longer.t_ == trained.t_ + 101


def test_weights_are_cut_where_x_is():
    """sample_weight goes with its rows, as a Dask Array or in memory."""
    model, at = SGDRegressor(random_state=0), np.cumsum((0, *ROWS))
    for a, b in itertools.pairwise(at):
        if a < b:
            model.partial_fit(X[a:b], T[a:b], sample_weight=WEIGHTS[a:b])
    for weights in (blocks(WEIGHTS), WEIGHTS):
        wrapper = Incremental(SGDRegressor(random_state=0), shuffle_blocks=False)
        assert (wrapper.fit(blocks(X), T, sample_weight=weights).coef_ == model.coef_).all()


class Block(np.ndarray):
    """An array that tells when it goes."""

    here = threading.RLock()
    alive = most = 0

    @classmethod
    def load(cls, number):
        block = np.full((3, 2), float(number)).view(cls)
        with cls.here:
            cls.alive += 1
            cls.most = max(cls.most, cls.alive)
        weakref.finalize(block, cls.gone)
        return block

    @classmethod
    def gone(cls):
        with cls.here:
            cls.alive -= 1


def forty_blocks():
    """A Dask Array of forty blocks that know how many of them are in memory."""
    Block.alive = Block.most = 0
    load = dask.delayed(Block.load, pure=False)
    return da.concatenate([da.from_delayed(load(number), (3, 2), dtype=float) for number in range(40)])


class Forgetting(BaseEstimator):
    """Learns the numbers of the blocks in the order in which they come, and keeps no row."""

    def partial_fit(self, X, y=None):
        self.seen_ = [*getattr(self, "seen_", []), float(np.asarray(X)[0, 0])]
        return self


def test_blocks_are_not_held():
    """Of forty blocks at most two are in memory at a time."""
    wrapper = Incremental(Forgetting(), shuffle_blocks=False).fit(forty_blocks())
    assert wrapper.seen_ == list(range(40))
    assert 1 <= Block.most <= 2


def test_what_cannot_be_trained():
    """Each mistake is named with both numbers, and a next move."""
    sgd = SGDRegressor()
    with pytest.raises(DataError, match=r"4 blocks and y has 2.*rechunk"):
        Incremental(sgd).fit(blocks(X), blocks(T, (50, 51)))
    with pytest.raises(DataError, match=r"block 0: X has 40 rows and y has 41.*rechunk"):
        Incremental(sgd).fit(blocks(X), blocks(T, (41, 0, 32, 28)))
    with pytest.raises(DataError, match="block 2: X has 33 rows and y has 32"):
        Incremental(sgd, shuffle_blocks=False).fit(unknown(X), unknown(T, (40, 0, 32, 29)))
    with pytest.raises(DataError, match=r"unknown size.*compute_chunk_sizes"):
        Incremental(sgd).fit(unknown(X), T)
    with pytest.raises(DataError, match="no row"):
        Incremental(sgd).fit(blocks(X[:0], (0, 0)), blocks(T[:0], (0, 0)))
    with pytest.raises(DataError, match="X is in memory"):
        Incremental(sgd).fit(X, blocks(T))
    for shapeless in (dask.delayed(X), dask.bag.from_sequence(X.tolist(), npartitions=2)):
        with pytest.raises(DataError, match="no blocks of rows; pass a Dask Array"):
            Incremental(sgd).fit(shapeless, blocks(T))
    with pytest.raises(UserError, match="LinearRegression has no partial_fit"):
        Incremental(LinearRegression()).fit(blocks(X), blocks(T))
    with pytest.raises(UserError, match="no estimator"):
        Incremental().fit(X, T)
    with pytest.raises(ScoringError, match="acuracy"):
        Incremental(sgd, scoring="acuracy").fit(blocks(X), blocks(T))


def test_unequal_chunks_are_made_equal_on_request():
    """assume_equal_chunks=False rechunks y like X."""
    wrapper = Incremental(SGDRegressor(random_state=0), shuffle_blocks=False, assume_equal_chunks=False)
    wrapper.fit(blocks(X), blocks(T, (50, 51)))
    assert (wrapper.coef_ == by_hand(SGDRegressor(random_state=0), range(4), target=T).coef_).all()


def fit_in_a_task():
    """What Incremental learned inside a task of the cluster."""
    return Incremental(SGDRegressor(random_state=0), shuffle_blocks=False).fit(blocks(X), blocks(T)).coef_


def test_on_a_cluster(dask_threads):
    """With a client, blocks are used on its workers: same model, few blocks at a time, errors as without."""
    with dask.config.set(scheduler=None), distributed.Client(dask_threads) as client:
        model = by_hand(SGDRegressor(random_state=0), range(4), target=T)
        wrapper = Incremental(SGDRegressor(random_state=0), shuffle_blocks=False).fit(blocks(X), blocks(T))
        assert (wrapper.coef_ == model.coef_).all()
        np.testing.assert_allclose(wrapper.predict(blocks(X)).compute(), model.predict(X), rtol=1e-12)
        assert wrapper.score(blocks(X), blocks(T)) == pytest.approx(model.score(X, T), rel=1e-12)
        with pytest.raises(DataError, match="block 2"):
            Incremental(SGDRegressor(), shuffle_blocks=False).fit(unknown(X), unknown(T, (40, 0, 32, 29)))
        for rows, y in (
            (split_columns(X).persist(), blocks(T).persist()),
            (blocks(X).persist() * 1, blocks(T)),
            (frame().persist(), frame(pd.Series(T)).persist()),
        ):
            kept = Incremental(SGDRegressor(random_state=0), shuffle_blocks=False).fit(rows, y)
            assert (kept.coef_ == model.coef_).all()
            assert kept.score(rows, y) == pytest.approx(model.score(X, T), rel=1e-12)
        # Two tasks for two threads: each waits for tasks of its own.
        tasks = [client.submit(fit_in_a_task, pure=False) for _ in range(2)]
        assert all((task.result(timeout=60) == model.coef_).all() for task in tasks)


def test_blocks_are_not_held_on_a_cluster(dask_threads):
    """Of forty blocks a cluster has at most a few in memory at a time: one in use, one ahead, one going."""
    with dask.config.set(scheduler=None), distributed.Client(dask_threads):
        wrapper = Incremental(Forgetting(), shuffle_blocks=False).fit(forty_blocks())
    assert wrapper.seen_ == list(range(40))
    assert 1 <= Block.most <= 10


# --- scikit-learn's conventions


@pytest.mark.parametrize("wrap", [ParallelPostFit, Incremental])
def test_the_wrapper_is_an_estimator(wrap):
    """Parameters, clones, copies, kind, and being fitted are as scikit-learn wants them."""
    wrapper = wrap(SGDClassifier(alpha=0.5), scoring="accuracy", predict_meta=np.empty(0))
    check_get_params_invariance("wrapper", wrapper)
    check_estimator_cloneable("wrapper", wrapper)
    assert wrapper.get_params()["estimator__alpha"] == 0.5
    assert wrapper.set_params(estimator__alpha=0.25).estimator.alpha == 0.25
    assert is_classifier(wrapper)
    assert is_regressor(wrap(Ridge()))
    for early in (check_is_fitted, lambda fresh: fresh.predict(X)):
        with pytest.raises(NotFittedError):
            early(wrapper)
    assert hasattr(wrapper, "predict")
    assert not hasattr(wrapper, "coef_")
    again = pickle.loads(pickle.dumps(wrapper.fit(X, Y)))
    check_is_fitted(again)
    assert again.n_features_in_ == 4
    assert again.classes_.tolist() == ["maybe", "no", "yes"]
    assert (again.predict(X) == wrapper.predict(X)).all()
    assert not hasattr(clone(again), "classes_")
    assert "SGDClassifier" in repr(again)
    assert again._repr_html_()


def test_only_what_the_estimator_has():
    """A method that the estimator lacks is missing on the wrapper, and says whose it would be."""
    scaler = ParallelPostFit(StandardScaler())
    assert hasattr(scaler, "inverse_transform")
    assert not any(
        hasattr(scaler, name) for name in ("predict", "predict_proba", "score", "decision_function")
    )
    with pytest.raises(AttributeError, match=r"StandardScaler.*predict_proba"):
        scaler.predict_proba(X)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        scaler.nonsense  # noqa: B018
    assert not hasattr(ParallelPostFit(), "predict")
    assert not hasattr(ParallelPostFit(Ridge()), "partial_fit")
    assert scaler.fit(FRAME).get_feature_names_out().tolist() == COLUMNS


def test_an_estimator_that_is_fitted_already():
    """It is asked as it is; a clone forgets it, unless it is frozen."""
    model = LogisticRegression(max_iter=5000).fit(X, Y)
    wrapper = ParallelPostFit(model)
    check_is_fitted(wrapper)
    assert wrapper.classes_ is model.classes_
    with pytest.raises(NotFittedError):
        clone(wrapper).predict(blocks(X))
    frozen = clone(ParallelPostFit(FrozenEstimator(model))).fit(X, Y)
    assert (frozen.predict(blocks(X)).compute() == model.predict(X)).all()


def test_inside_scikit_learn():
    """The wrapper takes part in searches and pipelines."""
    search = GridSearchCV(Incremental(SGDClassifier(random_state=0)), {"estimator__alpha": [1e-4, 1.0]}, cv=2)
    assert search.fit(X, Y).best_params_["estimator__alpha"] in (1e-4, 1.0)
    chain = make_pipeline(ParallelPostFit(StandardScaler()), ParallelPostFit(GaussianNB())).fit(X, Y)
    wanted = make_pipeline(StandardScaler(), GaussianNB()).fit(X, Y).predict(X)
    assert (chain.predict(blocks(X)).compute() == wanted).all()
    assert chain.set_output(transform="pandas")[:-1].transform(X).shape == (101, 4)
    with config_context(enable_metadata_routing=True):
        assert "compute" not in str(ParallelPostFit(GaussianNB()).get_metadata_routing())


# --- dask-ml


@pytest.fixture
def theirs():
    """dask_ml.wrappers, where they can be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "dask_ml.wrappers", reason="dask-ml is not installed", exc_type=ImportError
        )


@pytest.mark.parametrize("name", ["ParallelPostFit", "Incremental"])
def test_the_constructor_is_that_of_dask_ml(theirs, name):
    """Same parameters, same defaults, same order."""
    assert getattr(prefect_tune, name)().get_params(deep=False) == getattr(theirs, name)().get_params(
        deep=False
    )
    assert list(getattr(prefect_tune, name)._get_param_names()) == getattr(theirs, name)._get_param_names()


def test_answers_and_training_are_those_of_dask_ml(theirs):
    """Where dask-ml works, it and we agree: order of blocks, model, answers, score."""
    rows, target = da.from_array(X, chunks=(25, 4)), da.from_array(T, chunks=25)
    for seed in (0, 1, 2):
        options = {"random_state": seed, "scoring": "neg_mean_squared_error"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old = theirs.Incremental(SGDRegressor(random_state=0), **options).fit(rows, target)
            new = Incremental(SGDRegressor(random_state=0), **options).fit(rows, target)
            assert (new.coef_ == old.coef_).all()
            assert (new.predict(rows).compute() == old.predict(rows).compute()).all()
            assert new.score(rows, target) == pytest.approx(float(old.score(rows, target)), rel=1e-12)
    old = theirs.ParallelPostFit(LogisticRegression(max_iter=5000)).fit(X, Y)
    new = ParallelPostFit(LogisticRegression(max_iter=5000)).fit(X, Y)
    assert (new.predict_proba(rows).compute() == old.predict_proba(rows).compute()).all()
