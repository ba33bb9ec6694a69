"""The global generators, seeded before user code runs."""

from __future__ import annotations

import random
import sys

import numpy as np

from prefect_tune.identity.seeds import derive_seed, low32


def seed_globals(seed: int, key: bytes) -> None:
    """Global generators start from the step, so that code which uses them repeats.

    PyTorch's is among them where the user's code has loaded it.
    """
    number = low32(derive_seed(seed, key, "global"))
    random.seed(number)
    np.random.seed(number)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(number)
