"""The dry run of a search over an objective."""

from __future__ import annotations

import inspect
from typing import Any

from prefect_tune.flows.tuning import tune
from prefect_tune.flows.tuning.ready import ready_tune
from prefect_tune.tuning.events import Codec
from prefect_tune.tuning.plan import TunePlan, plan_of
from prefect_tune.tuning.tuner import Tuner


def plan_tune(objective: Any, space: Any, **options: Any) -> TunePlan:
    """What `tune` would do with the same arguments: what its journal has, and what is left to do.

    Nothing is run and nothing is submitted.

    Args:
        objective, space: as for `tune`.
        **options: its other parameters.

    Raises:
        UserError: for anything that cannot work.
    """
    bound = inspect.signature(tune.fn).bind(objective, space, **options)
    bound.apply_defaults()
    search = ready_tune("tune", dict(bound.arguments))
    settings = search.settings
    tuner = Tuner(settings)
    codec = Codec(settings.space)
    lines = search.store.journal_lines(settings.key()) if search.resume else []
    elapsed = tuner.replay(codec.from_json(line) for line in lines)
    return plan_of(tuner, elapsed)
