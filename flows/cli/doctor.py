"""`prefect-tune doctor`: how this installation, its API, its cluster and its store are, and what to mend."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from prefect_tune.flows.cli.output import Json, say, say_json

if TYPE_CHECKING:
    from prefect_tune.flows.cli.checks import Check

_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}  # by level


def doctor(*, cluster: str | None = None, store: str | None = None, json: Json = False) -> int:
    """Check versions, Prefect API, cluster and store; say what is wrong and how to mend it.

    Starts no server and creates no store. Exit code 1 if something fails; warnings alone leave it at 0.

    Args:
        cluster: Address of a Dask scheduler to look at as well, such as tcp://host:8786 or tls://host:8786.
        store: Folder of the store. Default: tune in PREFECT_HOME.
        json: Print JSON instead of lines.
    """
    from prefect_tune.flows.cli.access import access_checks
    from prefect_tune.flows.cli.checks import FAIL, OK, Check, api_checks, package_checks, store_checks

    found = [*package_checks(), *api_checks(), *store_checks(store), *access_checks(store)]
    if cluster is not None:
        from prefect_tune.flows.cli.cluster import cluster_checks

        found += cluster_checks(cluster)
    worst = max((check.level for check in found), key=list(_MARKS).index)
    if json:
        say_json({"verdict": worst, "checks": [asdict(check) for check in found]})
    else:
        fitting = [check for check in found if check.package and check.level == OK]
        _print(Check("packages", OK, f"{len(fitting)} fit their declared bounds; --json lists them"))
        for check in found:
            if check not in fitting:
                _print(check)
    return 1 if worst == FAIL else 0


def _print(check: Check) -> None:
    mark, style = _MARKS[check.level]
    say(Text.assemble((f"{mark:<5}", style), (f"{check.name:<18}", "bold"), check.found))
    if check.move:
        say(Text(f"{'':<5}→ {check.move}"))
