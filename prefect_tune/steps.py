"""Steps of the user's estimator, and what one candidate makes of each.

Rule 1: a step is described by a prototype (an unfitted estimator) and overrides (the candidate's parameters
that reach it). Nothing here is ever fitted.
Rule 2: a step's identity covers whatever can change its result: class and version, parameters, output
configuration, metadata requests. Parameters that cannot are left out by the registry.
Rule 3: an estimator is built as scikit-learn's searches build it: a clone of the prototype, then clones of
the candidate's values. What comes fitted in a value is unfitted by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prefect_tune.errors import UnknownParameter
from prefect_tune.identifier import Identifier
from prefect_tune.identity import encode as enc
from prefect_tune.identity.headers import estimator_header
from prefect_tune.identity.registry import ignorable


@dataclass(eq=False)
class Step:
    """A stage of the user's estimator as declared.

    Attributes:
        path: parameter path below the whole estimator, e.g. `prep__num__scale`; empty for the whole.
        prototype: the unfitted estimator that stands there.
    """

    path: str
    prototype: Any

    def leaves(self) -> Iterator[LeafStep]:
        """The opaque steps below, in order."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What run names and tables call it."""
        return self.path.rsplit("__", 1)[-1] or type(self.prototype).__name__.lower()


@dataclass(eq=False)
class LeafStep(Step):
    """A step that is fitted as a whole.

    Attributes:
        identifier: gives its values their frames.
        routed: method -> {argument: name of a fit parameter} of what is passed on to it.
    """

    identifier: Identifier
    routed: Mapping[str, Mapping[str, str]] = field(default_factory=dict, kw_only=True)

    def leaves(self) -> Iterator[LeafStep]:
        yield self

    @cached_property
    def family(self) -> str:
        """What the cost model groups by."""
        return type(self.prototype).__name__

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The direct parameters of the prototype."""
        return self.prototype.get_params(deep=False) if hasattr(self.prototype, "get_params") else {}

    @cached_property
    def pairwise(self) -> bool:
        """Whether the prototype takes a kernel or distance matrix."""
        return _is_pairwise(self.prototype)

    @cached_property
    def _header(self) -> bytes:
        return self.identifier.guarded(lambda: estimator_header(self.prototype, self.path), self.path)

    @cached_property
    def _frames(self) -> dict[str, bytes]:
        return self._framed(self.parameters)

    def _framed(self, values: Mapping[str, Any]) -> dict[str, bytes]:
        skip = ignorable(type(self.prototype))
        return {
            name: self.identifier.frame(value, f"{self.path}__{name}".lstrip("_"))
            for name, value in values.items()
            if name not in skip
        }

    @cached_property
    def _open_seeds(self) -> frozenset[str]:
        """Names of nested `random_state` parameters that are None, direct ones and those below."""
        deep = self.parameters
        if any(hasattr(value, "get_params") for value in deep.values()):  # asking again costs as much
            deep = self.prototype.get_params(deep=True)
        return frozenset(
            name for name, value in deep.items() if value is None and name.split("__")[-1] == "random_state"
        )

    def _check(self, overrides: Mapping[str, Any]) -> None:
        """Nothing, or an error for the first parameter that this step lacks."""
        for name in overrides:
            first, _, nested = name.partition("__")
            if nested and first in overrides:
                check_parameter(overrides[first], nested, _join(self.path, first))
            elif name not in self.parameters:
                check_parameter(self.prototype, name, self.path)

    def configured(self, overrides: Mapping[str, Any]) -> LeafChoice:
        """This step with a candidate's parameters.

        Args:
            overrides: parameter below the step -> value; nested names reach into the prototype.

        Raises:
            UnknownParameter: for a name that the step lacks.
        """
        self._check(overrides)
        if any("__" in name for name in overrides):
            context = enc.kwargs_frame({k: self.identifier.frame(v, k) for k, v in overrides.items()})
            nested = LeafStep(self.path, self._built(overrides), self.identifier.within(context)).configured(
                {}
            )
            return LeafChoice(self, dict(overrides), nested.identity, nested.seeded)
        frames, open_seeds = self._frames, self._open_seeds
        if overrides:
            frames = {**frames, **self._framed(overrides)}
            replaced = {name for name in open_seeds if name.split("__")[0] in overrides}
            open_seeds = (open_seeds - replaced) | self._seeds_opened(overrides)
        identity = enc.digest_frames("step/v1", self._header, enc.kwargs_frame(frames))
        return LeafChoice(self, dict(overrides), identity, bool(open_seeds))

    def _seeds_opened(self, overrides: Mapping[str, Any]) -> set[str]:
        opened = {n for n, v in overrides.items() if n == "random_state" and v is None}
        for name, value in overrides.items():
            if hasattr(value, "get_params") and not isinstance(value, type):
                opened |= {f"{name}__{n}" for n in LeafStep("", value, self.identifier)._open_seeds}
        return opened

    def _built(self, overrides: Mapping[str, Any]) -> Any:
        from sklearn.base import clone

        fresh = clone(self.prototype)
        if overrides:
            fresh.set_params(**clone(dict(overrides), safe=False))
        return fresh


@dataclass(eq=False, slots=True)
class LeafChoice:
    """An opaque step with one candidate's parameters: what is keyed, and how to build it.

    Attributes:
        step: the step as declared.
        overrides: the candidate's parameters, nested ones among them.
        identity: digest of class, parameters and configuration.
        seeded: whether a derived seed fills some `random_state=None`.
    """

    step: LeafStep
    overrides: dict[str, Any]
    identity: bytes
    seeded: bool

    def build(self) -> Any:
        """A fresh estimator with these parameters."""
        return self.step._built(self.overrides)

    def pairwise(self) -> bool:
        """Whether it takes a kernel or distance matrix with these parameters."""
        # A number never makes a matrix of the rows; finding out takes a copy of the estimator.
        if all(type(value) in (int, float) for value in self.overrides.values()):
            return self.step.pairwise
        return _is_pairwise(self.build())

    @property
    def label(self) -> str:
        """Short text such as `pca(50)` for run names."""
        values = [v for v in self.overrides.values() if isinstance(v, (int, float, str))]
        return f"{self.step.label}({', '.join(map(str, values[:3]))})" if values else self.step.label


@dataclass(eq=False)
class ChainStep(Step):
    """A `Pipeline`: its steps in order; `None` stands for `passthrough`."""

    children: tuple[tuple[str, Step | None], ...]

    def leaves(self) -> Iterator[LeafStep]:
        for _, child in self.children:
            if child is not None:
                yield from child.leaves()


@dataclass(eq=False)
class UnionStep(Step):
    """A `FeatureUnion` or `ColumnTransformer`: branches side by side, then a merge.

    Attributes:
        branches: (name, step) of the branches that are fitted; `drop` and `passthrough` are left to the
            class itself, at the merge.
        selectors: per branch the step that picks its columns; None for a `FeatureUnion`.
        merge: the class itself with its own parameters, branches excluded.
    """

    branches: tuple[tuple[str, Step], ...]
    selectors: tuple[LeafStep | None, ...]
    merge: MergeStep

    def leaves(self) -> Iterator[LeafStep]:
        for _, branch in self.branches:
            yield from branch.leaves()


@dataclass(eq=False)
class MergeStep(LeafStep):
    """A union's own part: how it puts its branches together.

    Attributes:
        entries: name of the parameter that lists the branches.
        fitted: names of the branches that are steps of their own.
    """

    entries: str
    fitted: tuple[str, ...]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        params = dict(self.prototype.get_params(deep=False))
        params["branches"] = [
            (entry[0], "fitted" if entry[0] in self.fitted else entry[1], *entry[2:])
            for entry in params.pop(self.entries)
        ]
        if "remainder" in self.fitted:
            params["remainder"] = "fitted"
        return params

    @cached_property
    def _open_seeds(self) -> frozenset[str]:
        return frozenset()  # the branches have their own


class ColumnPick:
    """What picks the columns of one branch of a `ColumnTransformer`.

    Args:
        spec: the branch's columns as declared (names, positions, slice, mask or callable).
        rest_of: the specs of all other branches, for the remainder.
    """

    cache_version = "1"

    def __init__(self, spec: Any = None, rest_of: list[Any] | None = None) -> None:
        self.spec, self.rest_of = spec, rest_of

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"spec": self.spec, "rest_of": self.rest_of}


def check_parameter(estimator: Any, name: str, path: str = "") -> None:
    """Nothing, or an error that names the owner, the closest name and those that exist.

    Raises:
        UnknownParameter: when `estimator` has no parameter `name`, which may be nested.
    """
    place = f"step {path!r}" if path else type(estimator).__name__
    parts = name.split("__")
    for position, part in enumerate(parts):
        deep = estimator.get_params(deep=True)
        own = [known for known in deep if "__" not in known]
        if part not in own:
            raise UnknownParameter(place, part, own)
        if position + 1 == len(parts):
            return
        estimator, path = deep[part], _join(path, part)
        if not hasattr(estimator, "get_params"):
            raise UnknownParameter(f"step {path!r} ({estimator!r})", "__".join(parts[position + 1 :]), [])
        place = f"step {path!r}"


def _is_pairwise(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    return get_tags(estimator).input_tags.pairwise


def _join(path: str, name: str) -> str:
    return f"{path}__{name}" if path else name
