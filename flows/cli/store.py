"""`prefect-tune store`: what lies in a store, whether it verifies, what can go, and why two keys differ."""

from __future__ import annotations

import itertools
from typing import Annotated

from cyclopts import App, Parameter

from prefect_tune.errors import UserError
from prefect_tune.flows.cli.output import Flag, Json, duration, say, say_json, table_of, when
from prefect_tune.flows.cli.stores import Place, in_a_folder, opened
from prefect_tune.report.text import bytes_text, counted
from prefect_tune.store import gc as collector
from prefect_tune.store.inspect import kinds, records, scopes, searches, site_of

store = App(name="store", help="Look into the step store, check it, and make room.")


@store.command
def ls(*, json: Json = False, records_: Annotated[int, Parameter(name="--records")] = 0,
       limit: int = 20, store: Place = None) -> None:  # fmt: skip
    """List searches and scopes, the newest first.

    Args:
        json: Print JSON instead of tables.
        records_: How many of the newest records to list as well.
        limit: How many searches and scopes to list.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
    """
    found = opened(store)
    site = site_of(found)
    runs = [
        {
            "key": note.record.key[:12],
            "name": note.record.family,
            "when": when(note.record.created),
            **{name: note.record.values.get(name) for name in ("what", "candidates", "folds", "scores")},
            "flow_run": note.record.values.get("flow_run"),
            "scope": note.record.values.get("scope"),
        }
        for note in itertools.islice(searches(found), limit)
    ]
    places = [
        {"scope": scope.name, "packs": scope.files, "bytes": scope.bytes, "newest": when(scope.newest)}
        for scope in scopes(site)[:limit]
    ]
    newest = sorted(records(found), key=lambda record: -record.created)[:records_] if records_ else []
    listed = [
        {"key": r.key[:16], "kind": r.kind, "family": r.family, "when": when(r.created),
         "seconds": r.seconds, "bytes": r.bytes}
        for r in newest
    ]  # fmt: skip
    if json:
        say_json({"store": found.place, "searches": runs, "scopes": places, "records": listed})
        return
    say(found.place, style="bold")
    runs = [{**run, "flow_run": str(run["flow_run"])[:8]} for run in runs]
    for title, rows in (("searches", runs), ("scopes", places), ("records", listed)):
        if rows:
            say(
                "",
                title,
                table_of(rows, right=("candidates", "folds", "scores", "packs", "bytes", "seconds")),
            )
    if not runs:
        say("", "No search has left anything here yet.")


@store.command
def du(*, json: Json = False, store: Place = None) -> None:
    """Show where the bytes are: by area, by kind of record, by scope.

    Args:
        json: Print JSON instead of tables.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
    """
    found = opened(store)
    site = site_of(found)
    areas, held = found.usage(), kinds(site)
    packs = {s.name: {"packs": s.files, "bytes": s.bytes} for s in scopes(site)}
    if json:
        say_json({"store": found.place, "areas": areas, "kinds": held, "scopes": packs})
        return
    say(found.place, style="bold")
    tables = {"area": areas, "kind": held, "scope": packs}
    for title, entries in tables.items():
        rows = [
            {title: name, **entry, "bytes": bytes_text(entry["bytes"])} for name, entry in entries.items()
        ]
        if rows:
            say("", table_of(rows, right=("files", "bytes", "records", "packs")))


@store.command
def verify(*, quarantine: Flag = False, json: Json = False, store: Place = None) -> int:
    """Check every entry against its digest; exit code 1 if something is bad.

    Args:
        quarantine: Move what is bad to quarantine/, so that searches compute it again without meeting it.
        json: Print JSON instead of lines.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
    """
    found = opened(store)
    bad = found.verify()
    if quarantine and bad:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            collector.put_aside(site_of(found), [problem.path for problem in bad])
            # What pointed to a bad blob points to nothing now.
            after = found.verify()
            collector.put_aside(site_of(found), [problem.path for problem in after])
        bad += after
    files = found.usage()["total"]["files"]
    if json:
        told = [{"path": problem.path, "fault": problem.fault} for problem in bad]
        say_json({"store": found.place, "files": files, "bad": told, "quarantined": quarantine and bool(bad)})
        return 1 if bad else 0
    for problem in bad:
        say(str(problem), style="red")
    moved = " They are in quarantine/ now." if quarantine else " `--quarantine` puts them aside."
    say(f"{counted(files, 'file')}, {len(bad):,} bad.{moved if bad else ''}")
    return 1 if bad else 0


