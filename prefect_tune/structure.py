"""An estimator taken apart into steps.

Rule 1: `Pipeline`, `FeatureUnion` and `ColumnTransformer` (exactly these classes, nested anyhow) are taken
apart; anything else, their subclasses included, is one opaque step.
Rule 2: what scikit-learn would refuse to fit stays whole, so that it fails with scikit-learn's own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_tune.identifier import Identifier
from prefect_tune.routing import route
from prefect_tune.steps import ChainStep, ColumnPick, LeafStep, MergeStep, Step, UnionStep, check_parameter

Routed = Mapping[str, Mapping[str, Mapping[str, str]]]


def decompose(estimator: Any, identifier: Identifier, routed: Routed | None = None, path: str = "") -> Step:
    """The step, or tree of steps, that `estimator` is.

    Args:
        identifier: gives values their frames.
        routed: path of a step -> what fit parameters it gets. Such a step passes them on itself, so it is
            not taken apart.
        path: where `estimator` stands.
    """
    from sklearn.pipeline import FeatureUnion, Pipeline

    routed = routed or {}

    def below(child: Any, name: str) -> Step:
        return decompose(child, identifier, routed, f"{path}__{name}" if path else name)

    kind = type(estimator)
    if path in routed or not is_composite(estimator) or _refused(estimator):
        return LeafStep(path, estimator, identifier, routed=routed.get(path, {}))
    if kind is Pipeline:
        children = tuple(
            (name, None if _is_word(child) else below(child, name)) for name, child in estimator.steps
        )
        return ChainStep(path, estimator, children)
    if kind is FeatureUnion:
        union = tuple(
            (n, below(part, n)) for n, part in estimator.transformer_list if not isinstance(part, str)
        )
        merge = MergeStep(path, estimator, identifier, "transformer_list", tuple(name for name, _ in union))
        return UnionStep(path, estimator, union, (None,) * len(union), merge)
    branches = [
        (name, below(part, name)) for name, part, _ in estimator.transformers if not isinstance(part, str)
    ]
    picks = [ColumnPick(spec) for _, part, spec in estimator.transformers if not isinstance(part, str)]
    if not isinstance(estimator.remainder, str):
        branches.append(("remainder", below(estimator.remainder, "remainder")))
        picks.append(ColumnPick(rest_of=[spec for _, _, spec in estimator.transformers]))
    selectors = tuple(
        LeafStep(branch.path, pick, identifier) for (_, branch), pick in zip(branches, picks, strict=True)
    )
    merge = MergeStep(path, estimator, identifier, "transformers", tuple(name for name, _ in branches))
    return UnionStep(path, estimator, tuple(branches), selectors, merge)


def is_composite(estimator: Any) -> bool:
    """Whether `decompose` knows how to take this class apart."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion, Pipeline

    return type(estimator) in (Pipeline, FeatureUnion, ColumnTransformer)


def _is_word(part: Any) -> bool:
    return part is None or isinstance(part, str)


def _refused(estimator: Any) -> bool:
    """Whether the class itself would not fit this estimator step by step."""
    try:
        if hasattr(estimator, "_parameter_constraints"):  # FeatureUnion has none
            estimator._validate_params()
        if hasattr(estimator, "steps"):
            estimator._validate_steps()
            return estimator.transform_input is not None
        estimator._validate_transformers()
        if hasattr(estimator, "transformer_list"):
            return False
        names = [name for name, _, _ in estimator.transformers]
        rest = estimator.remainder
        return not names or "remainder" in names or not (isinstance(rest, str) or hasattr(rest, "transform"))
    except (ValueError, TypeError):
        return True


def split_parameter(step: Step, name: str) -> tuple[LeafStep, str] | None:
    """The opaque step that parameter `name` reaches, and its name there; None if it is structural."""
    for leaf in step.leaves():
        prefix = f"{leaf.path}__" if leaf.path else ""
        if name.startswith(prefix) and name != leaf.path:
            # A composite that was left whole may come apart with other parameters.
            return None if is_composite(leaf.prototype) else (leaf, name[len(prefix) :])
    return None


class Trees:
    """The trees of steps that the candidates of a search have, each taken apart once.

    Args:
        estimator: the user's unfitted estimator.
        identifier: gives values their frames.
        fit_params: names of the fit parameters.
    """

    def __init__(self, estimator: Any, identifier: Identifier, fit_params: tuple[str, ...]) -> None:
        self.estimator, self.identifier, self.fit_params = estimator, identifier, fit_params
        self._known: dict[bytes, tuple[Step, dict[str, Any]]] = {}

    def of(self, params: Mapping[str, Any]) -> tuple[Step, list]:
        """The tree after structural parameters, and what is left for its opaque steps."""
        base, reach = self._known_tree(b"", {})
        # ()  marks a parameter that changes the structure itself.
        simple, structural = [], {}
        for name, value in params.items():
            target = reach.get(name)
            if target is None:
                target = reach[name] = split_parameter(base, name) or ()
            if target:
                simple.append((*target, value))
            else:
                structural[name] = value
        return self._restructured(structural, params) if structural else (base, simple)

    def _restructured(self, structural: dict[str, Any], params: Mapping[str, Any]) -> tuple[Step, list]:
        frames = [n.encode() + self.identifier.frame(v, n) for n, v in sorted(structural.items())]
        tree, _ = self._known_tree(b"".join(frames), structural)
        simple = []
        for name, value in params.items():
            if name not in structural:
                target = split_parameter(tree, name)
                if not target:
                    # The new structure has no step of that name, or keeps it inside a whole.
                    return self._restructured({**structural, name: value}, params)
                simple.append((*target, value))
        return tree, simple

    def _known_tree(self, key: bytes, structural: dict[str, Any]) -> tuple[Step, dict[str, Any]]:
        """The tree for these structural parameters, and which opaque step each other parameter reaches."""
        if key not in self._known:
            estimator, identifier = self.estimator, self.identifier
            if structural:
                estimator, identifier = _with_parameters(estimator, structural), identifier.within(key)
            routed = route(estimator, self.fit_params)
            self._known[key] = (decompose(estimator, identifier, routed), {})
        return self._known[key]


def ends_in_leaf(tree: Step | None) -> bool:
    """Whether one opaque step does the predicting."""
    while isinstance(tree, ChainStep):
        tree = tree.children[-1][1]
    return isinstance(tree, LeafStep)


def _with_parameters(estimator: Any, params: Mapping[str, Any]) -> Any:
    """A copy of `estimator` with these parameters, as scikit-learn's searches make it.

    Raises:
        UnknownParameter: for a name that does not exist once the others are set.
    """
    from sklearn.base import clone

    fresh = clone(estimator)
    # Outer names first: what they bring may have the inner ones.
    for depth in sorted({name.count("__") for name in params}):
        group = {
            name: clone(value, safe=False) for name, value in params.items() if name.count("__") == depth
        }
        try:
            fresh.set_params(**group)
        except (ValueError, AttributeError, TypeError):
            for name in group:
                check_parameter(fresh, name)
            raise
    return fresh
