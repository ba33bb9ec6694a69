"""Searches over estimators of every structure, as `name -> () -> (search factory, X, y)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingRegressor
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from toys import Forgetful, Scaler, last_columns, text_columns

STRUCTURES: dict[str, Callable[[], tuple]] = {}


def case(build: Callable[[], tuple]) -> Callable[[], tuple]:
    """Enters a case under its name."""
    STRUCTURES[build.__name__] = build
    return build


def numbers(n: int = 60, width: int = 5, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Numeric data with some signal."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, width)) + y[:, None] * np.linspace(0.2, 1, width), y


def target(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Data for regression."""
    X, _ = numbers(n)
    return X, X @ np.arange(1.0, 6) + np.random.default_rng(1).normal(size=n) + 20


def frame(n: int = 60) -> tuple[pd.DataFrame, pd.Series]:
    """A frame with numbers, gaps, text and categories; y is a Series of text."""
    X, y = numbers(n, 3)
    rng = np.random.default_rng(2)
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    table.loc[::7, "b"] = np.nan
    table["town"] = rng.choice(["Ulm", "Bonn", "Köln"], n)
    table["kind"] = pd.Categorical(rng.choice(["x", "y"], n), categories=["y", "x", "z"])
    return table, pd.Series(np.array(["low", "mid", "top"])[y], name="goal")


def grid(estimator: Any, space: Any, data: Any = numbers, **options: Any) -> tuple:
    """A grid search over three folds."""
    return (partial(GridSearchCV, estimator, space, **{"cv": 3, **options}), *data())


@case
def chain():
    pipe = Pipeline([("scale", StandardScaler()), ("pca", PCA()), ("clf", SVC())])
    return grid(pipe, {"pca__n_components": [2, 3], "clf__C": [0.1, 1]}, return_train_score=True)


@case
def chain_of_scalers_with_duplicates():
    pipe = make_pipeline(StandardScaler(), MinMaxScaler(), GaussianNB())
    return grid(pipe, {"gaussiannb__var_smoothing": [1e-9, 1e-2, 1e-9]})


@case
def nested_chain():
    inner = Pipeline([("scale", StandardScaler()), ("pca", PCA(2))])
    pipe = Pipeline([("prep", inner), ("clf", LogisticRegression())])
    return grid(
        pipe, {"prep__pca__n_components": [1, 2], "prep__scale__with_mean": [True, False], "clf__C": [1, 2]}
    )


@case
def chain_that_ends_in_a_chain():
    tail = Pipeline([("poly", PolynomialFeatures()), ("clf", LogisticRegression(max_iter=50))])
    pipe = Pipeline([("scale", StandardScaler()), ("tail", tail)])
    return grid(pipe, {"tail__poly__degree": [1, 2], "tail__clf__C": [0.1, 1]}, return_train_score=True)


@case
def passthrough_steps():
    pipe = Pipeline([("a", "passthrough"), ("scale", StandardScaler()), ("b", None), ("clf", SVC())])
    return grid(pipe, {"scale": [StandardScaler(), "passthrough", MinMaxScaler(), None], "clf__C": [1, 10]})


@case
def replaced_steps():
    pipe = Pipeline([("prep", "passthrough"), ("clf", SVC())])
    space = [
        {"prep": ["passthrough", StandardScaler()], "clf": [SVC()], "clf__C": [0.1, 1]},
        {"prep": [PCA()], "prep__n_components": [1, 2], "clf": [LogisticRegression()], "clf__C": [1.0]},
        {
            "clf": [Pipeline([("s", StandardScaler()), ("nb", GaussianNB())])],
            "clf__nb__var_smoothing": [1e-9, 1],
        },
        {},
    ]
    return grid(pipe, space)


@case
def steps_themselves_replaced():
    steps = [[("s", StandardScaler()), ("c", GaussianNB())], [("c", SVC())]]
    return grid(Pipeline([("s", "passthrough"), ("c", SVC())]), {"steps": steps})


@case
def union_with_weights():
    union = FeatureUnion(
        [("pca", PCA(2)), ("best", SelectKBest(f_classif, k=1)), ("no", "drop"), ("all", "passthrough")]
    )
    pipe = Pipeline([("scale", StandardScaler()), ("feats", union), ("clf", SVC())])
    space = {
        "feats__pca__n_components": [1, 2],
        "feats__transformer_weights": [None, {"pca": 10.0, "all": 0.5}],
        "feats__best": [SelectKBest(f_classif, k=2), "drop", "passthrough"],
    }
    return grid(pipe, space)


@case
def union_of_unions():
    inner = make_union(PCA(1), SelectKBest(f_classif, k=2))
    union = FeatureUnion([("inner", inner), ("chain", make_pipeline(StandardScaler(), PCA(2)))])
    pipe = Pipeline([("u", union), ("clf", LogisticRegression())])
    return grid(pipe, {"u__inner__pca__n_components": [1, 2], "u__chain__pca__n_components": [1, 2]})


@case
def twins_in_a_union():
    union = FeatureUnion([("one", PCA(2)), ("two", PCA(2)), ("three", StandardScaler())])
    return grid(make_pipeline(union, SVC()), {"svc__C": [1, 2]})


