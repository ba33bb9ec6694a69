"""Any Optuna sampler as one of ours.

Rule 1: the sampler object that is given is never used itself: every suggestion has a copy, whose random
generators are seeded for the trial.
Rule 2: a sampler that keeps marks on trials or in itself goes through the whole history first (replay).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_tune.errors import UserError
from prefect_tune.identity.seeds import derive_seed, low32
from prefect_tune.samplers.contract import Question, Suggestion
from prefect_tune.samplers.distinct import distinct, earlier, starting
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.quiet import no_experimental_warnings
from prefect_tune.samplers.replay import reseed, told
from prefect_tune.samplers.settings import whole
from prefect_tune.samplers.study import ask, book_of, rows_of
from prefect_tune.samplers.twins import twins_of
from prefect_tune.trials import Config

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

# What these know, they read from the trials' parameters and results: no need to go through the history.
_FORGETFUL = {"RandomSampler", "TPESampler", "GPSampler", "BruteForceSampler"}


@dataclass(frozen=True, eq=False, weakref_slot=True, slots=True)
class OptunaSampler:
    """Another library's sampler: `OptunaSampler(optuna.samplers.NSGAIISampler())`.

    A factory, `OptunaSampler(lambda seed: QMCSampler(seed=seed))`, gets a number made of the search's seed.
    Prefer it for samplers that keep their seed as a number: an object without a seed has taken a random one,
    and a resumed search would go on with another. What Optuna logs below ERROR is not shown.

    Attributes:
        made: the sampler, or a function of a seed that returns one.
        startup: trials that must be usable before it is asked; until then the space is drawn from. 0 leaves
            the start to the sampler.
        replay: whether it must go through the history at every suggestion. None: unless it is one of
            Optuna's that are known not to need it.
    """

    made: BaseSampler | Callable[[int], BaseSampler]
    startup: int = 0
    replay: bool | None = None

    def __post_init__(self) -> None:
        whole("OptunaSampler", "startup", self.startup, 0)
        self._make(0)

    def suggest(self, question: Question) -> Suggestion:
        """What the sampler proposes for this trial."""
        if starting(question, self.startup):
            return Random().suggest(question)
        sampler = self._make(low32(derive_seed(question.seed, "suggest")))
        again = type(sampler).__name__ not in _FORGETFUL if self.replay is None else self.replay
        return propose(self, question, sampler, again=again)

    def _make(self, seed: int) -> BaseSampler:
        """The sampler as it was given, or as the factory makes it."""
        from optuna.samplers import BaseSampler, GridSampler

        if isinstance(self.made, BaseSampler):
            sampler = self.made
        else:
            with no_experimental_warnings():
                sampler = self.made(seed) if callable(self.made) else self.made
        if isinstance(sampler, GridSampler):
            raise UserError("OptunaSampler: GridSampler stops Optuna's own loop; use prefect_tune's Grid.")
        if not isinstance(sampler, BaseSampler):
            raise UserError(
                "OptunaSampler: made must be an Optuna sampler or a function of a seed that returns one, "
                f"got {sampler!r}; give e.g. optuna.samplers.NSGAIISampler()."
            )
        return sampler

    def identity(self) -> dict[str, object]:
        """The name, the class and those of its settings that are plain values."""
        return {
            "sampler": "optuna",
            "startup": int(self.startup),
            "replay": self.replay,
            "of": described(self._make(0)),
        }


def propose(owner: object, question: Question, sampler: BaseSampler, *, again: bool) -> Suggestion:
    """A copy's proposal for this trial, after it has gone through the history if `again`.

    Args:
        owner: the settings object, under which the beginning of the history is remembered.
        question: of the search.
        sampler: to copy.
        again: whether it must go through the history.
    """
    twins = twins_of(question.space)
    rows = rows_of(question.space, twins, earlier(question))

    def draw(attempt: int) -> Config:
        if again:
            book = told(owner, question.seed, rows, twins, sampler)
        else:
            book = book_of(rows, twins, copy.deepcopy(sampler))
        reseed(book.study.sampler, derive_seed(question.seed, "suggest", question.index, attempt))
        return ask(book.study, question, twins, attempt)

    return distinct(question, draw)


def described(sampler: BaseSampler) -> dict[str, Any]:
    """The sampler's class and its plain settings, those of samplers inside it included."""
    from optuna.samplers import BaseSampler

    kind = type(sampler)
    found: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}"}
    for name, value in sorted(vars(sampler).items()):
        if value is None or isinstance(value, (bool, int, float, str)):
            found[name.lstrip("_")] = value
        elif isinstance(value, BaseSampler):
            found[name.lstrip("_")] = described(value)
    return found