@store.command
def gc(*, older_than: str | None = None, budget: str | None = None, grace: str | None = None,
       yes: Flag = False, dry_run: Flag = False, json: Json = False,
       store: Place = None) -> None:  # fmt: skip
    """Make room: leftovers of killed processes, quarantine, blobs that no record needs, and old entries.

    Only lists what can go unless --yes is given. Safe beside running searches: nothing that was touched
    within the grace is removed, so choose one longer than your longest search. Journals and reports stay.

    Args:
        older_than: Also remove records and scores that nobody wrote or renewed for so long, such as 30d.
        budget: Bring a store above 90 % of so many bytes, such as 20GB, to 75 %: what costs least to compute
            again for its size goes first.
        grace: Leave everything alone that was touched within this time; 1h at least. Default: 7d, or 1d with
            a budget.
        yes: Remove what is listed.
        dry_run: Only list; this is what happens without --yes.
        json: Print JSON instead of a table.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
    """
    from prefect_tune.blocks.step_store import size_of

    if yes and dry_run:
        raise UserError("gc: --yes removes and --dry-run does not; give one of them.")
    if budget is not None and older_than is not None:
        raise UserError("gc: --budget goes by worth and --older-than by age; give one of them.")
    size = size_of(budget, "budget") if budget is not None else None
    grace = grace or ("7d" if size is None else "1d")
    spared = duration(grace, "grace")
    if spared < collector.LEAST_GRACE:
        raise UserError(
            f"grace: {grace!r} is less than an hour, and a running search may need what it wrote."
        )
    age = duration(older_than, "older-than") if older_than is not None else None
    found = in_a_folder(opened(store))
    site = site_of(found)
    if size is None:
        items = collector.removable(site, older_than=age, grace=spared)
        freed = collector.remove(site, items) if yes else 0
    else:
        items = collector.excess(site, size, grace=spared)
        freed = collector.make_room(site, size, grace=spared) if yes else 0
    groups: dict[str, dict[str, int]] = {}
    for item in items:
        entry = groups.setdefault(item.why, {"files": 0, "bytes": 0})
        entry["files"] += 1
        entry["bytes"] += item.bytes
    if json:
        paths = [{"why": item.why, "path": item.path, "bytes": item.bytes} for item in items]
        say_json({"store": found.place, "removed": yes, "freed": freed, "groups": groups, "items": paths})
        return
    if not items:
        say("There is nothing to remove.")
        return
    rows = [{"what": why, "files": e["files"], "bytes": bytes_text(e["bytes"])} for why, e in groups.items()]
    say(table_of(rows, right=("files", "bytes")))
    total = bytes_text(sum(item.bytes for item in items))
    say(f"{bytes_text(freed)} freed." if yes else f"{total} can go; `--yes` removes it.")


@store.command
def why(key: str, other: str | None = None, *, json: Json = False, store: Place = None) -> None:
    """Say what a key is made of; of two keys, in what they differ, the nearest difference first.

    A key is given by its first digits, six at least. Keys of searches, as `store ls` lists them, compare
    whole searches: data, folds, seed, versions.

    Args:
        key: The key of a record, or of a search.
        other: Another one to compare it with.
        json: Print JSON instead of lines.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
    """
    from prefect_tune.flows.cli.why import why_one, why_two

    found = opened(store)
    if other is None:
        why_one(found, key, json=json)
    else:
        why_two(found, key, other, json=json)
