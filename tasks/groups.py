"""Worker groups of the local cluster: so many processes of a kind, with what each offers.

Rule: their JSON form is
`[{"workers": 4}, {"name": "gpu", "workers": 1, "resources": {"GPU": 1}, "devices": ["0"]}]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.system
from dask.utils import parse_bytes

from prefect_tune.errors import UnknownParameter, UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Worker processes that are alike.

    Attributes:
        name: what their names begin with; empty for one group without a name.
        workers: number of processes, at least 1.
        threads: task runs that each takes at once, at least 1.
        memory_limit: bytes above which a worker spills to disk; 0: never.
        resources: Dask resources that each offers.
        devices: what each worker, in order, sees as CUDA_VISIBLE_DEVICES; empty: all of them.
    """

    name: str = ""
    workers: int = 1
    threads: int = 1
    memory_limit: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    devices: tuple[str, ...] = ()

    def environment(self, number: int) -> dict[str, str]:
        """The variables of one of its workers."""
        return {"CUDA_VISIBLE_DEVICES": self.devices[number]} if self.devices else {}


def groups_of(forms: Sequence[Mapping[str, Any]]) -> tuple[Group, ...]:
    """The groups that the JSON forms describe; workers default to one per core.

    Raises:
        UserError: an unknown field, a number below 1, or two groups of one name.
    """
    groups = tuple(_group(form, f"cluster: groups[{place}]") for place, form in enumerate(forms))
    names = [group.name for group in groups]
    if len(set(names)) < len(names):
        raise UserError(f"cluster: groups need names of their own, got {names}.")
    return groups


def _group(form: Mapping[str, Any], place: str) -> Group:
    known = [field.name for field in dataclasses.fields(Group)]
    for name in form:
        if name not in known:
            raise UnknownParameter(place, str(name), known)
    workers = _count(form.get("workers"), f"{place}.workers", dask.system.CPU_COUNT)
    devices = tuple(map(str, form.get("devices") or ()))
    if devices and len(devices) != workers:
        raise UserError(
            f"{place}.devices: names {len(devices)} for {workers} workers; give one entry for each, such as "
            "['0', '1']."
        )
    return Group(
        name=str(form.get("name") or ""),
        workers=workers,
        threads=_count(form.get("threads"), f"{place}.threads", 1),
        memory_limit=_bytes(form.get("memory_limit"), f"{place}.memory_limit"),
        resources=_resources(form.get("resources") or {}, f"{place}.resources"),
        devices=devices,
    )


def _count(value: Any, place: str, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{place}: must be an int of at least 1, got {value!r}.")
    return value


def _bytes(value: Any, place: str) -> int:
    try:
        return 0 if value is None else int(parse_bytes(value))
    except (ValueError, TypeError) as error:
        raise UserError(f"{place}: give bytes or a text such as '4 GiB', got {value!r}.") from error


def _resources(value: Mapping[str, Any], place: str) -> tuple[tuple[str, float], ...]:
    for name, amount in value.items():
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not amount > 0:
            raise UserError(f"{place}[{name!r}]: must be a number above 0, got {amount!r}.")
    return tuple(sorted((str(name), amount) for name, amount in value.items()))
