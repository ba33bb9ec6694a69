"""What `doctor` looks at in this process and on this machine: packages, the Prefect API, the store.

Rule: a check never raises and changes nothing. What it cannot find out is a line of its own.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED

from prefect_tune.errors import TuneError
from prefect_tune.report.text import bytes_text, counted
from prefect_tune.store import StepStore, default_root
from prefect_tune.store.gc import LEAST_GRACE, removable

OK, WARN, FAIL = "ok", "warn", "fail"
LOW = 2 * 2**30
"""Free bytes on the store's disk below which there is a warning."""
_PATIENCE = 5.0
_DEVELOPERS = ("test", "check", "bench")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's.

    Attributes:
        name: what was looked at.
        level: `ok`, `warn` or `fail`.
        found: what it is like.
        move: what to do about it; empty where nothing is to be done.
        package: whether it is about a package that prefect-tune declares.
    """

    name: str
    level: str
    found: str
    move: str = ""
    package: bool = False


# -- packages ----------------------------------------------------------------------------------------


def package_checks() -> Iterator[Check]:
    """Versions of Python and of every package that prefect-tune declares, against the declared bounds."""
    own = importlib.metadata.metadata("prefect-tune")
    python, bound = platform.python_version(), next(iter(own.get_all("Requires-Python") or ()), "")
    fits = SpecifierSet(bound).contains(python, prereleases=True)
    move = "" if fits else f"Install prefect-tune into a Python {bound}."
    yield Check("prefect-tune", OK, importlib.metadata.version("prefect-tune"))
    yield Check("python", OK if fits else FAIL, f"{python} ({bound})", move)
    for text in importlib.metadata.requires("prefect-tune") or ():
        requirement = Requirement(text)
        extra = next(
            (name for name in own.get_all("Provides-Extra") or () if _belongs(requirement, name)), ""
        )
        if not extra or (extra not in _DEVELOPERS and _installed(requirement.name)):
            yield dataclasses.replace(_package(requirement, optional=bool(extra)), package=True)


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement is one of this extra only."""
    marker = requirement.marker
    return marker is not None and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _package(requirement: Requirement, *, optional: bool) -> Check:
    version = _installed(requirement.name)
    asked = f"'{requirement.name}{requirement.specifier}'"
    if not version:
        return Check(requirement.name, FAIL, "not installed", f"pip install {asked}")
    if not requirement.specifier.contains(version, prereleases=True):
        level = WARN if optional else FAIL
        return Check(
            requirement.name, level, f"{version}, needs {requirement.specifier}", f"pip install {asked}"
        )
    return Check(requirement.name, OK, f"{version} ({requirement.specifier or 'any'})")


# -- the Prefect API ---------------------------------------------------------------------------------


