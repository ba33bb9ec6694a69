"""`prefect-tune store key`: a new key for a store that others can write in."""

from __future__ import annotations

from prefect_tune.flows.cli.output import say
from prefect_tune.store.signing import new_key


def key(name: str = "") -> None:
    """Print a new random key for a signed store, as ID:KEY.

    Keep it where keys are kept: in a file that only you can read ($PREFECT_TUNE_STORE_KEYS_FILE), in the
    environment of flows and workers ($PREFECT_TUNE_STORE_KEYS), or in a Secret block that a StepStore block
    names. Whoever has it can store models that others will unpickle.

    Args:
        name: Of the key, up to 32 letters, digits, dots and dashes. Default: k and 8 hex digits.
    """
    say(new_key(name))
