"""A search described in a file, or saved in a block.

The file is YAML or JSON and holds the flow's parameters, flat, as a deployment would; `param_distributions`
makes it a randomized search, `param_grid` a grid search, and `search: halving_randomized` or `halving_grid`
one with successive halving. An adaptive search has `parameters`, and says which it is: `search: hyperband`
(or `successive_halving`, `incremental`, `inverse_decay`). A search over any objective has
`objective: module:function` and `space`.

    estimator:
      class: sklearn.svm.SVC
    param_grid: {C: [0.1, 1, 10], gamma: [scale, auto]}
    X: flights.parquet
    y: delayed
"""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from prefect_tune.errors import UnknownParameter, UserError

if TYPE_CHECKING:
    from prefect import Flow

TUNE = "tune"
KINDS = {
    "param_grid": ("grid", "halving_grid"),
    "param_distributions": ("randomized", "halving_randomized"),
    "parameters": ("hyperband", "successive_halving", "incremental", "inverse_decay"),
}
"""What a space may be called, and the searches that have one of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search as it was asked for.

    Attributes:
        kind: which search it is: one of `saved_search.FLOWS`.
        parameters: its flow's parameters.
        saved: `search-spec/NAME`, of a saved one; None for one in a file.
    """

    kind: str
    parameters: dict[str, Any]
    saved: str | None = None

    def judged(self) -> contextlib.AbstractContextManager[None]:
        """A context in which a saved search names only allowed code; the owner of a file may name any."""
        from prefect_tune.flows.saved import judged

        return judged() if self.saved is not None else contextlib.nullcontext()


def asked_for(spec: Path) -> Asked:
    """The search in a file or, if there is no such file, the saved one of that name.

    Raises:
        UserError: a file that cannot be read or describes no search; no such block.
    """
    if not spec.exists() and spec.as_posix().startswith("search-spec/"):
        from prefect_tune.flows.saved_search import spec_parameters

        saved = spec.as_posix()
        kind, parameters = spec_parameters(saved)
        return Asked(kind=kind, parameters=parameters, saved=saved)
    kind, parameters = read_spec(spec)
    return Asked(kind=kind, parameters=parameters)


def read_spec(path: Path) -> tuple[str, dict[str, Any]]:
    """(`grid`, `randomized`, `tune` or the kind of another search, the parameters) from a YAML or JSON file.

    Raises:
        UserError: a file that cannot be read, or that describes no search.
    """
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"spec: {path} cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise UserError(f"spec: {path} is neither YAML nor JSON: {error}") from error
    if isinstance(spec, dict) and "objective" in spec:
        if "space" not in spec:
            raise UserError(f"spec: {path} has an 'objective' and no 'space' to try it on.")
        _check_names(TUNE, spec)
        return TUNE, spec
    kind = _kind(path, spec)
    _check_names(kind, spec)
    return kind, spec


def _kind(path: Path, spec: Any) -> str:
    """Which search a spec without an objective is; its entry `search` is taken out."""
    named = [name for name in KINDS if isinstance(spec, dict) and name in spec]
    if len(named) != 1 or not {"estimator", "X"} <= set(spec):
        raise UserError(
            f"spec: {path} needs 'estimator', 'X' and one of 'param_grid', 'param_distributions' and "
            "'parameters'."
        )
    kinds = KINDS[named[0]]
    kind = spec.pop("search", None if named[0] == "parameters" else kinds[0])
    if kind not in kinds:
        raise UserError(
            f"spec: {path} has {named[0]!r}, so 'search' must say which search it is, got {kind!r}: one of "
            f"{', '.join(kinds)}."
        )
    return kind


def flow_of(kind: str) -> Flow:
    """The flow that runs a search of this kind."""
    from prefect_tune.flows.saved_search import FLOWS

    module, _, name = FLOWS[kind].partition(":")
    return getattr(import_module(f"prefect_tune.flows.{module}"), name.removeprefix("a"))  # not the async one


def _check_names(kind: str, spec: dict[str, Any]) -> None:
    known = inspect.signature(flow_of(kind).fn).parameters
    for name in spec:
        if name not in known:
            raise UnknownParameter(f"{kind} search", str(name), known)
