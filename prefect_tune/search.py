"""A search as one value: the question, the data by reference, and the candidates.

Rule 1: everything is checked here, before anything is submitted; the error says place, value and next move.
Rule 2: a `SearchSpec` holds no data, only references; it is what a worker loads once per search.
Rule 3: what is drawn (candidates, folds) is drawn here, once, from derived seeds.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prefect_tune.arguments import FitParam, check_params, ingest_pair, store_param
from prefect_tune.data import DataRef, ingest
from prefect_tune.draws import draw_candidates, draw_splits, pack_splits, resolve_scorers
from prefect_tune.errors import DataError, NotPicklable, UserError
from prefect_tune.graph import Compiler
from prefect_tune.growing import Growth
from prefect_tune.identifier import SCALARS, Identifier
from prefect_tune.identity import encode as enc
from prefect_tune.identity.code import environment_versions
from prefect_tune.identity.keys import fold_key
from prefect_tune.nodes import TEST, TRAIN, Folds
from prefect_tune.store import StepStore
from prefect_tune.text import short


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """All that a worker needs to evaluate any candidate on any fold.

    Attributes:
        name: name of the search.
        estimator: the user's unfitted estimator.
        candidates: one dict of parameters per row.
        drawn: the same as drawn, for the table.
        scorer: what scikit-learn's search would call: a scorer, or a dict of them.
        metrics: names of the metrics; `("score",)` for a single one.
        X, y: the data; y is None for unsupervised searches.
        splits: the folds, as `pack_splits` writes them.
        n_splits: number of folds.
        folds: their identity.
        error_score: `"raise"` or the score of a failed fit.
        train_scores: whether training scores are wanted.
        fit_params, score_params: name -> argument by reference.
        seed: seed of the search.
        config: scikit-learn's global configuration, put in force in the workers.
        context: frame of versions and configuration, part of every key.
        identifier: private identities, agreed between driver and workers.
        growth: how fits go on from those of earlier iterations; None: each starts from nothing.
    """

    name: str
    estimator: Any
    candidates: Sequence[Mapping[str, Any]]
    drawn: Sequence[Mapping[str, Any]]
    scorer: Any
    metrics: tuple[str, ...]
    X: DataRef
    y: DataRef | None
    splits: DataRef
    n_splits: int
    folds: Folds
    error_score: Any
    train_scores: bool
    fit_params: Mapping[str, FitParam] = field(default_factory=dict)
    score_params: Mapping[str, FitParam] = field(default_factory=dict)
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    context: bytes = b""
    identifier: Identifier = field(default_factory=Identifier)
    growth: Growth | None = None

    @property
    def scope(self) -> str:
        """The store's scope of this search: that of its data."""
        return self.X.scope

    @property
    def sides(self) -> tuple[str, ...]:
        return (TEST, TRAIN) if self.train_scores else (TEST,)

    @property
    def through(self) -> bool:
        """Whether every scorer may be shown the predicting step and transformed rows, so that no transform
        runs twice: scikit-learn's own scorers may, any other callable is shown the whole and the raw rows."""
        scorers = self.scorer.values() if isinstance(self.scorer, dict) else [self.scorer]
        plain = all(type(scorer).__module__ == "sklearn.metrics._scorer" for scorer in scorers)
        return plain and not (self.score_params and self.config.get("enable_metadata_routing"))

    def compiler(self) -> Compiler:
        """A compiler for the candidates of this search."""
        return Compiler(
            self.estimator,
            self.folds,
            metric_digests(self.scorer, self.identifier),
            sides=self.sides,
            seed=self.seed,
            context=self.context,
            through=self.through,
            identifier=self.identifier,
        )

    def uncacheable(self) -> tuple[tuple[str, str], ...]:
        """(where, why) of everything that has no identity of its own."""
        refs = [("X", self.X), ("y", self.y), *((name, p.ref) for name, p in self.fit_params.items())]
        data = [(name, ref.unstable) for name, ref in refs if ref is not None and ref.unstable]
        return (*data, *sorted(self.identifier.uncacheable.items()))


def prepare(
    search: Any,
    X: Any,
    y: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    store: StepStore,
    seed: int = 0,
    name: str = "search",
) -> SearchSpec:
    """The search that a scikit-learn search object describes, its data ingested and its candidates drawn.

    Args:
        search: an unfitted `GridSearchCV` or `RandomizedSearchCV` of scikit-learn.
        X, y: data, or references that `ingest` returned.
        params: arguments of `fit`: `groups`, `sample_weight`, `step__name`, or what metadata routing takes.
        store: where the data goes.
        seed: fills every `random_state=None` by derivation.
        name: name of the search.

    Raises:
        UserError: for anything that cannot work, before any work is submitted.
    """
    estimator = cloned(search.estimator)
    scorer, metrics = resolve_scorers(search)
    drawn = draw_candidates(search, seed)
    X, y, x_ref, y_ref = ingest_pair(X, y, store)
    params = check_params(X, dict(params or {}))
    sent = search._get_routed_params_for_fit(params)
    splits = draw_splits(search, X, y, sent.splitter.split, seed)
    split_ref = ingest(pack_splits(splits), store, name="cv")
    fit_params = {n: store_param(n, v, X, store) for n, v in sent.estimator.fit.items() if v is not None}
    score_params = {n: store_param(n, v, X, store) for n, v in sent.scorer.score.items() if v is not None}
    # numpy scalars become Python values, for the key and for the fit alike; the table shows what was drawn.
    candidates = unfitted([enc.plain(row) for row in drawn])
    spec = SearchSpec(
        name=name,
        estimator=estimator,
        candidates=candidates,
        drawn=drawn,
        scorer=scorer,
        metrics=metrics,
        X=x_ref,
        y=y_ref,
        splits=split_ref,
        n_splits=len(splits),
        folds=fold_identity(x_ref, y_ref, splits, fit_params, score_params),
        error_score=search.error_score,
        train_scores=search.return_train_score,
        fit_params=fit_params,
        score_params=score_params,
        seed=seed,
        config=config_in_force(),
        context=context_frame(),
    )
    _check_candidates(spec, getattr(X, "shape", ()))
    return spec


