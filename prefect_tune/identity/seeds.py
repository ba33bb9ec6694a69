"""Seeds derived by hashing, and their way into an estimator and out again.

Rule 1: a seed is the start of a digest of (search seed, names); no counter, no global generator, no order.
Rule 2: only `random_state=None` is replaced; a number or a generator given by the user is honoured.
Rule 3: numpy takes all 128 bits, scikit-learn the low 32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prefect_tune.identity.encode import digest

_NAME = "random_state"


def derive_seed(search_seed: int, *parts: Any) -> int:
    """A 128-bit seed: the first 16 bytes of H("seed/v1", search seed, parts...), little endian."""
    return int.from_bytes(digest("seed/v1", search_seed, *parts)[:16], "little")


def low32(seed: int) -> int:
    """The low 32 bits, which is what scikit-learn takes as a seed."""
    return seed & 0xFFFFFFFF


def unseeded(estimator: Any) -> list[str]:
    """Sorted parameter paths of every nested `random_state` that is None."""
    params = estimator.get_params(deep=True)
    return sorted(
        path
        for path, value in params.items()
        if value is None and (path == _NAME or path.endswith(f"__{_NAME}"))
    )


def inject_seeds(estimator: Any, seed_of: Callable[[str], int]) -> dict[str, int]:
    """The seeds set, by parameter path: each nested `random_state=None` now holds one.

    `seed_of` gives the seed for a path; its low 32 bits are used.
    """
    injected = {path: low32(seed_of(path)) for path in unseeded(estimator)}
    if injected:
        estimator.set_params(**injected)
    return injected


def restore_seeds(estimator: Any, injected: Mapping[str, int]) -> None:
    """Sets the injected parameters back to None, also on a fitted estimator."""
    if injected:
        estimator.set_params(**dict.fromkeys(injected))