def api_checks() -> Iterator[Check]:
    """Whether the configured API answers, its version, what its UI is told, and who could run deployments."""
    url = PREFECT_API_URL.value()
    if not url:
        if PREFECT_SERVER_EPHEMERAL_ENABLED.value():
            yield Check(
                "prefect api", WARN, "PREFECT_API_URL is not set: each search starts a temporary server",
                "For a UI, schedules and automations run `prefect server start`, then "
                "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`.",
            )  # fmt: skip
        else:
            yield Check(
                "prefect api", FAIL, "PREFECT_API_URL is not set and temporary servers are switched off",
                "Run `prefect server start` and set PREFECT_API_URL, or set "
                "PREFECT_SERVER_EPHEMERAL_ENABLED=true.",
            )  # fmt: skip
        return
    shown = _without_secrets(url)
    try:
        with httpx.Client(timeout=_PATIENCE, headers=_authority()) as client:
            client.get(f"{url}/health").raise_for_status()
            yield Check("prefect api", OK, f"{shown} answers")
            yield _version(client, url)
            yield from _ui(client, url)
            yield from _pools(client, url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = f"{type(error).__name__}: {error}".replace(url, shown)
        move = (
            "Start it with `prefect server start`, correct PREFECT_API_URL, or unset it for a temporary one."
        )
        yield Check("prefect api", FAIL, f"{shown} does not answer ({why})", move)


def _authority() -> dict[str, str]:
    """The headers that Prefect's own client would send."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        name = "Authorization"
        return {name: client._client.headers[name]} if name in client._client.headers else {}


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _version(client: httpx.Client, url: str) -> Check:
    answer = client.get(f"{url}/admin/version")
    own = importlib.metadata.version("prefect")
    if answer.status_code != 200:
        return Check("api version", WARN, f"the API does not say (status {answer.status_code})")
    theirs = str(answer.json())
    if theirs.split(".")[:2] == own.split(".")[:2]:
        return Check("api version", OK, theirs)
    return Check(
        "api version", WARN, f"{theirs}, here it is {own}", "Run the same release of Prefect on both sides."
    )


def _ui(client: httpx.Client, url: str) -> Iterator[Check]:
    base = url.removesuffix("/").removesuffix("/api")
    try:
        answer = client.get(f"{base}/ui-settings")
        told = str(answer.json().get("api_url") or "") if answer.status_code == 200 else ""
    except (httpx.HTTPError, ValueError, AttributeError):
        told = ""
    if not told:
        yield Check("prefect ui", OK, "not served there")
        return
    ours, theirs = urlsplit(url), urlsplit(told)
    if told.startswith("/") or (ours.port, ours.path.rstrip("/")) == (theirs.port, theirs.path.rstrip("/")):
        yield Check("prefect ui", OK, base)
        return
    move = f"Start the server with PREFECT_UI_API_URL={_without_secrets(url)}, or its pages stay empty."
    yield Check("prefect ui", WARN, f"it asks {told}, but the API is at {_without_secrets(url)}", move)


def _pools(client: httpx.Client, url: str) -> Iterator[Check]:
    answer = client.post(f"{url}/work_pools/filter", json={})
    if answer.status_code != 200:
        return
    pools = [pool for pool in answer.json() if pool.get("type") != "prefect:managed"]
    if not pools:
        yield Check("work pools", OK, "none; only deployments need one")
        return
    waiting = [pool["name"] for pool in pools if str(pool.get("status", "")).upper() == "NOT_READY"]
    if waiting:
        move = f"`prefect worker start --pool {waiting[0]}`, or its deployments wait."
        yield Check("work pools", WARN, f"no worker polls {', '.join(map(repr, waiting))}", move)
    else:
        yield Check("work pools", OK, counted(len(pools), "pool"))


# -- the store ---------------------------------------------------------------------------------------


def store_checks(place: str | None) -> Iterator[Check]:
    """Whether the store can be read and written, who is trusted, the room left, and leftovers."""
    root = place or str(default_root())
    if "://" in root:
        yield Check("store", OK, f"{root}: on object storage; `prefect-tune store verify` reads all of it")
        return
    path = Path(root).expanduser()
    if not (path / "FORMAT").exists():
        yield _to_come(path)
        return
    try:
        store = StepStore.open(path)
    except TuneError as error:
        yield Check("store", FAIL, str(error), getattr(error, "move", ""))
        return
    if store.writable:
        yield Check("store", OK, f"{path}, writable")
    else:
        move = "Make it writable for you, or set $PREFECT_TUNE_STORE to another folder."
        yield Check("store", WARN, f"{path} cannot be written: hits work, nothing new is kept", move)
    yield _trust(store)
    yield _room(path)
    yield _leftovers(store)


def _to_come(path: Path) -> Check:
    parent = path
    while not parent.exists():
        parent = parent.parent
    if os.access(parent, os.W_OK):
        return Check("store", OK, f"{path} will be created by the first search")
    move = "Set $PREFECT_TUNE_STORE to a folder that you can write."
    return Check("store", FAIL, f"{path} cannot be created: {parent} is not writable", move)


def _trust(store: StepStore) -> Check:
    if store.trust in ("local", "signed"):
        return Check("store trust", OK, f"{store.trust}: {store.trust_reason}")
    move = (
        f"`chmod -R go-w {store.root}` if it is yours alone, or sign it (`prefect-tune store key`); models "
        "and pickled steps are reused only then."
    )
    return Check("store trust", WARN, f"{store.trust}: {store.trust_reason}", move)


def _room(path: Path) -> Check:
    usage = shutil.disk_usage(path)
    found = f"{bytes_text(usage.free)} free of {bytes_text(usage.total)}"
    if usage.free >= LOW:
        return Check("store disk", OK, found)
    return Check("store disk", WARN, found, "`prefect-tune store gc --older-than 30d` lists what could go.")


def _leftovers(store: Any) -> Check:
    old = [
        item
        for item in removable(store._site, grace=max(LEAST_GRACE, 86_400.0))
        if item.why != "unreferenced"
    ]
    size = bytes_text(sum(item.bytes for item in old))
    if not old:
        return Check("store leftovers", OK, "none older than a day")
    move = "`prefect-tune store gc --grace 1d` lists them, `--yes` removes them."
    return Check("store leftovers", WARN, f"{counted(len(old), 'entry')}, {size}, older than a day", move)
