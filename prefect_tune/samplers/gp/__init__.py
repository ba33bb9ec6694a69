"""Samplers on Gaussian processes: `GP` over configurations, `MOBSTER` over configurations and resources.

Rule 1: numpy and scipy only; a file is one formula or one step, `steps` puts them together.
Rule 2: losses are standardised before the model sees them; everything between is in these units.
Rule 3: nothing that changes a result is kept from one suggestion to the next.
"""

from prefect_tune.samplers.gp.mobster import MOBSTER
from prefect_tune.samplers.gp.sampler import GP

__all__ = ["GP", "MOBSTER"]