def cloned(estimator: Any, place: str = "estimator") -> Any:
    """An unfitted copy of an estimator.

    Raises:
        UserError: what is no estimator, or cannot be copied.
    """
    from sklearn.base import clone

    try:
        return clone(estimator)
    except TypeError as error:
        if not hasattr(estimator, "get_params"):
            raise UserError(
                f"{place}: {short(estimator)} is no estimator; it has no get_params()."
            ) from error
        raise NotPicklable(
            f"{place}: {short(estimator)} cannot be copied ({error}), so it cannot travel to a worker. Keep "
            "locks, files, connections and generators out of its parameters, or open them in fit()."
        ) from error


def unfitted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The candidates with every estimator among their values cloned once, as fitting would do each time."""
    clones: dict[int, Any] = {}

    def bare(name: str, value: Any) -> Any:
        if type(value) in SCALARS or isinstance(value, type) or not hasattr(value, "get_params"):
            return value
        if id(value) not in clones:
            clones[id(value)] = cloned(value, name)
        return clones[id(value)]

    return [{name: bare(name, value) for name, value in row.items()} for row in rows]


def _check_candidates(spec: SearchSpec, shape: tuple[int, ...]) -> None:
    """Nothing; every kind of candidate was put together once.

    Raises:
        UnknownParameter: a parameter that the candidate's estimator lacks.
        NotPicklable: a value that cannot travel.
        DataError: a kernel matrix that is not square.
    """
    kinds = one_of_each_kind(spec.candidates, spec.identifier)
    compiler = spec.compiler()
    for row in kinds:
        if compiler.takes_pairs(*compiler.resolve(row)) and (len(shape) != 2 or shape[0] != shape[1]):
            raise DataError(
                "X should be a square kernel matrix: the estimator takes a precomputed kernel or "
                f"distances, but X has the shape {tuple(shape)}."
            )


def one_of_each_kind(
    candidates: Sequence[Mapping[str, Any]], identifier: Identifier
) -> list[Mapping[str, Any]]:
    """The candidates less those that are put together like an earlier one; private values are enrolled.

    Raises:
        NotPicklable: a value that cannot travel.
    """
    kinds: dict[tuple, Mapping[str, Any]] = {}
    for row in candidates:
        for name, value in row.items():
            if identifier.enrol(value, name):
                check_picklable(value, name)
        # Numbers fit in everywhere alike; words and objects may change the structure.
        kind = tuple(
            (n, v if type(v) is str else None if type(v) in SCALARS else id(v)) for n, v in row.items()
        )
        kinds.setdefault(kind, row)
    return list(kinds.values())


def metric_digests(scorer: Any, identifier: Identifier) -> dict[str, bytes]:
    """Name -> identity of each metric of a scorer, or of a dict of them."""
    scorers = scorer if isinstance(scorer, dict) else {"score": scorer}
    return {
        name: enc.digest_frames("metric/v1", identifier.frame(one, f"scoring[{name!r}]"))
        for name, one in scorers.items()
    }


def check_picklable(value: Any, place: str) -> None:
    """Nothing, or an error that names the place of a value that cannot be pickled."""
    import cloudpickle

    try:
        cloudpickle.dumps(value)
        copy.deepcopy(value)  # cloudpickle takes open files, but each fit gets a copy
    except Exception as error:
        raise NotPicklable(
            f"{place}: {short(value)} cannot be pickled ({error}), so it cannot travel to a worker. "
            "Keep locks, files, connections and generators out of it, or open them in fit()."
        ) from error


def fold_identity(
    x_ref: DataRef,
    y_ref: DataRef | None,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    fit_params: Mapping[str, FitParam],
    score_params: Mapping[str, FitParam],
) -> Folds:
    train = [fold_key(x_ref.digest, train) for train, _ in splits]
    # The rows of both sides matter: a pairwise X is cut by columns of the training side too.
    test = [
        enc.digest("test-rows/v1", fold_key(x_ref.digest, test), key)
        for (_, test), key in zip(splits, train, strict=True)
    ]
    return Folds(
        target=y_ref.digest if y_ref else enc.digest("no-target/v1"),
        train=(*train, fold_key(x_ref.digest, None)),
        test=tuple(test),
        fit_params={name: param.ref.digest for name, param in fit_params.items()},
        score_params=enc.encode({name: param.ref.digest for name, param in sorted(score_params.items())}),
    )


def config_in_force() -> dict[str, Any]:
    """scikit-learn's global configuration, as far as workers must share it."""
    from sklearn import get_config

    return {
        name: value
        for name, value in get_config().items()
        if name in ("transform_output", "enable_metadata_routing", "assume_finite", "array_api_dispatch",
                    "skip_parameter_validation", "sparse_interface", "pairwise_dist_chunk_size",
                    "working_memory")
    }  # fmt: skip


def context_frame() -> bytes:
    """Frame of versions and configuration that can change any number."""
    from sklearn import get_config

    config = get_config()
    shaping = {n: config.get(n) for n in ("transform_output", "enable_metadata_routing", "array_api_dispatch",
                                          "sparse_interface")}  # fmt: skip
    return enc.digest("context/v1", environment_versions(), shaping)
