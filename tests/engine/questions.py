# ruff: noqa: E501 -- tables of cases, one per line
"""Searches over every kind of data, folds, scoring and fit parameters, as `name -> () -> (factory, X, y, params)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, fbeta_score, log_loss, make_scorer, mean_pinball_loss
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import KernelCenterer, MaxAbsScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from structures import frame, numbers, target
from toys import Choosy, Cubes, FailsLater, Scaler, Writer, accuracy, best_by_hand, raises, two_scores

QUESTIONS: dict[str, Callable[[], tuple]] = {}
SCALED = Pipeline([("s", StandardScaler()), ("c", LogisticRegression())])
C = {"c__C": [0.01, 1.0]}


def case(build: Callable[[], tuple]) -> Callable[[], tuple]:
    """Enters a case under its name."""
    QUESTIONS[build.__name__] = build
    return build


def ask(estimator: Any, space: Any, X: Any, y: Any = None, params: Any = None, **options: Any) -> tuple:
    """A grid search over three folds with arguments of `fit`."""
    return partial(GridSearchCV, estimator, space, **{"cv": 3, **options}), X, y, params or {}


def entered(prefix: str, **questions: Any) -> None:
    """Enters several cases that differ in one thing."""
    for name, question in questions.items():
        QUESTIONS[f"{prefix}_{name}"] = partial(lambda question: question, question)


X, Y = numbers()
LISTED = [f"{'good fine nice' if label else 'bad poor sad'} word{i % 7}" for i, label in enumerate(Y)]

# -- data --------------------------------------------------------------------------------------------------

entered(
    "data",
    strided=ask(SCALED, C, np.repeat(X, 2, axis=0)[::2], Y[::-1]),
    float32=ask(SCALED, C, X.astype("f4"), Y),
    integers=ask(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}, (X * 10).astype("i2"), Y.astype("i1")),
    big_endian=ask(GaussianNB(), {"var_smoothing": [1e-9, 1.0]}, X.astype(">f8"), Y),
    lists=ask(SCALED, C, X.tolist(), Y.tolist()),
    text_labels=ask(SCALED, C, X, np.array(["a", "b", "c"])[Y]),
    object_labels=ask(SCALED, C, X, np.array(["a", "b", "c"], dtype=object)[Y]),
    booleans=ask(SCALED, C, X, Y > 0, scoring="roc_auc"),
    frame=ask(SCALED, C, pd.DataFrame(X, columns=list("abcde")), pd.Series(Y, name="y")),
    frame_with_odd_index=ask(SCALED, C, pd.DataFrame(X, columns=list("abcde"), index=range(100, 160)), pd.Series(Y, index=range(100, 160))),
    categories=ask(make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, frame()[0][["town", "kind"]], frame()[1]),
    csr=ask(make_pipeline(MaxAbsScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, sp.csr_matrix(X * (X > 0)), Y),
    csc=ask(make_pipeline(MaxAbsScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, sp.csc_matrix(X * (X > 0)), Y),
    coo=ask(make_pipeline(MaxAbsScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, sp.coo_matrix(X * (X > 0)), Y),
    sparse_array=ask(make_pipeline(MaxAbsScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, sp.csr_array(X * (X > 0)), Y),
    strings=ask(make_pipeline(CountVectorizer(), TfidfTransformer(), MultinomialNB()), {"countvectorizer__ngram_range": [(1, 1), (1, 2)], "multinomialnb__alpha": [0.1, 1]}, LISTED, Y),
    array_of_strings=ask(make_pipeline(make_union(CountVectorizer(), CountVectorizer(analyzer="char")), MultinomialNB()), {"multinomialnb__alpha": [0.1, 1]}, np.array(LISTED, dtype=object), Y),
    series_of_strings=ask(make_pipeline(CountVectorizer(), MultinomialNB()), {"multinomialnb__alpha": [0.1, 1]}, pd.Series(LISTED), Y),
    dicts=ask(make_pipeline(DictVectorizer(), MultinomialNB()), {"multinomialnb__alpha": [0.1, 1]}, [{"w": w.split()[0], "n": i % 3} for i, w in enumerate(LISTED)], Y),
    cubes=ask(make_pipeline(Cubes(), GaussianNB()), {"cubes__power": [1, 2]}, np.random.default_rng(0).normal(size=(40, 3, 4)), np.arange(40) % 2),
    multilabel=ask(MultiOutputClassifier(LogisticRegression()), {"estimator__C": [0.1, 1]}, X, np.c_[Y > 0, Y > 1].astype(int), scoring="accuracy"),
    multilabel_sparse=ask(OneVsRestClassifier(LogisticRegression()), {"estimator__C": [0.1, 1]}, X, sp.csr_matrix(np.c_[Y > 0, Y > 1].astype(int)), scoring="f1_macro"),
    multitarget=ask(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1]}, X, np.c_[target()[1], target()[1] ** 2]),
    frame_as_target=ask(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1]}, X, pd.DataFrame({"a": target()[1], "b": X[:, 0]})),
    kernel=ask(SVC(kernel="precomputed"), {"C": [0.1, 1]}, rbf_kernel(X), Y, return_train_score=True),
    kernel_chain=ask(make_pipeline(KernelCenterer(), SVC(kernel="precomputed")), {"svc__C": [0.1, 1]}, rbf_kernel(X), Y),
    kernel_by_candidate=ask(SVC(), {"kernel": ["precomputed", "linear"], "C": [1.0, 2.0]}, rbf_kernel(X), Y),
    kernel_step_by_candidate=ask(Pipeline([("c", SVC())]), {"c": [SVC(kernel="precomputed"), SVC()], "c__C": [1.0, 2.0]}, rbf_kernel(X), Y),
    distances=ask(KNeighborsClassifier(metric="precomputed"), {"n_neighbors": [1, 3]}, 1 - rbf_kernel(X), Y),
    unsupervised_clusters=ask(make_pipeline(StandardScaler(), KMeans(n_init=1, random_state=0)), {"kmeans__n_clusters": [2, 3]}, X, return_train_score=True),
    unsupervised_mixture=ask(GaussianMixture(random_state=0), {"n_components": [1, 2]}, X),
    unsupervised_pca=ask(PCA(), {"n_components": [1, 2]}, X),
    unsupervised_pca_chain=ask(make_pipeline(StandardScaler(), PCA()), {"pca__n_components": [1, 2]}, X),
    unsupervised_density=ask(KernelDensity(), {"bandwidth": [0.5, 1]}, X),
    clusters_against_truth=ask(KMeans(n_init=1, random_state=0), {"n_clusters": [2, 3]}, X, Y, scoring="adjusted_rand_score"),
)  # fmt: skip

# -- folds -------------------------------------------------------------------------------------------------

GROUPS = {"groups": np.arange(60) // 6}

entered(
    "cv",
    default=ask(SCALED, C, X, Y, cv=None),
    number=ask(SCALED, C, X, Y, cv=4),
    unshuffled=ask(SCALED, C, X, Y, cv=KFold(3)),
    shuffled=ask(SCALED, C, X, Y, cv=StratifiedKFold(3, shuffle=True, random_state=7)),
    shuffled_by_generator=ask(SCALED, C, X, Y, cv=KFold(3, shuffle=True, random_state=np.random.RandomState(1))),
    shuffle_split=ask(SCALED, C, X, Y, cv=ShuffleSplit(4, test_size=0.3, random_state=0)),
    repeated=ask(SCALED, C, X, Y, cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)),
    time=ask(SCALED, C, X, np.arange(60) % 3, cv=TimeSeriesSplit(3)),
    one_split=ask(SCALED, C, X, Y, cv=PredefinedSplit([-1] * 40 + [0] * 20), return_train_score=True),
    listed=ask(SCALED, C, X, Y, cv=[(np.arange(0, 40), np.arange(40, 60)), (np.arange(59, 19, -1), np.arange(0, 20))]),
    masks=ask(SCALED, C, X, Y, cv=[(np.arange(60) % 3 != k, np.arange(60) % 3 == k) for k in range(2)]),
    overlapping=ask(SCALED, C, X, Y, cv=[(list(range(50)), list(range(30, 60))), (list(range(50)), list(range(30)))]),
    groups=ask(SCALED, C, X, Y, GROUPS, cv=GroupKFold(3)),
    groups_as_list=ask(SCALED, C, X, Y, {"groups": [f"g{i // 6}" for i in range(60)]}, cv=LeaveOneGroupOut()),
    group_shuffle=ask(SCALED, C, X, Y, GROUPS, cv=GroupShuffleSplit(2, random_state=0)),
)  # fmt: skip

# -- scoring -----------------------------------------------------------------------------------------------

BOTH = {
    "acc": "accuracy",
    "loss": make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
}
REGRESSION = (Pipeline([("s", StandardScaler()), ("c", Ridge())]), {"c__alpha": [0.1, 10.0]}, *target())

entered(
    "scoring",
    name=ask(SCALED, C, X, Y, scoring="balanced_accuracy"),
    listed=ask(SCALED, C, X, Y, scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss", return_train_score=True),
    tuple_=ask(SCALED, C, X, Y, scoring=("accuracy", "f1_macro"), refit=False),
    dict_=ask(SCALED, C, X, Y, scoring=BOTH, refit="loss"),
    dict_of_one=ask(SCALED, C, X, Y, scoring={"score": "accuracy"}, refit="score"),
    function=ask(SCALED, C, X, Y, scoring=accuracy, return_train_score=True),
    function_of_many=ask(SCALED, C, X, Y, scoring=two_scores, refit="acc", return_train_score=True),
    mixed=ask(SCALED, C, X, Y, scoring={"mine": accuracy, "theirs": "accuracy"}, refit="mine"),
    made=ask(SCALED, C, X, Y > 0, scoring=make_scorer(fbeta_score, beta=2)),
    made_of_decisions=ask(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1]}, X, Y > 0, scoring=make_scorer(_rank := lambda y, d: float(np.mean(d[y]) - np.mean(d[~y])), response_method="decision_function")),
    made_of_any=ask(SCALED, C, X, Y > 0, scoring="average_precision"),
    regression=ask(*REGRESSION, scoring=["r2", "neg_root_mean_squared_error"], refit="r2"),
    regression_made=ask(*REGRESSION, scoring=make_scorer(mean_pinball_loss, alpha=0.9, greater_is_better=False)),
    none_refit=ask(SCALED, C, X, Y, refit=False),
    refit_by_hand=ask(DummyClassifier(), {"strategy": ["prior", "most_frequent"]}, X, Y, refit=best_by_hand),
    ties=ask(DummyClassifier(), {"strategy": ["prior", "most_frequent", "constant"], "constant": [0]}, X, Y),
    weighted=ask(SCALED, C, X, Y, scoring=make_scorer(accuracy_score, normalize=False)),
)  # fmt: skip

# -- arguments of fit --------------------------------------------------------------------------------------

WEIGHTS = np.linspace(0.1, 2, 60)

entered(
    "fit",
    weights=ask(LogisticRegression(), {"C": [0.1, 1]}, X, Y, {"sample_weight": WEIGHTS}),
    weights_as_list=ask(LogisticRegression(), {"C": [0.1, 1]}, X, Y, {"sample_weight": WEIGHTS.tolist()}, scoring=["accuracy", "f1_macro"], refit="accuracy"),
    weights_of_a_step=ask(SCALED, C, X, Y, {"c__sample_weight": WEIGHTS}),
    weights_of_two_steps=ask(SCALED, {**C, "s__with_mean": [True, False]}, X, Y, {"c__sample_weight": WEIGHTS, "s__sample_weight": WEIGHTS[::-1].copy()}),
    weights_below_a_chain=ask(make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), GaussianNB())), {"pipeline__gaussiannb__var_smoothing": [1e-9, 1.0]}, X, Y, {"pipeline__gaussiannb__sample_weight": WEIGHTS}),
    weights_of_replaced_steps=ask(SCALED, {"c": [GaussianNB(), LogisticRegression()]}, X, Y, {"c__sample_weight": WEIGHTS}),
    no_weights=ask(LogisticRegression(), {"C": [0.1, 1]}, X, Y, {"sample_weight": None}),
)  # fmt: skip

# -- failures, and steps that misbehave -------------------------------------------------------------------

FAILS = Pipeline([("a", Scaler()), ("c", Choosy())])

entered(
    "error",
    in_fit=ask(FAILS, {"c__good": [False, True], "c__label": [0, 1]}, X, Y, return_train_score=True),
    in_prefix=ask(FAILS, {"a__fail": [True, False], "c__label": [0, 1]}, X, Y, error_score=-1.0),
    in_prefix_of_many=ask(FAILS, {"a__fail": [True, False]}, X, Y, scoring=["accuracy", "f1_macro"], refit="accuracy", error_score=0),
    in_function_of_many=ask(FAILS, {"c__good": [False, True]}, X, Y, scoring=two_scores, refit="acc", return_train_score=True),
    in_scorer=ask(SCALED, C, X[:50], Y[:50], scoring=raises, cv=4, error_score=0.25),
    in_one_scorer=ask(SCALED, C, X[:50], Y[:50], scoring={"a": raises, "b": "accuracy"}, cv=4, refit="b", return_train_score=True),
    at_scoring=ask(Pipeline([("f", FailsLater()), ("c", GaussianNB())]), {"f__rows": [0, 30]}, X, Y, return_train_score=True),
    at_scoring_everywhere=ask(Pipeline([("f", FailsLater(30)), ("c", GaussianNB())]), {"c__var_smoothing": [1e-9, 1.0]}, X, Y, return_train_score=True, error_score=0.5),
    invalid_parameter=ask(SCALED, {"c__C": [-1.0, 1.0], "s__with_mean": [True, "no"]}, X, Y),
    invalid_chain=ask(Pipeline([("s", StandardScaler()), ("c", GaussianNB())]), {"s": [GaussianNB(), StandardScaler()], "c__var_smoothing": [1e-9]}, X, Y),
    invalid_union=ask(make_pipeline(make_union(PCA(1), StandardScaler()), GaussianNB()), {"featureunion__transformer_weights": [{"nobody": 1.0}, None]}, X, Y),
)  # fmt: skip
# What scikit-learn's own fit raises, and ours raises alike.
RAISES = {
    "all_fail": ask(FAILS, {"c__good": [False], "c__label": [0, 1]}, X, Y),
    "all_fail_in_prefix": ask(FAILS, {"a__fail": [True], "c__label": [0, 1]}, X, Y, error_score=0.0),
    "raise_in_fit": ask(FAILS, {"c__good": [True, False]}, X, Y, error_score="raise"),
    "raise_in_prefix": ask(FAILS, {"a__fail": [False, True]}, X, Y, error_score="raise"),
    "raise_in_scorer": ask(SCALED, C, X[:50], Y[:50], scoring=raises, cv=4, error_score="raise"),
    "raise_in_one_scorer": ask(
        SCALED, C, X[:50], Y[:50], scoring={"a": raises, "b": "accuracy"}, cv=4, refit="b", error_score="raise"
    ),
    "raise_at_scoring": ask(
        Pipeline([("f", FailsLater(30)), ("c", GaussianNB())]), {"c__var_smoothing": [1.0]}, X, Y, error_score="raise"
    ),
    "raise_for_an_invalid_chain": ask(
        Pipeline([("s", GaussianNB()), ("c", GaussianNB())]), {"c__var_smoothing": [1.0]}, X, Y, error_score="raise"
    ),
    "raise_for_an_invalid_name": ask(
        Pipeline([("steps", StandardScaler()), ("c", GaussianNB())]), {"c__var_smoothing": [1.0]}, X, Y, error_score="raise"
    ),
    "wrong_method": ask(
        make_pipeline(StandardScaler(), SVC()), {"svc__C": [1.0]}, X, Y,
        scoring={"a": "accuracy", "l": "neg_log_loss"}, refit="a",
    ),
    "no_number": ask(SCALED, C, X, Y, scoring=lambda estimator, X, y: "good"),
    "refit_out_of_range": ask(SCALED, C, X, Y, refit=lambda results: 2),
    "refit_no_integer": ask(SCALED, C, X, Y, refit=lambda results: 0.5),
    "refit_of_function": ask(SCALED, C, X, Y, scoring=two_scores),
    "no_split": ask(SCALED, C, X, Y, cv=[]),
    "too_many_folds": ask(SCALED, C, X, Y, cv=61),
    "groups_missing": ask(SCALED, C, X, Y, cv=GroupKFold(3)),
    "kernel_not_square": ask(SVC(kernel="precomputed"), {"C": [1.0]}, X, Y),
    "lengths": ask(SCALED, C, X, Y[:-1]),
    "argument_of_no_step": ask(SCALED, C, X, Y, {"sample_weight": WEIGHTS}),
}  # fmt: skip

entered(
    "writes",
    toy=ask(Pipeline([("w", Writer()), ("s", StandardScaler()), ("c", SVC())]), {"w__shift": [0.0, 1.0], "c__C": [0.1, 1]}, X, Y),
    scaler=ask(Pipeline([("s", StandardScaler(copy=False)), ("p", PCA(copy=False)), ("c", SVC())]), {"p__n_components": [1, 2], "c__C": [0.1, 1]}, X, Y),
    whole=ask(Pipeline([("w", Writer()), ("c", GaussianNB())]), {"w__shift": [0.0, 1.0]}, X, Y, scoring=accuracy),
    union=ask(make_pipeline(StandardScaler(), make_union(PCA(2), Writer()), SVC()), {"svc__C": [0.1, 1]}, X, Y),
    sparse=ask(make_pipeline(MaxAbsScaler(copy=False), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, sp.csr_matrix(X * (X > 0)), Y),
    forest=ask(RandomForestClassifier(3, random_state=0), {"max_depth": [1, 3]}, X, Y),
)  # fmt: skip
