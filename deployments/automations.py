"""Three automations that bring a crashed search back, put on a server, brought up to date or taken off.

    python deployments/automations.py               put them on the server, or bring them up to date
    python deployments/automations.py --dry-run     print them as JSON, and ask no server
    python deployments/automations.py --remove      take them off

1. A run that falls silent has crashed. A flow run sends a heartbeat every PREFECT_FLOWS_HEARTBEAT_FREQUENCY
   seconds; when its host is gone, nobody else reports it. The first automation makes such a run Crashed.
2. A run that has stayed Crashed for a while is scheduled again, under the same id. A worker takes it up, and
   what is in the store does not run again.
3. A run that has crashed too often has failed, and is left alone.

Rule 1: only runs of deployments are touched: what nobody can schedule again is left alone, such as the run
        of a bracket.
Rule 2: only another heartbeat, or a state after which none is due, calms the first automation. A pattern
        such as `prefect.flow-run.*` would take the Running that follows the first heartbeat for an answer,
        and a run that is killed after it would never be missed (PrefectHQ/prefect#17913).
Rule 3: the second waits. A worker reports a killed process twice, as many seconds apart as it takes to load
        the flow; a run that was scheduled in between would be Crashed again while it runs.
Rule 4: automations are known by their names, and one that is as it should be is not touched.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import PREFECT_API_URL, get_current_settings

SILENT = "prefect-tune: a search that falls silent has crashed"
AGAIN = "prefect-tune: a search that has crashed is run again"
ENOUGH = "prefect-tune: a search that crashes again and again has failed"
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

RUN = "prefect.flow-run"
HEARTBEAT = f"{RUN}.heartbeat"
NO_MORE_DUE = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "AwaitingRetry")
"""States of a flow run that sends no more heartbeats."""
LEAST = 10.0
"""Seconds: the shortest time in which Prefect misses an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a run counts as crashed, and how often it is brought back.

    Attributes:
        lost_after: seconds without a heartbeat after which a run has crashed, at least 10.
        wait: seconds for which it stays Crashed before it is scheduled again, at least 10.
        times: how often it is brought back, at least once.
        per: seconds in which that is counted.
    """

    lost_after: float
    wait: float = 60.0
    times: int = 3
    per: float = 24 * 3600.0


def automations(flows: Sequence[str], patience: Patience) -> list[AutomationCore]:
    """The three automations, which watch the runs of these flows."""
    lost, wait, times = patience.lost_after, patience.wait, patience.times
    calm = {HEARTBEAT, *(f"{RUN}.{name}" for name in NO_MORE_DUE)}
    silent = trigger(flows, Posture.Proactive, lost, after={HEARTBEAT}, expect=calm)
    crashed = {f"{RUN}.Crashed"}
    again = trigger(flows, Posture.Proactive, wait, after=crashed, expect={f"{RUN}.*"})
    enough = trigger(flows, Posture.Reactive, patience.per, expect=crashed, threshold=times + 1)
    return [
        automation(SILENT, silent, StateType.CRASHED, f"No heartbeat for {lost:g} s."),
        automation(
            AGAIN,
            again,
            StateType.SCHEDULED,
            "Brought back after a crash; what is in the store does not run again.",
            "AwaitingRetry",
        ),
        automation(
            ENOUGH,
            enough,
            StateType.FAILED,
            f"Crashed {times + 1} times in {patience.per / 3600:g} hours. The states before say why; once "
            "that is mended, retry the run.",
        ),
    ]


def trigger(flows: Sequence[str], posture: Posture, within: float, **events: Any) -> EventTrigger:
    """A trigger that looks at every run of these flows by itself, if a deployment made it.

    Args:
        within: seconds.
        events: what it waits for, as for `EventTrigger`.
    """
    return EventTrigger(
        type="event",  # also where it is the default: an update sends only what was given
        posture=posture,
        match={"prefect.resource.id": f"{RUN}.*"},
        match_related=[
            {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)},
            {"prefect.resource.role": "deployment"},
        ],
        for_each={"prefect.resource.id"},
        within=timedelta(seconds=within),
        **events,
    )


def automation(
    name: str, on: EventTrigger, state: StateType, message: str, called: str | None = None
) -> AutomationCore:
    """An automation that changes the state of the run that it is about."""
    action = ChangeFlowRunState(type="change-flow-run-state", state=state, name=called, message=message)
    return AutomationCore(name=name, description=message, trigger=on, actions=[action])


def put(client: SyncPrefectClient, wanted: Sequence[AutomationCore]) -> Iterator[dict[str, str]]:
    """What was done about each automation, with its name and id; others of its name are gone."""
    for one in wanted:
        known, *spare = [*client.read_automations_by_name(one.name), None]
        if known is None:
            yield told("created", one.name, client.create_automation(one))
        elif AutomationCore.model_validate(known.model_dump()) == one:
            yield told("unchanged", one.name, known.id)
        else:
            client.update_automation(known.id, one)
            yield told("updated", one.name, known.id)
        for double in filter(None, spare):
            client.delete_automation(double.id)
            yield told("removed", double.name, double.id)


def remove(client: SyncPrefectClient) -> Iterator[dict[str, str]]:
    """What was removed."""
    for name in (SILENT, AGAIN, ENOUGH):
        for found in client.read_automations_by_name(name):
            client.delete_automation(found.id)
            yield told("removed", name, found.id)


def told(what: str, name: str, id: Any) -> dict[str, str]:
    """What was done, for the terminal and for `--json`."""
    return {"action": what, "name": name, "id": str(id)}


# -- command line --------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(
        description="Automations for the Prefect server: a search that falls silent has crashed, one that "
        "has crashed is run again, and one that crashes too often has failed."
    )
    lost = "silence after which a run has crashed; default: three times PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    found.add_argument("--lost-after", type=float, metavar="SECONDS", help=lost)
    wait = "how long a run stays Crashed before it is scheduled again; default: 60"
    found.add_argument("--wait", type=float, default=60, metavar="SECONDS", help=wait)
    found.add_argument("--times", type=int, default=3, help="how often a run is brought back; default: 3")
    found.add_argument(
        "--per", type=float, default=24, metavar="HOURS", help="in how many hours; default: 24"
    )
    flows = "watch a flow of yours, too; once for each"
    found.add_argument("--flow", action="append", default=[], metavar="NAME", help=flows)
    found.add_argument("--remove", action="store_true", help="take the automations off the server")
    found.add_argument("--dry-run", action="store_true", help="print them as JSON, and ask no server")
    found.add_argument("--json", action="store_true", help="say what was done as JSON")
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
    for name, seconds in (("--lost-after", asked.lost_after), ("--wait", asked.wait)):
        if seconds < LEAST:
            return f"{name}: {seconds:g} s is below Prefect's least, {LEAST:g} s."
    if asked.times < 1 or asked.per <= 0:
        return (
            "--times and --per: a run is brought back at least once, in some time; to end that, use --remove."
        )
    if heartbeat is not None and asked.lost_after <= heartbeat:
        print(
            f"warning: a run is heard of every {heartbeat} s here; after {asked.lost_after:g} s of silence "
            "it need not be lost. Lower PREFECT_FLOWS_HEARTBEAT_FREQUENCY for the workers, or raise "
            "--lost-after.",
            file=sys.stderr,
        )
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 for arguments that make no sense and for want of a server."""
    asked = parser().parse_args(arguments)
    if problem := checked(asked, get_current_settings().flows.heartbeat_frequency):
        print(problem, file=sys.stderr)
        return 2
    patience = Patience(lost_after=asked.lost_after, wait=asked.wait, times=asked.times, per=asked.per * 3600)
    wanted = automations([*FLOWS, *asked.flow], patience)
    if asked.dry_run:
        print(json.dumps([one.model_dump(mode="json") for one in wanted], indent=2))
        return 0
    if not PREFECT_API_URL.value():  # Prefect would start a server that ends with this program
        print("PREFECT_API_URL is not set: automations need a server that stays.", file=sys.stderr)
        return 2
    with get_client(sync_client=True) as client:
        done = list(remove(client) if asked.remove else put(client, wanted))
    lines = [f"{one['action']:10}{one['name']}  ({one['id']})" for one in done] or ["there were none"]
    print(json.dumps(done, indent=2) if asked.json else "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
