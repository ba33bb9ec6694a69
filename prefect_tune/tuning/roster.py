"""The trials of a search: entered, given stretches of training, and rid of states that nobody needs."""

from __future__ import annotations

from collections.abc import Iterable

from prefect_tune.identity.seeds import derive_seed
from prefect_tune.schedules.asynchronous.contract import Job
from prefect_tune.trials import Config, config_key
from prefect_tune.tuning.evidence import Evidence
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
        self.evidence = Evidence(settings.evaluated)
        self._having: dict[int, Trial] = {}  # trials that have states in the store
        self._bare: dict[
            int, tuple[int, int]
        ] = {}  # copies without a state -> (trial, resource) they start from
        self._look: set[int] = set()  # trials of which a state may be let go

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
        self.evidence.enter(trial)
        if parent is not None:
            self._bare[trial.index] = (parent, inherited)
        return trial

    def stretch(self, trial: Trial, since: int, until: int | None, attempt: int = 0) -> TrialJob:
        """The next job of a trial, numbered."""
        number, self._jobs = self._jobs, self._jobs + 1
        self.evidence.changed.add(trial.index)
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
        self.evidence.changed.add(trial.index)
        trial.checkpoints.update({r: chain.state(r) for r in outcome.states})
        trial.artefacts.update({name: (r, chain.artefacts(r)) for name, r in outcome.output.items()})
        if trial.checkpoints:
            self._having[trial.index] = trial
            self._bare.pop(trial.index, None)
            self._look.add(trial.index)

    def released(self, donors: Iterable[tuple[int, int]]) -> list[str]:
        """Keys of the states that are kept no longer; the trials forget them.

        Args:
            donors: (trial, resource) of states that copies are about to start from.
        """
        keep = self.settings.keep
        if keep.num_to_keep is None and keep.keep_in_search is None:
            return []
        needed = {*donors, *self._bare.values()}
        # What one trial keeps of its own is no other's matter: only where the search keeps the best M trials
        # are all of them looked at, and these are few.
        looked = self._having if keep.keep_in_search is not None else self._look
        gone = to_release([self.trials[index] for index in looked], keep, needed)
        self._look = {index for index, _ in needed}  # no longer needed some day
        keys = [self.trials[index].checkpoints.pop(resource) for index, resource in gone]
        for index in {index for index, _ in gone}:
            self._emptied(self.trials[index])
        return keys

    def _emptied(self, trial: Trial) -> None:
        """Notes that a trial has no state left, if so."""
        if trial.checkpoints:
            return
        del self._having[trial.index]
        if trial.parent is not None:
            self._bare[trial.index] = (trial.parent, trial.inherited)
