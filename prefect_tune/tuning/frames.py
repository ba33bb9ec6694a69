"""Tables of a search: one row per trial, or one per report. The only place here that loads pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prefect_tune.tuning.trial import Trial, TrialReport

if TYPE_CHECKING:
    import pandas as pd

TRIAL_COLUMNS = (
    "trial_id",
    "index",
    "status",
    "stop_reason",
    "bracket",
    "parent",
    "resource",
    "attempts",
    "seconds",
    "cost",
    "error",
)
REPORT_COLUMNS = ("trial_id", "index", "bracket", "resource", "elapsed", "late")


def trials_frame(trials: Iterable[Trial], report_of: Callable[[Trial], TrialReport | None]) -> pd.DataFrame:
    """One row per trial: where it stands, the metrics of one of its reports, its configuration.

    Metrics stand under their own names, or under `metric/<name>` where a column of ours has that name. The
    configuration stands under `config/<path>`.

    Args:
        trials: in the order of rows.
        report_of: picks the report whose metrics are shown.
    """
    import pandas as pd

    rows, metrics, configs = [], [], []
    for trial in trials:
        report = report_of(trial)
        rows.append(_trial_row(trial))
        metrics.append(_metrics(report.metrics if report else {}, TRIAL_COLUMNS))
        configs.append({f"config/{path}": value for path, value in config_columns(trial.config).items()})
    columns = [*TRIAL_COLUMNS, *_names(metrics), *sorted(_names(configs))]
    whole = [row | metric | config for row, metric, config in zip(rows, metrics, configs, strict=True)]
    frame = pd.DataFrame(whole, columns=columns)
    return frame.astype({"parent": "Int64"})


def curves_frame(trials: Iterable[Trial]) -> pd.DataFrame:
    """One row per report, by trial and resource."""
    import pandas as pd

    rows = [
        {
            "trial_id": trial.id,
            "index": trial.index,
            "bracket": trial.bracket,
            "resource": report.resource,
            "elapsed": report.elapsed,
            "late": report.late,
            **_metrics(report.metrics, REPORT_COLUMNS),
        }
        for trial in trials
        for report in sorted(trial.reports, key=lambda report: report.resource)
    ]
    names = [name for name in _names(rows) if name not in REPORT_COLUMNS]
    return pd.DataFrame(rows, columns=[*REPORT_COLUMNS, *names])


def config_columns(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a nested configuration by path, its keys joined by `/`.

    >>> config_columns({"lr": 0.1, "net": {"kind": "mlp", "a/b": [1, 2]}})
    {'lr': 0.1, 'net/kind': 'mlp', 'net/a~1b': [1, 2]}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = str(key).replace("~", "~0").replace("/", "~1")
        if isinstance(value, Mapping) and value:
            found |= {f"{name}/{rest}": inner for rest, inner in config_columns(value).items()}
        else:
            found[name] = value
    return found


def _trial_row(trial: Trial) -> dict[str, Any]:
    row = (
        trial.id,
        trial.index,
        trial.state.value,
        trial.reason,
        trial.bracket,
        trial.parent,
        trial.resource,
        trial.attempts,
        trial.seconds,
        trial.cost,
        trial.error,
    )
    return dict(zip(TRIAL_COLUMNS, row, strict=True))


def _metrics(metrics: Mapping[str, float], taken: tuple[str, ...]) -> dict[str, float]:
    """Metrics under names that no column of ours has."""
    return {f"metric/{name}" if name in taken else name: value for name, value in metrics.items()}


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """All names, in the order in which they first come."""
    return list(dict.fromkeys(name for row in rows for name in row))
