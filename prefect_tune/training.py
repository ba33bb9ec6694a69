"""An adaptive search as one value: the question, the data in chunks by reference, and the candidates.

Rule 1: everything is checked here, before anything is submitted; the error says place, value and next move.
Rule 2: a `TrainingSpec` holds no data, only references; it is what a worker loads once per search.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prefect_tune.chains import CALLS, EPOCHS, SAMPLES, ChainCompiler, Parts, Resource
from prefect_tune.chunks import ChunkedData, Split
from prefect_tune.draws import resolve_scorers
from prefect_tune.errors import ScoringError, UnknownParameter, UserError
from prefect_tune.graph import Compiler
from prefect_tune.identifier import Identifier
from prefect_tune.identity import encode as enc
from prefect_tune.nodes import TEST, TRAIN, Folds
from prefect_tune.search import (
    check_picklable,
    cloned,
    config_in_force,
    context_frame,
    metric_digests,
    one_of_each_kind,
    unfitted,
)
from prefect_tune.steps import LeafChoice
from prefect_tune.text import short


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """All that a worker needs to train any candidate on any split for any number of units.

    Attributes:
        name: name of the search.
        estimator: the user's unfitted estimator.
        candidates: one dict of parameters per row, over all brackets.
        drawn: the same as drawn, for the table.
        scorer: a scorer, or a dict of them.
        metrics: names of the metrics; `("score",)` for a single one.
        metric: the one that ranks.
        data: the chunks.
        split: which rows of each chunk train and which are scored, and the order of the chunks.
        resource: what a unit of training is.
        constants: arguments that each `partial_fit` or `fit` gets, such as `classes`.
        row_params: names of the arguments that come with the rows, such as `sample_weight`.
        prefix_rows: rows on which the steps before the last are fitted; None: all training rows.
        error_score: `"raise"` or the score of a failed candidate.
        seed: seed of the search.
        config: scikit-learn's global configuration, put in force in the workers.
        context: frame of versions and configuration, part of every key.
        identifier: private identities, agreed between driver and workers.
    """

    name: str
    estimator: Any
    candidates: Sequence[Mapping[str, Any]]
    drawn: Sequence[Mapping[str, Any]]
    scorer: Any
    metrics: tuple[str, ...]
    metric: str
    data: ChunkedData
    split: Split
    resource: Resource
    constants: Mapping[str, Any] = field(default_factory=dict)
    row_params: tuple[str, ...] = ()
    prefix_rows: int | None = None
    error_score: Any = float("nan")
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    context: bytes = b""
    identifier: Identifier = field(default_factory=Identifier)

    @property
    def scope(self) -> str:
        """The store's scope: that of the first chunk, so that appended data stay in it."""
        return self.data.chunks[0].identity[:16]

    @property
    def n_splits(self) -> int:
        return self.split.n_splits

    @property
    def through(self) -> bool:
        """Whether every scorer may be shown the trained step and transformed rows; as in `SearchSpec`."""
        scorers = self.scorer.values() if isinstance(self.scorer, dict) else [self.scorer]
        return all(type(scorer).__module__ == "sklearn.metrics._scorer" for scorer in scorers)

    def compiler(self) -> Compiler:
        """A compiler of the steps before the last. Its folds are the training rows of chunk c of split s."""
        return Compiler(
            self.estimator,
            self._folds(),
            metric_digests(self.scorer, self.identifier),
            seed=self.seed,
            context=self.context,
            through=self.through,
            identifier=self.identifier,
        )

    def chains(self) -> ChainCompiler:
        """A compiler of the candidates' training."""
        constants = {n: self.identifier.frame(v, n) for n, v in sorted(self.constants.items())}
        return ChainCompiler(
            self.compiler(),
            self.parts(),
            self.resource,
            constants=enc.kwargs_frame(constants) + enc.encode(sorted(self.row_params)),
        )

    def parts(self) -> Parts:
        """Which chunk each call is given."""
        counts = [self.split.n_parts(s) for s in range(self.n_splits)]
        return Parts(counts, self.split.order, lambda s, c: self.split.size(s, c, TRAIN))

    def sample_chunks(self, split: int) -> list[int]:
        """The chunks whose training rows make up the sample of a split: those of the first calls."""
        order = self.split.order(split, self.split.n_parts(split))
        if self.prefix_rows is None:
            return list(order)
        rows, needed = 0, []
        for chunk in order:
            if rows >= self.prefix_rows:
                break
            needed.append(chunk)
            rows += self.split.size(split, chunk, TRAIN)
        return needed

    def validation_key(self, split: int) -> bytes:
        """What names the rows that are scored."""
        parts = range(self.split.n_parts(split, TEST))
        return enc.digest("validation/v1", [self.split.key(split, part, TEST) for part in parts])

    def _folds(self) -> Folds:
        parts, splits = self.parts(), range(self.n_splits)
        # Splits may have unlike numbers of chunks; the gaps in the numbering have no rows.
        train = [b""] * parts.sample(0)
        for split in splits:
            for chunk in range(parts.counts[split]):
                train[parts.fold(split, chunk)] = self.split.key(split, chunk, TRAIN)
        samples = [
            enc.digest(
                "sample/v1", self.prefix_rows, [train[parts.fold(s, c)] for c in self.sample_chunks(s)]
            )
            for s in splits
        ]
        return Folds(
            target=enc.digest("target-in-chunks/v1"),
            train=(*train, *samples, b""),
            test=tuple(self.validation_key(s) for s in splits),
        )

    def uncacheable(self) -> tuple[tuple[str, str], ...]:
        """(where, why) of everything that has no identity of its own."""
        data = [("data", self.data.unstable)] if self.data.unstable else []
        return (*data, *sorted(self.identifier.uncacheable.items()))


