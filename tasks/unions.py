"""Running a `FeatureUnion` or `ColumnTransformer` whose branches were fitted elsewhere.

The classes themselves pick the columns and put the outputs together; their branches are stand-ins. So every
rule of theirs (weights, sparse threshold, names, output containers, remainder) is their own code.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from prefect_tune.steps import ColumnPick


class Replay:
    """A fitted transformer that answers with an output computed elsewhere.

    Args:
        output: what `fit_transform` and `transform` return; None in a stored merge.
    """

    def __init__(self, output: Any = None) -> None:
        self.output = output

    def __sklearn_clone__(self) -> Replay:
        return self  # a clone would copy the output

    def __sklearn_tags__(self):
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def set_params(self, **params: Any) -> Replay:
        return self

    def fit(self, X: Any, y: Any = None) -> Replay:
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.output

    def transform(self, X: Any) -> Any:
        return self.output


class _Capture(Replay):
    """A transformer that keeps what it is given."""

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.transform(X)

    def transform(self, X: Any) -> Any:
        self.output = X
        return np.zeros((X.shape[0] if hasattr(X, "shape") else len(X), 1))


class Picker:
    """The columns of one branch, picked by scikit-learn's `ColumnTransformer` itself.

    Args:
        pick: the branch's columns as declared.
    """

    def __init__(self, pick: ColumnPick) -> None:
        from sklearn.compose import ColumnTransformer

        self._capture = _Capture()
        if pick.rest_of is None:
            self._columns = ColumnTransformer([("pick", self._capture, pick.spec)], remainder="drop")
        else:
            others = [(f"c{i}", "drop", spec) for i, spec in enumerate(pick.rest_of)]
            self._columns = ColumnTransformer(others, remainder=self._capture)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """The branch's part of X; None when it has no columns."""
        return self._taken(self._columns.fit_transform, X)

    def transform(self, X: Any) -> Any:
        """The same columns of other rows."""
        return self._taken(self._columns.transform, X)

    def _taken(self, method: Any, X: Any) -> Any:
        from sklearn import config_context

        with config_context(transform_output="default"):
            method(X)
        taken, self._capture.output = self._capture.output, None
        return taken


def fit_merge(union: Any, names: tuple[str, ...], outputs: list[Any], X: Any, y: Any) -> tuple[Any, Any]:
    """(`union` fitted with stand-ins for its branches, its output).

    Args:
        union: the configured union; only its own parameters are used.
        names: branches that were fitted elsewhere.
        outputs: their outputs on X, in the same order.
    """
    ready = dict(zip(names, outputs, strict=True))
    shell = copy.copy(union)
    if hasattr(shell, "transformer_list"):
        shell.transformer_list = _stand_ins(shell.transformer_list, ready)
    else:
        shell.transformers = _stand_ins(shell.transformers, ready)
        if "remainder" in ready:
            shell.remainder = Replay(ready["remainder"])
    result = shell.fit_transform(X, y)
    return _hollow(shell), result


def transform_merge(fitted: Any, names: tuple[str, ...], outputs: list[Any], X: Any) -> Any:
    """What the union makes of X when its branches make `outputs` of it."""
    ready = dict(zip(names, outputs, strict=True))
    shell = copy.copy(fitted)
    if hasattr(shell, "transformer_list"):
        shell.transformer_list = _stand_ins(shell.transformer_list, ready)
    else:
        shell.transformers_ = _stand_ins(shell.transformers_, ready)
    return shell.transform(X)


def graft(base: Any, merge: Any, parts: dict[str, Any]) -> Any:
    """`base`, the configured union, with the fitted attributes of `merge` and the fitted branches `parts`."""
    if hasattr(base, "transformer_list"):
        # Where the user wrote `passthrough` the fitted union holds a transformer.
        base.transformer_list = [(name, parts.get(name, part)) for name, part in merge.transformer_list]
        return base
    if not hasattr(merge, "transformers_"):
        return base  # a branch without columns stays unfitted
    own = base.get_params(deep=False)
    for name, value in vars(merge).items():
        if name not in own:
            setattr(base, name, value)
    if "_remainder" in vars(base):
        base._remainder = (base._remainder[0], base.remainder, *base._remainder[2:])
    base.transformers_ = [(name, parts.get(name, part), *rest) for name, part, *rest in merge.transformers_]
    return base


def _stand_ins(entries: Any, ready: dict[str, Any]) -> list[tuple]:
    return [(name, Replay(ready[name]) if name in ready else part, *rest) for name, part, *rest in entries]


def _hollow(shell: Any) -> Any:
    """`shell` with the outputs taken out of its stand-ins, so that it is small."""

    def emptied(entries: Any) -> list[tuple]:
        return [
            (name, Replay() if isinstance(part, Replay) else part, *rest) for name, part, *rest in entries
        ]

    for attribute in ("transformer_list", "transformers", "transformers_"):
        if isinstance(vars(shell).get(attribute), list):
            setattr(shell, attribute, emptied(getattr(shell, attribute)))
    if isinstance(getattr(shell, "remainder", None), Replay):
        shell.remainder = Replay()
    remainder = vars(shell).get("_remainder")
    if remainder is not None and isinstance(remainder[1], Replay):
        shell._remainder = (remainder[0], Replay(), *remainder[2:])
    return shell
