"""Where the arguments of `fit` go: for each opaque step, which of them its methods receive.

Rule: scikit-learn's own routing decides, with names in place of values; without metadata routing the older
rule `step__name` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect_tune.errors import DataError

METHODS = ("fit", "fit_transform", "transform")


def route(estimator: Any, names: Sequence[str], path: str = "") -> dict[str, dict[str, dict[str, str]]]:
    """`{path of a step: {method: {argument: name}}}` for the fit parameters `names`.

    Args:
        estimator: the whole estimator; only chains of `Pipeline` are followed.
        names: fit parameters as the user passed them.

    Raises:
        DataError: a name that reaches no step.
    """
    return _route(estimator, {name: name for name in names}, path) if names else {}


def _route(estimator: Any, sources: Mapping[str, str], path: str) -> dict[str, dict[str, dict[str, str]]]:
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline:
        return {path: {method: dict(sources) for method in METHODS[:2]}} if sources else {}
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, methods in _per_step(estimator, sources).items():
        child = dict(estimator.steps)[name]
        place = f"{path}__{name}" if path else name
        if type(child) is Pipeline:
            found.update(_route(child, methods["fit"], place))
        else:
            found[place] = methods
    return found


def _per_step(pipeline: Any, sources: Mapping[str, str]) -> dict[str, dict[str, dict[str, str]]]:
    from sklearn import get_config

    if get_config()["enable_metadata_routing"]:
        from sklearn.utils.metadata_routing import process_routing

        routed = process_routing(pipeline, "fit", **sources)
        return {
            name: {m: dict(routed[name].get(m, {})) for m in METHODS}
            for name, _ in pipeline.steps
            if name in routed and any(routed[name].get(m) for m in METHODS)
        }
    steps: dict[str, dict[str, dict[str, str]]] = {}
    known = [name for name, _ in pipeline.steps]
    for argument, source in sources.items():
        step, found, tail = argument.partition("__")
        if not found or step not in known:
            raise DataError(
                f"Pipeline.fit does not accept the {argument} parameter. Pass it to one step as "
                f"'step__{tail or argument}', with a step of: {', '.join(known)}."
            )
        for method in METHODS[:2]:
            steps.setdefault(step, {m: {} for m in METHODS})[method][tail] = source
    return steps