def prepare_training(
    estimator: Any,
    drawn: Sequence[Mapping[str, Any]],
    data: ChunkedData,
    split: Split,
    *,
    resource: str = CALLS,
    scoring: Any = None,
    refit: Any = None,
    constants: Mapping[str, Any] | None = None,
    row_params: Sequence[str] = (),
    prefix_rows: int | None = None,
    error_score: Any = float("nan"),
    seed: int = 0,
    name: str = "search",
) -> TrainingSpec:
    """The adaptive search over `drawn`, checked.

    Args:
        estimator: the user's estimator.
        drawn: one dict of parameters per candidate, over all brackets.
        data, split: the chunks, and what is trained on and scored.
        resource: `partial_fit`, `epochs`, `n_samples` or an integer parameter.
        scoring: a scorer name, a callable, or several of them; then `refit` names the one that ranks.
        constants: arguments for each `partial_fit` or `fit` of the step that is trained.
        row_params: arguments that come with the rows.
        prefix_rows, error_score, seed, name: as in `TrainingSpec`.

    Raises:
        UserError: for anything that cannot work.
    """
    estimator = cloned(estimator)
    if error_score != "raise" and not isinstance(error_score, numbers.Real):
        raise UserError(f"error_score: must be 'raise' or a number, got {error_score!r}.")
    scorer, metrics, metric = _scorers(estimator, scoring, refit)
    spec = TrainingSpec(
        name=name,
        estimator=estimator,
        candidates=unfitted([enc.plain(dict(row)) for row in drawn]),
        drawn=[dict(row) for row in drawn],
        scorer=scorer,
        metrics=metrics,
        metric=metric,
        data=data,
        split=split,
        resource=Resource(name=resource, warm=False),
        constants=dict(constants or {}),
        row_params=tuple(row_params),
        prefix_rows=prefix_rows,
        error_score=error_score,
        seed=seed,
        config=config_in_force(),
        context=context_frame(),
    )
    spec = _with_warmth(spec)
    _check_candidates(spec)
    return spec


def _scorers(estimator: Any, scoring: Any, refit: Any) -> tuple[Any, tuple[str, ...], str]:
    """(scorer or scorers, names of the metrics, the one that ranks).

    Raises:
        ScoringError: several metrics, and none of them named by `refit`.
    """
    from sklearn.model_selection import GridSearchCV

    several = isinstance(scoring, (list, tuple, set, dict))
    named = refit if isinstance(refit, str) else False
    scorer, metrics = resolve_scorers(GridSearchCV(estimator, {}, scoring=scoring, refit=named))
    if not several:
        return scorer, metrics, metrics[0]
    if named not in metrics:
        raise ScoringError(
            f"refit: with several metrics it must name the one that ranks the candidates, got {refit!r}. "
            f"Pass one of: {', '.join(metrics)}."
        )
    return scorer, metrics, named


def last_name(estimator: Any) -> str:
    """Path of the step that is trained; empty for an estimator that is no pipeline."""
    from sklearn.pipeline import Pipeline

    names = []
    while type(estimator) is Pipeline and estimator.steps:
        name, estimator = estimator.steps[-1]
        names.append(name)
    return "__".join(names)


def own_name(name: str, last: str) -> str:
    """An argument's name at the step that is trained.

    Raises:
        UserError: an argument for another step.
    """
    if last and name.startswith(f"{last}__"):
        return name[len(last) + 2 :]
    if "__" in name and last:
        raise UserError(
            f"fit_params: {name!r} is for a step before the last, which takes no arguments in rounds; pass "
            f"arguments of {last!r} only."
        )
    return name


