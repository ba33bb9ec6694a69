"""Samplers and schedules by name, as flow parameters, schedules and the command line give them.

"asha"                                   with the defaults
{"asha": {"max_resource": 81, "eta": 3}} with settings
ASHA(81, eta=3)                          an object passes through
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from prefect_tune.errors import UserError, did_you_mean
from prefect_tune.text import short

SAMPLERS = {
    "random": "draw:Random",
    "grid": "grid:Grid",
    "sobol": "qmc:Sobol",
    "halton": "qmc:Halton",
    "latin-hypercube": "qmc:LatinHypercube",
    "tpe": "tpe:TPE",
    "cma-es": "cmaes:CmaEs",
    "gp": "gp:GP",
    "mobster": "gp:MOBSTER",
}
SCHEDULES = {
    "fifo": "fifo:FIFO",
    "asha": "asha:ASHA",
    "pasha": "pasha:PASHA",
    "median": "median:MedianStopping",
    "wilcoxon": "wilcoxon:Wilcoxon",
    "pbt": "pbt:PBT",
}


def sampler_of(wish: Any) -> Any:
    """The sampler that `wish` names or is.

    Raises:
        UserError: an unknown name, or settings that it does not have.
    """
    if hasattr(wish, "sample_relative") and hasattr(wish, "infer_relative_search_space"):
        from prefect_tune.samplers.foreign import OptunaSampler

        return OptunaSampler(wish)
    return _chosen("sampler", wish, SAMPLERS, "prefect_tune.samplers", "suggest", {})


def schedule_of(wish: Any, max_resource: int | None) -> Any:
    """The schedule that `wish` names or is.

    Args:
        max_resource: what a schedule given by name or settings gets unless it says its own.

    Raises:
        UserError: as for samplers.
    """
    given = {} if max_resource is None else {"max_resource": max_resource}
    return _chosen("schedule", wish, SCHEDULES, "prefect_tune.schedules.asynchronous", "begin", given)


def _chosen(
    what: str, wish: Any, known: Mapping[str, str], package: str, method: str, given: Mapping[str, Any]
) -> Any:
    if callable(getattr(wish, method, None)) and not isinstance(wish, type):
        return wish
    name, settings = _named(what, wish)
    plain = name.lower().replace("_", "-")
    if plain not in known:
        raise UserError(
            f"{what}: there is none called {name!r}.{did_you_mean(name, known)} It is one of: "
            f"{', '.join(known)}."
        )
    module, _, attribute = known[plain].partition(":")
    kind = getattr(importlib.import_module(f"{package}.{module}"), attribute)
    takes = inspect.signature(kind).parameters
    settings = {**{k: v for k, v in given.items() if k in takes}, **settings}
    if wrong := sorted(set(settings) - set(takes)):
        raise UserError(
            f"{what}: {plain!r} has no setting {wrong[0]!r}.{did_you_mean(wrong[0], takes)} It has: "
            f"{', '.join(takes) or 'none'}."
        )
    missing = [p.name for p in takes.values() if p.default is p.empty and p.name not in settings]
    if missing:
        raise UserError(
            f"{what}: {plain!r} needs {missing[0]!r}; give it as {{{plain!r}: {{{missing[0]!r}: ...}}}}"
            + (", or with max_resource=." if missing[0] == "max_resource" else ".")
        )
    return kind(**settings)


def _named(what: str, wish: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(wish, str):
        return wish, {}
    if isinstance(wish, Mapping) and len(wish) == 1:
        name, settings = next(iter(wish.items()))
        if isinstance(name, str) and (settings is None or isinstance(settings, Mapping)):
            return name, dict(settings or {})
    raise UserError(
        f"{what}: give a name, {{name: settings}} or an object of prefect_tune, got {short(wish)}."
    )
