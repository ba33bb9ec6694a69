"""The plugin's own settings, where Prefect's are: environment, profile, prefect.toml."""

from __future__ import annotations

from prefect.settings.base import PrefectBaseSettings, build_settings_config
from pydantic import Field


class TuneIntegrationSettings(PrefectBaseSettings):
    """Settings whose names begin with PREFECT_INTEGRATIONS_TUNE_."""

    model_config = build_settings_config(("integrations", "tune"))

    allowed_modules: str = Field(
        default="",
        description="Modules, separated by commas, whose classes, functions and clusters the parameters of a "
        "deployment or a saved block may name, besides classes of scikit-learn, scipy.stats, NumPy and "
        "prefect-tune.",
    )


def allowed_modules() -> tuple[str, ...]:
    """The modules that were added to those allowed from the start; read anew each time."""
    names = TuneIntegrationSettings().allowed_modules.split(",")
    return tuple(name.strip().rstrip(".*") for name in names if name.strip())