@case
def only_a_union():
    union = FeatureUnion([("pca", PCA(2)), ("scale", StandardScaler())])
    return grid(union, {"pca__n_components": [1, 2]}, scoring=_width)


@case
def chain_that_ends_in_a_union():
    pipe = Pipeline([("s", StandardScaler()), ("u", FeatureUnion([("pca", PCA(2)), ("all", "passthrough")]))])
    return grid(pipe, {"u__pca__n_components": [1, 2]}, scoring=_width)


@case
def chain_that_ends_in_passthrough():
    pipe = Pipeline([("s", StandardScaler()), ("end", "passthrough")])
    return grid(pipe, {"s__with_mean": [True, False]}, scoring=_width)


def _width(estimator, X, y=None):
    return float(np.sum(np.abs(estimator.transform(X))))


@case
def columns_by_name():
    prep = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b", "c"]),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["town", "kind"]),
        ]
    )
    pipe = Pipeline([("prep", prep), ("clf", LogisticRegression())])
    space = {"prep__num__simpleimputer__strategy": ["mean", "median"], "prep__cat__drop": [None, "first"]}
    return grid(pipe, {**space, "clf__C": [0.1, 1]}, frame, return_train_score=True)


@case
def columns_by_selector():
    numeric, text = make_column_selector(dtype_include="number"), make_column_selector(pattern="town|kind")
    prep = ColumnTransformer([("num", SimpleImputer(), numeric), ("cat", OneHotEncoder(), text)])
    pipe = Pipeline([("prep", prep), ("clf", LogisticRegression())])
    return grid(pipe, {"prep__num__strategy": ["mean", "median"], "prep__sparse_threshold": [0, 1.0]}, frame)


@case
def columns_of_arrays():
    mask = np.array([True, False, True, False, False])
    prep = ColumnTransformer(
        [("one", PCA(1), [0, 2]), ("part", StandardScaler(), slice(1, 3)), ("mask", MinMaxScaler(), mask),
         ("call", Scaler(2.0), last_columns), ("none", PCA(), []), ("single", FunctionTransformer(), [-1])],
        remainder="passthrough",
    )  # fmt: skip
    space = {"prep__remainder": ["drop", "passthrough", StandardScaler()], "prep__call__factor": [1.0, 3.0]}
    return grid(Pipeline([("prep", prep), ("clf", SVC())]), space)


@case
def remainder_estimator():
    prep = ColumnTransformer([("one", StandardScaler(), [0])], remainder=PCA(2))
    pipe = Pipeline([("prep", prep), ("clf", SVC())])
    return grid(
        pipe,
        {"prep__remainder__n_components": [1, 2], "prep__one": [StandardScaler(), "drop", "passthrough"]},
    )


@case
def empty_selections():
    inner = FeatureUnion([("p", PCA(1)), ("s", StandardScaler())])
    prep = ColumnTransformer(
        [
            ("none", make_pipeline(StandardScaler(), PCA(1)), []),
            ("empty", inner, []),
            ("all", StandardScaler(), slice(0, 4)),
        ],
        remainder=StandardScaler(),
    )
    return grid(Pipeline([("prep", prep), ("clf", GaussianNB())]), {"clf__var_smoothing": [1e-9, 1e-3]})


@case
def pandas_output():
    prep = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]),
            ("cat", OneHotEncoder(sparse_output=False), ["town"]),
        ],
        remainder="drop",
        verbose_feature_names_out=False,
    )
    pipe = Pipeline([("prep", prep), ("pick", SelectKBest(f_classif)), ("clf", LogisticRegression())])
    return grid(pipe.set_output(transform="pandas"), {"pick__k": [1, 2]}, frame)


@case
def target_encoder():
    prep = ColumnTransformer(
        [("town", TargetEncoder(random_state=0), ["town", "kind"])], remainder=SimpleImputer()
    )
    pipe = Pipeline([("prep", prep), ("clf", LogisticRegression())])
    return grid(pipe, {"prep__town__smooth": [1.0, "auto"]}, frame, return_train_score=True)


@case
def columns_alone():
    prep = ColumnTransformer([("one", StandardScaler(), [0, 1])], remainder="passthrough")
    return grid(prep, {"one__with_std": [True, False]}, scoring=_width)


@case
def text_by_callable():
    prep = ColumnTransformer([("text", OneHotEncoder(), text_columns)])
    return grid(
        make_pipeline(prep, GaussianNBOfDense()), {"gaussiannbofdense__var_smoothing": [1e-3, 1e-1]}, frame
    )


