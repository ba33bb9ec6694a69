"""How the commands speak: tables for people on stdout, one JSON document for programs, warnings on stderr.

Rule: texts that come from a search (names, parameters, causes) are printed as text, never as markup.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefect_tune.errors import UserError

Json = Annotated[bool, Parameter(name=["--json", "--as-json"], negative="")]
"""The switch of every command that shows something."""

Flag = Annotated[bool, Parameter(negative="")]
"""A switch that is off unless it is given."""

_PIPED = 200
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def say(*things: Any, style: str = "") -> None:
    """Prints renderables, and texts as they are."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPED  # whoever reads a pipe wants lines, not columns of broken words
    for thing in things:
        shown = Text(thing, style) if isinstance(thing, str) else thing
        console.print(shown, soft_wrap=isinstance(thing, str))


def say_json(document: Any) -> None:
    """Prints one JSON document; what JSON cannot hold becomes text."""
    sys.stdout.write(orjson.dumps(plain(document), option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def plain(value: Any) -> Any:
    """`value` with texts for keys and for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy
        return plain(value.tolist())
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table_of(rows: Sequence[Mapping[str, Any]], *, right: Sequence[str] = ()) -> Table:
    """Rows with the same names as a table; `right` names the columns of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(rows[0]) if rows else []
    for name in names:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=name != names[-1])
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name, ""))) for name in names))
    return table


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else str(value)


def when(seconds: float) -> str:
    """A Unix time as local date and minute."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def duration(text: str, name: str) -> float:
    """Seconds of a text such as `30d`, `12h` or `90`.

    Raises:
        UserError: it is no such text.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    unit = found[2] or "s" if found else ""
    if found is None or unit not in _UNITS:
        raise UserError(f"{name}: {text!r} is no length of time; write 90s, 30m, 12h, 30d or 4w.")
    return float(found[1]) * _UNITS[unit]
