"""CMA-ES: a normal distribution that moves and stretches towards the better half of each generation.

Rule 1: it learns from completed trials, in generations by rising index; it has no use for partial losses.
Rule 2: only leaves with numbers take part; choices and conditional leaves are drawn independently.
Theory: Hansen and Ostermeier, Evolutionary Computation 9(2), 2001; the package `cmaes`, through Optuna.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from prefect_tune.errors import MissingDependency
from prefect_tune.identity.seeds import derive_seed, low32
from prefect_tune.samplers.contract import Question, Suggestion
from prefect_tune.samplers.distinct import starting
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.foreign import propose
from prefect_tune.samplers.quiet import no_experimental_warnings
from prefect_tune.samplers.settings import whole

if TYPE_CHECKING:
    from optuna.samplers import CmaEsSampler


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class CmaEs:
    """Optuna's CMA-ES, fed from the search's own records.

    Attributes:
        startup: trials that must be usable before the model is asked.
        population: trials of a generation, at least 4; None is 4 + 3 ln(number of leaves), rounded down.
        margin: keeps steps and whole numbers from freezing at one value (CMA-ES with margin).

    Raises:
        MissingDependency: when it is made and the package `cmaes` is not installed.
    """

    startup: int = 1
    population: int | None = None
    margin: bool = False

    def __post_init__(self) -> None:
        whole("CmaEs", "startup", self.startup, 0)
        if self.population is not None:
            whole(
                "CmaEs", "population", self.population, 4
            )  # with fewer, one parent is left: no spread to learn
        if find_spec("cmaes") is None:
            raise MissingDependency(
                "CmaEs: the package cmaes is not installed; run: pip install 'prefect-tune[cmaes]'."
            )

    def suggest(self, question: Question) -> Suggestion:
        """A draw from the distribution that the completed generations have led to."""
        if starting(question, self.startup):
            return Random().suggest(question)
        return propose(self, question, self._sampler(question.seed), again=True)

    def _sampler(self, seed: int) -> CmaEsSampler:
        from optuna.samplers import CmaEsSampler

        with no_experimental_warnings():
            return CmaEsSampler(
                seed=low32(derive_seed(seed, "suggest")),
                n_startup_trials=1,
                warn_independent_sampling=False,
                with_margin=self.margin,
                popsize=self.population,
            )

    def identity(self) -> dict[str, object]:
        """The name and every setting."""
        population = None if self.population is None else int(self.population)
        return {
            "sampler": "cma-es",
            "startup": int(self.startup),
            "population": population,
            "margin": self.margin,
        }
