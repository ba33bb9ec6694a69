"""What a search over an objective has found, as a value: trials, the best of them, tables, curves.

Rule 1: everything is readable during a search and after one that was stopped.
Rule 2: late reports count nowhere. Of equal values the smaller key comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, overload

from prefect_tune.errors import TuneError, UserError, did_you_mean
from prefect_tune.model import Approval, ModelRef, load_model
from prefect_tune.store import StepStore
from prefect_tune.trials import Config, TrialState, order_of
from prefect_tune.tuning.cost import TuneCost
from prefect_tune.tuning.scopes import SCOPES, scored
from prefect_tune.tuning.trial import Trial, TrialReport

if TYPE_CHECKING:
    import pandas as pd

Loader = Callable[[str], Any]
"""Gives the checkpoint of a key in the store."""


class NoResult(TuneError, RuntimeError):
    """No trial has a finite value of the metric that was asked for."""


@dataclass(frozen=True, slots=True)
class Best:
    """The answer to one question for the best.

    Attributes:
        trial: the trial, with its reports, checkpoints and error.
        metric: that was asked for.
        value: of the metric, by the scope.
        report: that gave the value; for an average, the last one that went into it.
    """

    trial: Trial
    metric: str
    value: float
    report: TrialReport

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.trial.config

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the trial's last report."""
        last = self.trial.last
        return dict(last.metrics) if last else {}

    @property
    def metrics_at_value(self) -> dict[str, float]:
        """Metrics of the report that gave the value."""
        return dict(self.report.metrics)

    @property
    def checkpoints(self) -> dict[int, str]:
        """Resource -> key in the store, as far as kept."""
        return dict(sorted(self.trial.checkpoints.items()))

    @property
    def error(self) -> str | None:
        """Exception and message, if the trial has failed."""
        return self.trial.error

    def dataframe(self) -> pd.DataFrame:
        """The trial's reports, one per row."""
        from prefect_tune.tuning.frames import curves_frame

        return curves_frame([self.trial])


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a search has found. `len`, iteration and indexing follow the trials' index.

    Attributes:
        trials: by index.
        metric: that the search looked at; None if no trial has reported.
        mode: `min` or `max`.
        max_resource: where a trial is complete, if the schedule has a maximum.
        stopped_by: the criterion that stopped the search, empty if it ended by itself.
        name: of the search.
        ranking: indices of the trials by the schedule's own answer, best first.
        levels: resources at which trials were compared, rising.
        cost: what the search has cost.
        store, scope: where its states lie.
        flow_run_url: its page in the UI.
        report_path: its report, a Markdown file.
        uncacheable: (where, why) of what has no identity, so that nothing of it is known to the next search.
        whole: whether a trial's value is that at its end, since earlier reports are means over fewer parts.
        model: the best estimator, fitted on all rows; None for a function, and without `refit`.
        approval: what a person decided before it was fitted, None if nobody was asked.
        loader: reads a checkpoint in place of the store; it does not travel with a pickle.
    """

    trials: tuple[Trial, ...] = field(repr=False)
    metric: str | None = None
    mode: str = "min"
    max_resource: int | None = None
    stopped_by: str = ""
    name: str = ""
    ranking: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    cost: TuneCost = field(default_factory=TuneCost)
    store: str = ""
    scope: str = ""
    flow_run_url: str = ""
    report_path: str = ""
    uncacheable: tuple[tuple[str, str], ...] = ()
    whole: bool = False
    model: ModelRef | None = None
    approval: Approval | None = None
    loader: Loader | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple:
        return type(self), tuple(getattr(self, item.name) for item in fields(self)[:-1])

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Trial, ...]: ...
    def __getitem__(self, index: int | slice) -> Trial | tuple[Trial, ...]:
        return self.trials[index]

    @property
    def num_errors(self) -> int:
        """Trials that have failed."""
        return sum(trial.state is TrialState.FAILED for trial in self.trials)

    @property
    def errors(self) -> dict[int, str]:
        """Index -> exception and message of every trial that has failed."""
        failed = [trial for trial in self.trials if trial.state is TrialState.FAILED]
        return {trial.index: trial.error or trial.reason for trial in failed}

    @property
    def best_config(self) -> Config:
        """The configuration of `best()`."""
        return self.best().config

    @property
    def best_value(self) -> float:
        """The metric of `best()`."""
        return self.best().value

    @property
    def best_loss(self) -> float:
        """The loss of `best()`: the metric, or its negative for mode `max`."""
        return self.best_value if self.mode == "min" else -self.best_value

    @property
    def chosen_config(self) -> Config | None:
        """The configuration whose model is wanted: the best, unless a person decided otherwise; None: none.

        Raises:
            NoResult: no trial has a value.
        """
        if self.approval is None:
            return self.best().config
        return None if self.approval.row is None else self[self.approval.row].config

    def best(
        self,
        metric: str | None = None,
        mode: str | None = None,
        scope: str | None = None,
        filter_nan_and_inf: bool = True,
    ) -> Best:
        """The best trial, whatever became of it.

        With early stopping, `last` hides earlier and better reports of a trial: ask for `best` to have them.

        Args:
            metric: the search's own, if not given.
            mode: likewise.
            scope: what counts of a trial: `last` report, `best` report (Ray's `all`), `avg` of all reports,
                `last-5-avg`, `last-10-avg` (of all, where there are fewer), or `final`: the report at the
                maximum, for trials that have one. Default: `last`; for a cross-validation `final`, as soon
                as a trial has all folds.
            filter_nan_and_inf: leave out reports that are not finite, and trials with no other.

        Raises:
            UserError: no metric is known, or the mode or scope is none.
            NoResult: no trial has a value.
        """
        name, sign = self._asked(metric, mode)
        scope = self._scope() if scope is None else scope
        if scope not in SCOPES:
            raise UserError(f"scope: must be one of {', '.join(SCOPES)}, got {scope!r}.")
        found = []
        for trial in self.trials:
            answer = scored(trial, name, scope, sign=sign, finite=filter_nan_and_inf, top=self.max_resource)
            if answer is not None:
                found.append((order_of(sign * answer[0], trial.key), trial.index, trial, *answer))
        if not found:
            raise NoResult(self._nothing(name, scope))
        *_, trial, value, report = min(found, key=lambda row: row[:2])
        return Best(trial, name, value, report)

    get_best_result = best

    def dataframe(self, filter_metric: str | None = None, filter_mode: str | None = None) -> pd.DataFrame:
        """One row per trial, whatever its state, with the metrics of its last report.

        Args:
            filter_metric: take the metrics of the report that is best by this metric instead.
            filter_mode: `min` or `max` of it; the search's own, if not given.
        """
        from prefect_tune.tuning.frames import trials_frame

        if filter_metric is None and filter_mode is None:
            return trials_frame(self.trials, lambda trial: trial.last)
        name, sign = self._asked(filter_metric, filter_mode)

        def best_report(trial: Trial) -> TrialReport | None:
            answer = scored(trial, name, "best", sign=sign, finite=True, top=None)
            return answer[1] if answer else None

        return trials_frame(self.trials, best_report)

    get_dataframe = dataframe

    def curves(self) -> pd.DataFrame:
        """Every report of every trial, one per row, late ones marked."""
        from prefect_tune.tuning.frames import curves_frame

        return curves_frame(self.trials)

    def load_best(
        self, loader: Loader | None = None, *, scope: str | None = None, nearest: bool = False
    ) -> Any:
        """The checkpoint of the best trial, at the report that made it the best.

        Args:
            loader: reads a checkpoint by its key; the search's own, if not given.
            scope: as for `best`.
            nearest: take the latest checkpoint that was kept at or before that report, or else the earliest
                after it.
        """
        read = loader or self.loader or self._stored
        found = self.best(scope=scope)
        return read(found.checkpoints[_checkpoint_at(found, nearest)])

    def load_artefact(self, name: str, trial: int | None = None) -> Any:
        """What reports of a trial brought along under that name, as of the last report that did.

        Args:
            name: as in the report's `artefacts`.
            trial: its index; that of `best()` if not given.

        Raises:
            UserError: the trial has stored no such artefact, or the store no longer has it.
        """
        of = self.best().trial if trial is None else self.trials[trial]
        if name not in of.artefacts:
            has = ", ".join(sorted(of.artefacts)) or "none"
            raise UserError(
                f"load_artefact: trial {of.index} has no artefact {name!r}."
                f"{did_you_mean(name, of.artefacts)} It has: {has}."
            )
        return self._stored(of.artefacts[name][1], name, "load_artefact")

    def best_estimator(self) -> Any:
        """The best estimator, fitted on all rows, read from the store and verified.

        Raises:
            LookupError: the search had a function for its objective, ran with `refit=False`, or a person
                ended it without a model.
        """
        if self.model is None and self.approval is not None and self.approval.row is None:
            raise LookupError("best_estimator: a person ended this search without a model; see `approval`.")
        if self.model is None:
            raise LookupError(
                "best_estimator: no model was kept; tune() fits one on all rows at the end of a search over "
                "a scikit-learn estimator, unless refit=False."
            )
        return load_model(self.model)

    def _scope(self) -> str:
        """What counts of a trial if nobody says."""
        complete = any(trial.state is TrialState.COMPLETED for trial in self.trials)
        return "final" if self.whole and complete else "last"

    def _stored(self, key: str, output: str = "state", asked: str = "load_best") -> Any:
        """That output of that key in the search's own store."""
        if not self.store:
            move = "; give a loader that reads a state by key" if asked == "load_best" else ""
            raise UserError(f"{asked}: this result names no store{move}.")
        store = StepStore.open(self.store)
        record = store.get(key, self.scope)
        if record is None:
            raise UserError(
                f"{asked}: the store at {self.store} no longer has this {output}; run the search again, "
                "which trains only what is missing."
            )
        return store.load(record, output, writable=True)

    def _asked(self, metric: str | None, mode: str | None) -> tuple[str, int]:
        """The metric's name, and 1 or -1 for the mode."""
        name, way = metric or self.metric, mode or self.mode
        if name is None:
            raise UserError("metric: the search knows none, since nothing was reported; name one.")
        if way not in ("min", "max"):
            raise UserError(f"mode: must be 'min' or 'max', got {way!r}.")
        return name, 1 if way == "min" else -1

    def _nothing(self, name: str, scope: str) -> str:
        """Why there is no best trial."""
        known = {known for trial in self.trials for report in trial.accepted for known in report.metrics}
        if not known:
            return f"metric {name!r}: no trial has reported anything."
        if name not in known:
            has = ", ".join(sorted(known))
            return f"metric {name!r}: no trial has reported it.{did_you_mean(name, known)} Reported: {has}."
        where = f" at the maximum ({self.max_resource})" if scope == "final" else ""
        return f"metric {name!r}: no trial has a finite value{where}."


def _checkpoint_at(found: Best, nearest: bool) -> int:
    """The resource of the checkpoint to read."""
    wanted, kept = found.report.resource, sorted(found.checkpoints)
    if wanted in kept:
        return wanted
    if not nearest or not kept:
        has = ", ".join(map(str, kept)) or "none"
        raise UserError(
            f"load_best: trial {found.trial.index} has no checkpoint at {wanted}, only at: {has}; "
            "nearest=True takes the closest one, and num_to_keep with a score keeps the best."
        )
    before = [at for at in kept if at < wanted]
    return before[-1] if before else kept[0]
