"""Two automations that bring a crashed search back, put on a server, renewed or taken off.

    python deployments/automations.py               put them on the server, or bring them up to date
    python deployments/automations.py --dry-run     print them as JSON, and ask no server
    python deployments/automations.py --remove      take them off

1. A run that falls silent has crashed. A flow run sends a heartbeat every PREFECT_FLOWS_HEARTBEAT_FREQUENCY seconds;
   when the host is gone, nobody else reports it. The first automation makes such a run Crashed.
2. A search that has crashed is scheduled again, under the same id. A worker takes it up, and what is in the store does
   not run again. It is given up when it has crashed too often.

Rule 1: only runs of deployments are touched: what nobody can schedule again is left alone, such as a bracket's run.
Rule 2: only another heartbeat, or an event after which none is due, calms the first automation. A pattern such as
        `prefect.flow-run.*` would take the Running that follows the first heartbeat for an answer, and a run that is
        killed after it would never be missed (PrefectHQ/prefect#17913).
Rule 3: automations are known by their names, and one that is as it should be is not touched.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, CompoundTrigger, EventTrigger, Posture
from prefect.settings import get_current_settings

SILENT = "prefect-tune: a run that falls silent has crashed"
AGAIN = "prefect-tune: a search that has crashed is run again"
FLOWS = (
    "grid-search",
    "randomized-search",
    "halving-grid-search",
    "halving-randomized-search",
    "hyperband-search",
    "successive-halving-search",
    "incremental-search",
    "inverse-decay-search",
    "tune",
    "search-from-spec",
)
"""Names of the flows of prefect-tune that can be deployed."""

HEARTBEAT = "prefect.flow-run.heartbeat"
NO_MORE_DUE = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "AwaitingRetry")
"""States of a flow run that sends no more heartbeats."""
LEAST = 10.0
"""Seconds: Prefect looks for what does not happen no closer."""


def automations(
    flows: Sequence[str], *, lost_after: float, times: int, per: float
) -> tuple[AutomationCore, AutomationCore]:
    """The two automations.

    Args:
        flows: names of the flows whose runs they watch.
        lost_after: seconds without a heartbeat after which a run has crashed, at least 10.
        times: how often a run is brought back, at least once.
        per: in how many seconds.
    """
    ours: dict[str, Any] = {
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": [
            {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)},
            {"prefect.resource.role": "deployment"},
        ],
        "for_each": {"prefect.resource.id"},
    }
    silent = EventTrigger(
        posture=Posture.Proactive,
        after={HEARTBEAT},
        expect={HEARTBEAT, *(f"prefect.flow-run.{name}" for name in NO_MORE_DUE)},
        within=timedelta(seconds=lost_after),
        **ours,
    )
    # A trigger fires once, then rests for the time it counts in: this one at a run's first crash, that one at its
    # second, and after the last there is none left.
    crashes = [
        EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Crashed"},
            threshold=number,
            within=timedelta(seconds=per),
            **ours,
        )
        for number in range(1, times + 1)
    ]
    return (
        AutomationCore(
            name=SILENT,
            description=f"A flow run of a search that has sent no heartbeat for {lost_after:g} s is Crashed.",
            trigger=silent,
            actions=[
                ChangeFlowRunState(state=StateType.CRASHED, message=f"No heartbeat for {lost_after:g} s.")
            ],
        ),
        AutomationCore(
            name=AGAIN,
            description=f"A search that has crashed is scheduled again, {times} times in {per / 3600:g} hours.",
            trigger=CompoundTrigger(require="any", triggers=crashes),
            actions=[
                ChangeFlowRunState(
                    state=StateType.SCHEDULED,
                    name="AwaitingRetry",
                    message="Brought back after a crash; what is in the store does not run again.",
                )
            ],
        ),
    )


def put(client: SyncPrefectClient, wanted: Sequence[AutomationCore]) -> Iterator[dict[str, str]]:
    """What was done about each automation, with its name and id; others of its name are gone."""
    for automation in wanted:
        known, *spare = [*client.read_automations_by_name(automation.name), None]
        if known is None:
            yield told("created", automation.name, client.create_automation(automation))
        elif AutomationCore.model_validate(known.model_dump()) == automation:
            yield told("unchanged", automation.name, known.id)
        else:
            client.update_automation(known.id, automation)
            yield told("updated", automation.name, known.id)
        for double in filter(None, spare):
            client.delete_automation(double.id)
            yield told("removed", double.name, double.id)


def remove(client: SyncPrefectClient) -> Iterator[dict[str, str]]:
    """What was removed."""
    for name in (SILENT, AGAIN):
        for automation in client.read_automations_by_name(name):
            client.delete_automation(automation.id)
            yield told("removed", name, automation.id)


def told(what: str, name: str, id: Any) -> dict[str, str]:
    """What was done, for the terminal and for `--json`."""
    return {"action": what, "name": name, "id": str(id)}


# -- command line --------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(
        description="Puts two automations on the Prefect server: a search that falls silent has crashed, and one that "
        "has crashed is run again, with what it had done."
    )
    add = found.add_argument
    add("--lost-after", type=float, metavar="SECONDS", help="silence after which a run has crashed; default: "
        "three times PREFECT_FLOWS_HEARTBEAT_FREQUENCY")  # fmt: skip
    add("--times", type=int, default=3, help="how often a run is brought back; default: 3")
    add("--per", type=float, default=24.0, metavar="HOURS", help="in how many hours; default: 24")
    add("--flow", action="append", default=[], metavar="NAME", help="a flow of yours with a search in it; again "
        "for another")  # fmt: skip
    add("--remove", action="store_true", help="take the automations off the server")
    add("--dry-run", action="store_true", help="print what would be put there, as JSON, and ask no server")
    add("--json", action="store_true", help="say what was done as JSON")
    return found


def checked(asked: argparse.Namespace, heartbeat: int | None) -> str | None:
    """What is wrong with the arguments, or None.

    Args:
        heartbeat: seconds between two heartbeats; None: there are none.
    """
    if asked.lost_after is None and heartbeat is None:
        return "PREFECT_FLOWS_HEARTBEAT_FREQUENCY is off; set it for the workers, or no run can be missed."
    if asked.lost_after is None:
        asked.lost_after = 3.0 * (heartbeat or 0)
    if asked.lost_after < LEAST:
        return f"--lost-after: {asked.lost_after:g} s is below Prefect's least, {LEAST:g} s."
    if asked.times < 1 or asked.per <= 0:
        return (
            "--times and --per: a run is brought back at least once, in some time; to end that, use --remove."
        )
    if heartbeat is not None and asked.lost_after <= heartbeat:
        print(
            f"warning: a run is heard of every {heartbeat} s here, so after {asked.lost_after:g} s of silence it "
            "need not be lost. Lower PREFECT_FLOWS_HEARTBEAT_FREQUENCY for the workers, or raise --lost-after.",
            file=sys.stderr,
        )
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 for arguments that make no sense."""
    asked = parser().parse_args(arguments)
    if problem := checked(asked, get_current_settings().flows.heartbeat_frequency):
        print(problem, file=sys.stderr)
        return 2
    wanted = automations(
        [*FLOWS, *asked.flow], lost_after=asked.lost_after, times=asked.times, per=asked.per * 3600
    )
    if asked.dry_run:
        print(json.dumps([automation.model_dump(mode="json") for automation in wanted], indent=2))
        return 0
    with get_client(sync_client=True) as client:
        done = list(remove(client) if asked.remove else put(client, wanted))
    lines = [f"{one['action']:10}{one['name']}  ({one['id']})" for one in done] or ["there were none"]
    print(json.dumps(done, indent=2) if asked.json else "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
