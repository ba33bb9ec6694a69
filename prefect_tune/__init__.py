"""Hyperparameter search as cached, prefix-shared Prefect flows on Dask.

Importing this package is cheap: public names are loaded when first used, and neither Prefect, Dask nor
scikit-learn is imported before.
"""

from __future__ import annotations

import importlib
import pkgutil

from prefect_tune._version import __version__

# The flows, tasks and blocks live in top-level folders of the checkout and are mapped under this name by
# the build. A checkout's root on sys.path must not hide the installed half: merge both.
__path__ = pkgutil.extend_path(__path__, __name__)

_PUBLIC = {
    "GridSearchCV": "prefect_tune.search_cv",
    "RandomizedSearchCV": "prefect_tune.search_cv",
    "HyperbandSearchCV": "prefect_tune.adaptive_cv",
    "SuccessiveHalvingSearchCV": "prefect_tune.adaptive_cv",
    "IncrementalSearchCV": "prefect_tune.adaptive_cv",
    "InverseDecaySearchCV": "prefect_tune.adaptive_cv",
    "ParallelPostFit": "prefect_tune.wrappers",
    "Incremental": "prefect_tune.wrappers",
    "HalvingGridSearchCV": "prefect_tune.halving_cv",
    "HalvingRandomSearchCV": "prefect_tune.halving_cv",
    "grid_search": "prefect_tune.flows.search",
    "agrid_search": "prefect_tune.flows.search",
    "randomized_search": "prefect_tune.flows.search",
    "arandomized_search": "prefect_tune.flows.search",
    "halving_grid_search": "prefect_tune.flows.halving",
    "ahalving_grid_search": "prefect_tune.flows.halving",
    "halving_randomized_search": "prefect_tune.flows.halving",
    "ahalving_randomized_search": "prefect_tune.flows.halving",
    "hyperband_search": "prefect_tune.flows.adaptive",
    "ahyperband_search": "prefect_tune.flows.adaptive",
    "successive_halving_search": "prefect_tune.flows.adaptive",
    "asuccessive_halving_search": "prefect_tune.flows.adaptive",
    "incremental_search": "prefect_tune.flows.adaptive",
    "aincremental_search": "prefect_tune.flows.adaptive",
    "inverse_decay_search": "prefect_tune.flows.adaptive",
    "ainverse_decay_search": "prefect_tune.flows.adaptive",
    "tune": "prefect_tune.flows.tuning",
    "atune": "prefect_tune.flows.tuning",
    "Random": "prefect_tune.samplers.draw",
    "Grid": "prefect_tune.samplers.grid",
    "Sobol": "prefect_tune.samplers.qmc",
    "Halton": "prefect_tune.samplers.qmc",
    "LatinHypercube": "prefect_tune.samplers.qmc",
    "TPE": "prefect_tune.samplers.tpe",
    "CmaEs": "prefect_tune.samplers.cmaes",
    "GP": "prefect_tune.samplers.gp",
    "MOBSTER": "prefect_tune.samplers.gp",
    "OptunaSampler": "prefect_tune.samplers.foreign",
    "Limited": "prefect_tune.samplers.limiter",
    "FIFO": "prefect_tune.schedules.asynchronous.fifo",
    "ASHA": "prefect_tune.schedules.asynchronous.asha",
    "PASHA": "prefect_tune.schedules.asynchronous.pasha",
    "MedianStopping": "prefect_tune.schedules.asynchronous.median",
    "TrialPlateau": "prefect_tune.schedules.asynchronous.plateau",
    "SearchPlateau": "prefect_tune.schedules.asynchronous.plateau",
    "PBT": "prefect_tune.schedules.asynchronous.pbt",
    "Wilcoxon": "prefect_tune.schedules.asynchronous.wilcoxon",
    "plan_tune": "prefect_tune.flows.tuning.plan",
    "TunePlan": "prefect_tune.tuning.plan",
    "TuneCallback": "prefect_tune.tuning.callbacks",
    "MLflowTracker": "prefect_tune.flows.trackers.mlflow",
    "SearchSpace": "prefect_tune.space",
    "TuneResult": "prefect_tune.tuning.result",
    "plan_search": "prefect_tune.dry_run",
    "ingest": "prefect_tune.data",
    "DataRef": "prefect_tune.data",
    "SearchResult": "prefect_tune.results",
    "AdaptiveResult": "prefect_tune.results",
    "SearchPlan": "prefect_tune.plan",
    "TuneTaskRunner": "prefect_tune.tasks.runner",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str):
    """The public object of that name, imported on first use."""
    try:
        module = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module 'prefect_tune' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
