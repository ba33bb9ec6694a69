"""Spaces written for other libraries, made ours: hyperopt, Optuna, Ray Tune, Syne Tune, ConfigSpace.

Rule 1: none of these libraries is imported: an object is known by the module and the name of its class.
Rule 2: what is drawn stays the same: the same values, of the same types, with the same probabilities. Where
no type of ours can do that, an error says what to write instead; the few differences stand in the modules.
Rule 3: everything else passes as it is, so foreign domains may stand beside ours.
"""

from prefect_tune.space.adapters.hyperopt import hyperopt_points
from prefect_tune.space.adapters.walk import adapt, adapted_space

__all__ = ["adapt", "adapted_space", "hyperopt_points"]
