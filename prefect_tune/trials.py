"""Trials: one configuration each, what they have reported, and the words for what becomes of them.

Rule 1: inside, everything is a loss: smaller is better, whatever the user's metric and mode.
Rule 2: a trial is known by its index, the order of creation; a configuration by its key, the digest of its
values. Between equal losses the smaller key comes first.
Rule 3: every draw is a function of (search seed, purpose, index): no counter, no order of arrival.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np

from prefect_tune.identity.encode import digest
from prefect_tune.identity.seeds import derive_seed

Config: TypeAlias = Mapping[str, Any]
"""A configuration: nested dicts of values, as the objective gets it."""


class TrialState(StrEnum):
    """Where a trial stands; the last three are its ends."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether the trial will never run again."""
        return self in (TrialState.STOPPED, TrialState.COMPLETED, TrialState.FAILED)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What a sampler may know of one trial.

    Attributes:
        index: order of creation.
        config: its configuration.
        state: where it stands.
        losses: finite losses by resource, at the levels that the schedule shows to samplers.
        pending: resources under way, for which no loss is known yet.
        final: the loss of a completed trial, else None.
    """

    index: int
    config: Config
    state: TrialState
    losses: Mapping[int, float] = field(default_factory=dict)
    pending: tuple[int, ...] = ()
    final: float | None = None

    @property
    def usable(self) -> bool:
        """Whether it counts towards a sampler's start-up: it has ended, or has a loss at a level."""
        return self.state.finished or bool(self.losses)


def config_key(config: Config) -> str:
    """The configuration's digest, in hex: type-exact, so 1, 1.0 and True differ and nan equals nan."""
    return digest("config/v1", dict(config)).hex()


def generator(seed: int, purpose: str, *parts: Any) -> np.random.Generator:
    """A fresh generator, the same for the same (search seed, purpose, parts) in every process.

    Args:
        seed: of the search.
        purpose: `config`, `qmc`, `bracket`, `suggest`, `coin`, `pbt` or `subsample`.
        parts: what the draw is for, e.g. the trial's index.
    """
    return np.random.Generator(np.random.PCG64(derive_seed(seed, purpose, *parts)))


def order_of(loss: float, key: str) -> tuple[bool, float, str]:
    """Sorts losses: finite first, then the smaller, ties to the smaller key."""
    bad = not math.isfinite(loss)
    return bad, 0.0 if bad else loss, key