def _with_warmth(spec: TrainingSpec) -> TrainingSpec:
    """The spec with its resource checked, and whether fits may go on from smaller ones.

    Raises:
        UserError: a resource that is none of the known ones.
    """
    import dataclasses

    name = spec.resource.name
    if not isinstance(name, str) or not name:
        raise UserError(f"resource: must be a name, got {name!r}; see 'partial_fit', 'epochs', 'n_samples'.")
    if name in (CALLS, EPOCHS, SAMPLES):
        return spec
    known = spec.estimator.get_params(deep=True)
    if name not in known:
        near = [n for n in known if n.split("__")[-1] == name] or [CALLS, EPOCHS, SAMPLES, *known]
        raise UnknownParameter("resource: the estimator", name, near)
    if any(name in row for row in spec.candidates):
        raise UserError(
            f"resource: {name!r} is among the searched parameters; a parameter cannot both be searched and "
            "grow. Take it out of the space."
        )
    last = last_name(spec.estimator)
    if last and not name.startswith(f"{last}__"):
        raise UserError(
            f"resource: {name!r} belongs to a step before the last; only the last step, {last!r}, grows."
        )
    if isinstance(known[name], bool) or not isinstance(known[name], (int, np.integer, type(None))):
        raise UserError(
            f"resource: {name!r} is {known[name]!r}, which is no integer that could grow; name a parameter "
            f"such as n_estimators, or one of {CALLS!r}, {EPOCHS!r}, {SAMPLES!r}."
        )
    warm = grows_warm(spec.compiler().resolve(spec.candidates[0])[1], last, name, known)
    return dataclasses.replace(spec, resource=Resource(name=name, warm=warm))


def grows_warm(choices: Any, last: str, name: str, known: Mapping[str, Any]) -> bool:
    """Whether the last step can go on from a smaller fit: by `warm_start`, or as a booster."""
    owner = name.rpartition("__")[0]
    step = known.get(last) if last else None
    kind = type(step if step is not None else next(iter(choices.values())).step.prototype)
    boosters = ("xgboost.", "lightgbm.")
    plain = name.split("__")[-1] == "n_estimators" and owner == last
    return plain and (f"{owner}__warm_start".lstrip("_") in known or kind.__module__.startswith(boosters))


def _check_candidates(spec: TrainingSpec) -> None:
    """Nothing; every kind of candidate was put together once.

    Raises:
        UserError: a parameter that does not exist, a value that cannot travel, a step that cannot be trained.
    """
    for place, value in (("estimator", spec.estimator), ("scoring", spec.scorer)):
        check_picklable(value, place)
    kinds = one_of_each_kind(spec.candidates, spec.identifier)
    chains = spec.chains()
    for row in kinds:
        check_trainable(chains.chain(row, 0).choice, spec)


def check_trainable(choice: LeafChoice, spec: TrainingSpec) -> None:
    """Nothing; the step can be given more and more of the resource.

    Raises:
        UserError: it has no `partial_fit`, needs `classes`, or does not take an argument.
    """
    prototype, name = choice.step.prototype, type(choice.step.prototype).__name__
    method = "partial_fit" if spec.resource.by_calls else "fit"
    if not hasattr(prototype, method):
        raise UserError(
            f"estimator: {name} has no {method}(), so it cannot be trained in rounds. Take an estimator that "
            "has (SGDClassifier, MLPClassifier, MiniBatchKMeans, ...), or another resource: "
            "resource='n_samples' fits it on more and more rows, resource='n_estimators' with more and more "
            "of an integer parameter."
        )
    taken = inspect.signature(getattr(prototype, method)).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    given = {*spec.constants, *spec.row_params}
    if "classes" in taken and "classes" not in given and _classifies(prototype):
        raise UserError(
            f"classes: {name}.partial_fit must be told all classes, since a chunk may lack some. Pass "
            "fit(X, y, classes=[...]), or fit_params={'classes': [...]} to the flow"
            f"{_suggested(spec)}."
        )
    unknown = [argument for argument in given if argument not in taken and not open_ended]
    if unknown:
        known = [argument for argument in taken if argument not in ("X", "y", "self")]
        raise UnknownParameter(f"fit_params: {name}.{method}", unknown[0], known)


def _classifies(estimator: Any) -> bool:
    from sklearn.base import is_classifier

    return is_classifier(estimator)


def _suggested(spec: TrainingSpec) -> str:
    """What could be passed, where the target is small enough to say so."""
    labels = getattr(spec.data, "labels", None)
    return f" (here: {short(list(labels), 80)})" if labels is not None else ""
