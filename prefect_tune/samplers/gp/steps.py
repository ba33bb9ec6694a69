"""The steps of one suggestion, shared by `GP` and `MOBSTER`.

Rule 1: a suggestion is a function of the question: parameters are fitted anew, from fixed starts.
Rule 2: one generator, seeded by (search, trial), in this order: restarts, fantasies, candidates, Thompson.
Rule 3: until `startup` trials are usable, and wherever a model has nothing to say, configurations are drawn
from the space, or from the listed ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from prefect_tune.errors import UserError
from prefect_tune.samplers.contract import NoSuggestion, Question, Suggestion
from prefect_tune.samplers.distinct import distinct, earlier, starting, used_keys
from prefect_tune.samplers.gp.acquisition import Acquisition
from prefect_tune.samplers.gp.encoding import Encoding
from prefect_tune.samplers.gp.evidence import Evidence, standardised
from prefect_tune.samplers.gp.fit import fit
from prefect_tune.samplers.gp.kernels import Array, Inputs
from prefect_tune.samplers.gp.posterior import Posterior
from prefect_tune.samplers.gp.propose import best_listed, best_near
from prefect_tune.samplers.settings import one_of, whole
from prefect_tune.space import SearchSpace
from prefect_tune.trials import Config, config_key, generator


class Settings(Protocol):
    """What both samplers are set by."""

    @property
    def startup(self) -> int: ...
    @property
    def candidates(self) -> tuple[Config, ...] | None: ...
    @property
    def fantasies(self) -> int: ...
    @property
    def draws(self) -> int: ...
    @property
    def cap(self) -> int: ...
    @property
    def pull_in(self) -> bool: ...
    @property
    def failed(self) -> str: ...


@dataclass(frozen=True, slots=True)
class View:
    """What a sampler makes of the records: data for the model, and where to ask it.

    Attributes:
        evidence: data, within the cap, and pending points.
        level: resource at which configurations are compared; None if the model has no resources.
        top: the largest resource.
    """

    evidence: Evidence
    level: int | None
    top: int

    @property
    def known(self) -> list[int]:
        """Trials among which the incumbent is looked for: with a loss, or one under way, at the level."""
        pairs = [(seen.trial, seen.level) for seen in self.evidence.observations] + self.evidence.pending
        there = [trial for trial, level in pairs if self.level in (None, level)]
        return sorted(set(there or [trial for trial, _ in pairs]))

    def position(self, level: int) -> float:
        """A resource's place in (0, 1)."""
        return (level - 0.5) / self.top


def check(owner: str, settings: Settings) -> None:
    """Raises UserError for a setting that is no such number."""
    for name, least in (("startup", 0), ("fantasies", 1), ("draws", 1), ("cap", 4)):
        whole(owner, name, getattr(settings, name), least)
    one_of(owner, "failed", settings.failed, ("out", "worst"))
    if settings.candidates is not None and not settings.candidates:
        raise UserError(f"{owner}: candidates must not be empty; leave it out to draw from the whole space.")


def identity(name: str, settings: Settings, *more: str) -> dict[str, object]:
    """The settings as JSON, `sampler` first; candidates by their keys."""
    listed = settings.candidates
    keys = None if listed is None else [config_key(config) for config in listed]
    found: dict[str, object] = {"sampler": name, "startup": settings.startup, "candidates": keys}
    return found | {
        key: getattr(settings, key) for key in ("fantasies", "draws", "cap", "pull_in", "failed", *more)
    }


def suggestion(settings: Settings, question: Question, view: Callable[[], View]) -> Suggestion:
    """The next configuration; `view` is only asked for once enough trials are usable."""
    used = used_keys(question)
    table = None if settings.candidates is None else table_of(settings.candidates, question.space)
    if table is not None and table.keys <= used:
        return NoSuggestion.EXHAUSTED
    model = None
    rng = generator(question.seed, "suggest", question.index, 0)
    if not starting(question, settings.startup):
        model = acquisition_of(settings, question, view(), rng)
    if table is not None:
        rows = [row for row, key in enumerate(table.order) if key not in used]
        if model is None:
            pick = int(generator(question.seed, "config", question.index).integers(len(rows)))
        else:
            pick = best_listed(model, table.x[rows], [table.order[row] for row in rows])
        return table.configs[rows[pick]]
    return distinct(question, _draw(settings, question, model, used, rng))


def _draw(
    settings: Settings,
    question: Question,
    model: Acquisition | None,
    used: AbstractSet[str],
    rng: np.random.Generator,
) -> Callable[[int], Config]:
    """The model's proposal first, then redraws from the space."""

    def draw(attempt: int) -> Config:
        if model is not None and attempt == 0:
            found = best_near(model, Encoding(question.space), used, settings.draws, rng)
            if found is not None:
                return found
        return question.space.draw(question.seed, question.index, attempt)

    return draw


def acquisition_of(
    settings: Settings, question: Question, view: View, rng: np.random.Generator
) -> Acquisition | None:
    """The fitted model with its fantasies, ready to compare configurations; None without any data."""
    encoding = Encoding(question.space)
    observed = view.evidence.observations
    if encoding.dimensions == 0 or not any(math.isfinite(seen.loss) for seen in observed):
        return None
    configs = {record.index: record.config for record in earlier(question)}
    trials = sorted({seen.trial for seen in observed} | {trial for trial, _ in view.evidence.pending})
    row_of = {trial: row for row, trial in enumerate(trials)}
    x = encoding.encode_all([configs[trial] for trial in trials])

    def inputs(pairs: Sequence[tuple[int, int]]) -> Inputs:
        rows = x[[row_of[trial] for trial, _ in pairs]]
        if view.level is None:
            return Inputs(rows)
        return Inputs(rows, np.array([view.position(level) for _, level in pairs]))

    data = inputs([(seen.trial, seen.level) for seen in observed])
    targets = standardised(np.array([seen.loss for seen in observed]), settings.pull_in)
    posterior = Posterior.of(data, targets[:, None], fit(data, targets, rng))
    if view.evidence.pending:
        pending = inputs(view.evidence.pending)
        posterior = posterior.with_fantasies(pending, posterior.samples(pending, settings.fantasies, rng))
    position = None if view.level is None else view.position(view.level)
    return Acquisition.over(posterior, x[[row_of[trial] for trial in view.known]], position)


@dataclass(frozen=True, slots=True)
class Table:
    """Listed configurations.

    Attributes:
        configs: as given.
        order: their keys.
        x: encoded, one row each.
        keys: the keys once more, as a set.
    """

    configs: tuple[Config, ...]
    order: tuple[str, ...]
    x: Array
    keys: frozenset[str]


_TABLES: list[tuple[tuple[Config, ...], SearchSpace, Table]] = []
_KEPT = 4


def table_of(configs: tuple[Config, ...], space: SearchSpace) -> Table:
    """The listed configurations in a space, remembered: they are the same at every suggestion."""
    for given, within, table in _TABLES:
        if given is configs and within is space:
            return table
    order = tuple(config_key(config) for config in configs)
    table = Table(configs, order, Encoding(space).encode_all(list(configs)), frozenset(order))
    del _TABLES[: max(len(_TABLES) - _KEPT + 1, 0)]
    _TABLES.append((configs, space, table))
    return table