class GaussianNBOfDense(GaussianNB):
    """A subclass of one of scikit-learn's estimators."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X.toarray() if hasattr(X, "toarray") else X, y, sample_weight)

    def predict(self, X):
        return super().predict(X.toarray() if hasattr(X, "toarray") else X)

    def predict_proba(self, X):
        return super().predict_proba(X.toarray() if hasattr(X, "toarray") else X)


@case
def one_estimator():
    return grid(SVC(), {"C": [0.1, 1], "kernel": ["linear", "rbf"]}, return_train_score=True)


@case
def one_versus_rest():
    return grid(
        OneVsRestClassifier(LinearSVC(random_state=0)), {"estimator__C": [0.1, 1], "n_jobs": [None, 1]}
    )


@case
def bagging():
    bag = BaggingClassifier(DecisionTreeClassifier(), n_estimators=4, random_state=0)
    return grid(
        bag,
        {
            "estimator__max_depth": [1, 3],
            "estimator": [DecisionTreeClassifier(), DecisionTreeClassifier(criterion="entropy")],
        },
    )


@case
def transformed_target():
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge()), func=np.arcsinh, inverse_func=np.sinh
    )
    return grid(model, {"regressor__ridge__alpha": [0.1, 1], "func": [np.arcsinh]}, target, scoring="r2")


@case
def stacking():
    stack = StackingClassifier(
        [("nb", GaussianNB()), ("tree", DecisionTreeClassifier(random_state=0))], LogisticRegression(), cv=2
    )
    return grid(
        make_pipeline(StandardScaler(), stack),
        {"stackingclassifier__tree__max_depth": [1, 2], "stackingclassifier__nb": ["drop", GaussianNB()]},
    )


@case
def regressors():
    pipe = Pipeline([("s", StandardScaler()), ("m", Ridge())])
    space = [{"m": [Ridge(), Lasso()], "m__alpha": [0.1, 1.0]}, {"m": [LinearRegression()]}]
    return grid(pipe, space, target, return_train_score=True)


@case
def voting_regressor():
    return grid(
        VotingRegressor([("a", Ridge()), ("b", Lasso())]),
        {"a__alpha": [1, 2], "weights": [None, [1, 3]]},
        target,
    )


@case
def select_from_model():
    pipe = make_pipeline(
        SelectFromModel(LogisticRegression()), RFE(LogisticRegression(), n_features_to_select=1), GaussianNB()
    )
    return grid(pipe, {"selectfrommodel__estimator__C": [0.01, 1], "rfe__step": [1, 2]})


@case
def frozen_estimators():
    X, y = numbers()
    fitted = [FrozenEstimator(LogisticRegression(C=c).fit(X, y)) for c in (0.01, 10.0)]
    pipe = Pipeline([("pick", SelectFromModel(LogisticRegression())), ("clf", GaussianNB())])
    return grid(pipe, {"pick__estimator": fitted, "pick__max_features": [1, 2]})


@case
def fitted_candidates():
    X, y = numbers()
    fitted = [LogisticRegression(C=c, warm_start=True).fit(X, y) for c in (0.01, 10.0)]
    return grid(Pipeline([("s", StandardScaler()), ("clf", GaussianNB())]), {"clf": fitted})


@case
def generator_as_seed():
    pipe = make_pipeline(StandardScaler(), RandomForestClassifier(4, random_state=np.random.RandomState(3)))
    return grid(pipe, {"randomforestclassifier__max_depth": [1, 3]})


@case
def seeds_as_candidates():
    return grid(RandomForestClassifier(3), {"random_state": [0, np.random.RandomState(1)]})


@case
def fit_returns_nothing():
    return grid(Pipeline([("s", StandardScaler()), ("c", Forgetful())]), {"c__label": [0, 1]})


@case
def only_forgetful():
    return grid(Forgetful(), {"label": [0, 1]})


@case
def memory():
    import tempfile

    pipe = Pipeline([("s", StandardScaler()), ("c", SVC())], memory=tempfile.mkdtemp())
    return grid(pipe, {"c__C": [1, 2]})


@case
def neighbours():
    return grid(
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        {"kneighborsclassifier__n_neighbors": [1, 3, 5]},
    )


@case
def functions_as_parameters():
    pipe = make_pipeline(FunctionTransformer(), TruncatedSVD(2, random_state=0), SVC())
    return grid(pipe, {"functiontransformer__func": [None, np.tanh, np.abs], "svc__kernel": ["rbf", _kernel]})


def _kernel(A, B):
    return A @ B.T


@case
def randomized():
    from scipy.stats import loguniform, randint

    pipe = make_pipeline(PCA(), SVC())
    space = {
        "svc__C": loguniform(1e-2, 1e2),
        "pca__n_components": randint(1, 4),
        "svc__kernel": ["rbf", "linear"],
    }
    return (partial(RandomizedSearchCV, pipe, space, n_iter=8, cv=3, random_state=5), *numbers())


@case
def randomized_lists():
    space = [
        {"svc__C": np.logspace(-1, 1, 3)},
        {"pca": ["passthrough"], "svc__gamma": np.float32([0.1, 0.2])},
    ]
    pipe = Pipeline([("pca", PCA(2)), ("svc", SVC())])
    return (
        partial(RandomizedSearchCV, pipe, space, n_iter=4, cv=3, random_state=np.random.RandomState(0)),
        *numbers(),
    )


@case
def numpy_scalars():
    return grid(
        SVC(), {"C": np.array([1, 10]), "gamma": np.float64([0.1, 1]), "shrinking": np.array([True, False])}
    )


@case
def nothing_to_choose():
    return grid(make_pipeline(StandardScaler(), SVC()), {})
