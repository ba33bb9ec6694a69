"""The trials of a search: entered, given stretches of training, and rid of states that nobody needs."""

from __future__ import annotations

from collections.abc import Iterable

from prefect_tune.identity.seeds import derive_seed
from prefect_tune.schedules.asynchronous.contract import Job
from prefect_tune.trials import Config, config_key
from prefect_tune.tuning.jobs import Chain, JobOutcome, TrialJob
from prefect_tune.tuning.keep import to_release
from prefect_tune.tuning.settings import TuneSettings
from prefect_tune.tuning.trial import Trial


class Roster:
    """The trials, by index, and the chains that key what they leave behind.

    Attributes:
        trials: in order of creation.
    """

    def __init__(self, settings: TuneSettings) -> None:
        self.settings = settings
        self.trials: list[Trial] = []
        self._chains: list[Chain] = []
        self._jobs = 0

    def __len__(self) -> int:
        return len(self.trials)

    def key(self, trial: int) -> str:
        """The key of a trial's configuration, which breaks ties."""
        return self.trials[trial].key

    def chain(self, trial: int) -> Chain:
        """The chain of a trial."""
        return self._chains[trial]

    def enter(self, offer: Job, config: Config) -> Trial:
        """A new trial, which starts from nothing or from its parent's state."""
        parent, since = offer.parent, offer.since
        if parent is None:
            chain = self.settings.chain(config, offer.trial)
        else:
            chain = self._chains[parent].clone(config, since)
        self._chains.append(chain)
        inherited = since if parent is not None else 0
        trial = Trial(
            index=offer.trial,
            key=config_key(config),
            config=config,
            bracket=offer.bracket,
            parent=parent,
            inherited=inherited,
            resource=inherited,
            complete_at=self.settings.schedule.levels[-1] if self.settings.whole else 0,
        )
        self.trials.append(trial)
        return trial

    def stretch(self, trial: Trial, since: int, until: int | None, attempt: int = 0) -> TrialJob:
        """The next job of a trial, numbered."""
        number, self._jobs = self._jobs, self._jobs + 1
        levels, chain = self.settings.schedule.levels, self._chains[trial.index]
        return TrialJob(
            number=number,
            trial=trial.index,
            config=trial.config,
            chain=chain,
            since=since,
            until=until,
            last=until is None or not levels or until >= levels[-1],
            attempt=attempt,
            spent=trial.last.elapsed if trial.last else 0.0,
            seed=derive_seed(self.settings.seed, "trial", chain.key),
        )

    def stored(self, trial: Trial, outcome: JobOutcome) -> None:
        """Notes the states and artefacts that a job has left."""
        chain = self._chains[trial.index]
        trial.checkpoints.update({r: chain.state(r) for r in outcome.states})
        trial.artefacts.update({name: (r, chain.artefacts(r)) for name, r in outcome.output.items()})

    def released(self, donors: Iterable[tuple[int, int]]) -> list[str]:
        """Keys of the states that are kept no longer; the trials forget them.

        Args:
            donors: (trial, resource) of states that copies are about to start from.
        """
        keep = self.settings.keep
        if keep.num_to_keep is None and keep.keep_in_search is None:
            return []
        begun = {(t.parent, t.inherited) for t in self.trials if t.parent is not None and not t.checkpoints}
        gone = to_release(self.trials, keep, {*donors, *begun})  # type: ignore[arg-type]
        return [self.trials[index].checkpoints.pop(resource) for index, resource in gone]
