"""What the store has of a trial: its reports in a row, its states, and whether its function has returned.

Rule: reports count as known only in an unbroken row. Each names the one before, since an objective may report
every epoch, every fifth, or as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.store import Record
from prefect_tune.tuning.jobs import JobOutcome, Reported, TrialJob

_AHEAD = 64  # resources asked for at once, where nobody said how far the trial goes


@dataclass(slots=True)
class Known:
    """What the store has of a job.

    Attributes:
        reports: after the job's `since`, in an unbroken row.
        ended: whether the function returned after the last of them.
        state: the latest resource, not beyond these reports, whose state is stored; None without one.
        output: name -> resource of the artefacts that the reports brought along; of several the last.
    """

    reports: list[Reported] = field(default_factory=list)
    ended: bool = False
    state: int | None = None
    output: dict[str, int] = field(default_factory=dict)

    def reached(self, job: TrialJob) -> int:
        """The resource up to which everything is known."""
        return self.reports[-1].resource if self.reports else job.since

    def complete(self, job: TrialJob) -> bool:
        """Whether there is nothing left to train."""
        return self.ended or (job.until is not None and self.reached(job) >= job.until)

    def outcome(self, job: TrialJob) -> JobOutcome:
        """The outcome of a job that is complete without training."""
        reached = self.reached(job)
        states = {self.state: 0} if self.state is not None and self.state == reached else {}
        return JobOutcome(
            job=job.number,
            trial=job.trial,
            reports=list(self.reports),
            ended=self.ended,
            states=states,
            known=reached - job.since,
            output=dict(self.output),
        )


def look_up(store: Any, scope: str, job: TrialJob, *, resumes: bool) -> Known:
    """What the store has of `job`.

    Args:
        resumes: whether the objective can go on from a state; else none is looked for.
    """
    found = Known()
    _read_row(found, store, scope, job)
    reached = found.reached(job)
    wanted = {job.chain.end(): None}
    states: dict[str, int] = {}
    if resumes:
        resources = {job.since, *(report.resource for report in found.reports)}
        states = {job.chain.state(r): r for r in resources if r > job.chain.base or job.chain.origin}
    records = store.lookup([*wanted, *states], scope)
    end = records.get(job.chain.end())
    found.ended = end is not None and end.values.get("resource") == reached
    there = [states[key] for key, record in records.items() if key in states and record.outputs]
    found.state = max(there, default=None)
    return found


def _read_row(found: Known, store: Any, scope: str, job: TrialJob) -> None:
    """Fills in the reports that follow each other, and what they brought along."""
    last = job.since
    while True:
        stop = job.until if job.until is not None else last + _AHEAD
        keys = {job.chain.report(resource): resource for resource in range(last + 1, stop + 1)}
        records = {keys[key]: record for key, record in store.lookup(keys, scope).items()}
        before = last
        for resource in sorted(records):
            if records[resource].values.get("previous") != last:
                break
            found.reports.append(read_report(resource, records[resource]))
            found.output |= dict.fromkeys(records[resource].values.get("artefacts", ()), resource)
            last = resource
        if job.until is not None or last == before:
            return


def read_report(resource: int, record: Record) -> Reported:
    """The report that a record holds."""
    values = record.values
    return Reported(resource, dict(values["metrics"]), values["seconds"], values.get("cost", 0.0))


def report_record(job: TrialJob, report: Reported, previous: int, artefacts: Iterable[str] = ()) -> Record:
    """The record of a report.

    Args:
        previous: resource of the report before, the chain's base for the first.
        artefacts: names of what it brought along and was stored, if anything.
    """
    values: dict[str, Any] = {
        "metrics": dict(report.metrics),
        "seconds": report.seconds,
        "previous": previous,
    }
    if report.cost:
        values["cost"] = report.cost
    if names := sorted(artefacts):
        values["artefacts"] = names
    return Record(key=job.chain.report(report.resource), kind="report", family="trial", values=values)


def end_record(job: TrialJob, resource: int) -> Record:
    """The note that the function returned by itself after its report at `resource`."""
    return Record(key=job.chain.end(), kind="end", family="trial", values={"resource": resource})
