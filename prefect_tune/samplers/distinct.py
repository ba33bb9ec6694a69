"""No configuration twice: a draw that repeats an earlier trial's is drawn again.

Rule 1: compared are the configurations of all trials of a lower index, failed ones included, type-exactly.
Rule 2: after 20 redraws the repetition is allowed, with a warning.
Rule 3: a finite space with every point used is exhausted; the search ends normally.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Set

from prefect_tune.identity.seeds import derive_seed, low32
from prefect_tune.samplers.contract import NoSuggestion, Question, Suggestion
from prefect_tune.trials import Config, TrialRecord, config_key

REDRAWS = 20
_KEPT = 4096
_KEYS: dict[bytes, str] = {}


def distinct(question: Question, draw: Callable[[int], Config]) -> Suggestion:
    """The first of the draws that no earlier trial has; EXHAUSTED if every point is used.

    Args:
        question: its records say what is used.
        draw: gives the configuration of the t-th draw; 0 is the first, 1 to 20 are the redraws.
    """
    used = used_keys(question)
    size = question.space.size
    if size is not None and len(used) >= size:
        return NoSuggestion.EXHAUSTED
    for attempt in range(REDRAWS + 1):
        config = draw(attempt)
        if not question.space.allows(config):  # a model knows nothing of rules; the space's own draws do
            config = question.space.draw(question.seed, question.index, attempt)
        if config_key(config) not in used:
            return config
    warnings.warn(
        f"trial {question.index}: {REDRAWS} redraws gave only configurations that earlier trials have; the "
        "last one is used again. Give the space more values, or the search fewer trials.",
        UserWarning,
        stacklevel=2,
    )
    return config


def used_keys(question: Question) -> Set[str]:
    """Keys of the configurations that trials of a lower index have, failed ones included."""
    known: Set[str] | None = getattr(question.records, "keys", None)  # a search knows those of its trials
    if known is not None:
        return known
    return {key_of(record.config) for record in question.records if record.index < question.index}


def earlier(question: Question) -> list[TrialRecord]:
    """The records of lower index, by rising index, however they have come."""
    return sorted(
        (record for record in question.records if record.index < question.index), key=lambda item: item.index
    )


def starting(question: Question, startup: int) -> bool:
    """Whether fewer than `startup` trials have ended or have a loss: then no model is asked yet."""
    return sum(record.usable for record in earlier(question)) < startup


def suggest_seed(question: Question, attempt: int) -> int:
    """A small seed for a library's sampler: the low 32 bits of the trial's own."""
    return low32(derive_seed(question.seed, "suggest", question.index, attempt))


def key_of(config: Config) -> str:
    """`config_key`, remembered: a search asks for the same hundreds of keys at every suggestion."""
    name = frozen(config)
    if name is None:
        return config_key(config)
    if name not in _KEYS:
        if len(_KEYS) >= _KEPT:
            _KEYS.clear()
        _KEYS[name] = config_key(config)
    return _KEYS[name]


def frozen(config: Config) -> bytes | None:
    """Bytes that only an equal configuration has, quick to make; None for values that cannot be pickled.

    Equal configurations may have different bytes: good for remembering, not for comparing.
    """
    try:
        return pickle.dumps(config, protocol=5)
    except Exception:  # any object may stand in a `choice`, and refuse in its own way
        return None
