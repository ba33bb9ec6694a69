"""`prefect-tune store why`: what a key is made of, and in what two keys differ."""

from __future__ import annotations

from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.flows.cli.output import say, say_json, table_of, when
from prefect_tune.report.text import bytes_text
from prefect_tune.store import Record
from prefect_tune.store.explain import (
    Asked,
    Difference,
    Note,
    chain_of,
    differences,
    search_differences,
)
from prefect_tune.store.inspect import find_key

_UNKNOWN = (
    "No search that this store remembers has this key: it ran before searches left explanations, on another "
    "store, or its explanation was removed. Run the search again (what is stored is reused), then ask."
)


def why_one(store: Any, text: str, *, json: bool) -> None:
    """Shows the record of a key, and the steps, rows and settings that the key is made of."""
    key, record, notes = find_key(store, text)
    note, asked = _newest(key, notes)
    facts: dict[str, Any] = {
        "key": key,
        "record": _record(record) if record is not None else None,
        "title": asked.title if asked else "",
        "searches": [
            {"key": n.record.key, "name": n.record.family, "when": when(n.record.created)} for n in notes
        ],
        "facts": dict(note.facts) if note else {},
        "chain": chain_of(asked) if asked else [],
    }  # fmt: skip
    if json:
        say_json(facts)
        return
    say(f"{key}", style="bold")
    if facts["title"]:
        say(facts["title"])
    rows = [
        {"": name, " ": value} for name, value in (facts["record"] or {}).items() if value not in ("", [])
    ]
    say(
        table_of(rows)
        if rows
        else "No record is stored under this key; searches compute it when they need it."
    )
    if note is None:
        say("", _UNKNOWN)
        return
    say("", f"asked for by {', '.join(dict.fromkeys(n.record.family for n in notes))}")
    say(
        table_of(
            [{"": name, " ": _fact(value)} for name, value in note.facts.items() if value not in ({}, [])]
        )
    )
    if facts["chain"]:
        say("", "made of, nearest first:", table_of([_line(line) for line in facts["chain"]]))


def why_two(store: Any, one: str, other: str, *, json: bool) -> None:
    """Shows in what two keys differ.

    Raises:
        UserError: no search that the store remembers has one of them.
    """
    sides = []
    for text in (one, other):
        key, _, notes = find_key(store, text)
        note, asked = _newest(key, notes)
        if note is None:
            raise UserError(f"key: {key[:16]}: {_UNKNOWN}")
        sides.append((key, note, asked))
    (a, left, ours), (b, right, theirs) = sides
    if (ours is None) != (theirs is None):
        raise UserError("key: one is the key of a search and the other is not; compare like with like.")
    if a == b:
        found: list[Difference] = []
    elif ours is None or theirs is None:
        found = search_differences(left, right)
    else:
        found = differences(ours, theirs)
    titles = [
        asked.title if asked else f"search {n.record.family}" for n, asked in ((left, ours), (right, theirs))
    ]
    if json:
        lines = [{"place": d.place, "left": d.left, "right": d.right} for d in found]
        say_json({"keys": [a, b], "titles": titles, "equal": a == b, "differences": lines})
        return
    say(f"{a[:16]}  {titles[0]}", f"{b[:16]}  {titles[1]}", "")
    if a == b:
        say("These are the same key.")
    elif found:
        say(table_of([{"what differs": d.place, "left": d.left, "right": d.right} for d in found]))
    elif ours is None:
        say("They ask about the same data, folds, metrics, seed and versions, of other candidates.")
    else:
        say("They differ in something that their searches did not note; another version may have run one.")


def _newest(key: str, notes: list[Note]) -> tuple[Note | None, Asked | None]:
    """The newest search that has this key, and what it stands for there; a search's own key has no such."""
    for note in notes:
        if note.record.key == key:
            return note, None
        if (asked := note.asked(key)) is not None:
            return note, asked
    return None, None


def _record(record: Record) -> dict[str, Any]:
    """What people are told of a record."""
    outputs = [f"{ref.name} ({ref.codec}, {bytes_text(ref.size)})" for ref in record.outputs]
    return {
        "kind": record.kind,
        "family": record.family,
        "values": dict(record.values),
        "outputs": outputs,
        "inputs": [key[:16] for key in record.inputs],
        "seconds": round(record.seconds, 4),
        "created": when(record.created),
        "creator": record.creator,
    }


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(item)}" for name, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _line(line: dict[str, Any]) -> dict[str, Any]:
    params = ", ".join(f"{name}={text}" for name, text in line.get("params", {}).items())
    where = f"fold {line['fold']}" if line["fold"] >= 0 else "all rows"
    return {
        "key": line["key"][:12],
        "role": line["role"],
        "step": line.get("step", ""),
        "code": line.get("code", ""),
        "chosen": params,
        "rows": f"{where}, {line['side']}",
    }
