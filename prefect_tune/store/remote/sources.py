"""Where a store's secrets come from: given by the caller, by a named source, or the environment.

A store that travels to a worker carries the name of its source, such as `step-store/mine`, and asks there for
the credentials of its bucket and the keys of its signatures again. What a source is, others say:
`register("step-store", read_block)`. A package that is not imported yet is found by its entry point in the
group `prefect_tune.sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, NoReturn

from prefect_tune.errors import UserError, did_you_mean
from prefect_tune.store.signing import Keyring

GROUP = "prefect_tune.sources"
NAMES = {
    "region": "region",
    "region_name": "region",
    "endpoint_url": "endpoint",
    "access_key_id": "access_key_id",
    "aws_access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key",
    "aws_secret_access_key": "secret_access_key",
    "session_token": "session_token",
    "aws_session_token": "session_token",
    "allow_http": "allow_http",
    "server_side_encryption": "server_side_encryption",
    "kms_key_id": "sse_kms_key_id",
}
"""What options may be called, and what the client calls them."""

SIGNING_KEYS = "signing_keys"
"""What a source calls the keys of a signed store, a text `ID:KEY`; it is no option of a client."""

Resolver = Callable[[str], Mapping[str, Any] | None]
_resolvers: dict[str, Resolver] = {}


def register(kind: str, resolver: Resolver) -> None:
    """Nothing; sources `KIND/NAME` are resolved by `resolver(NAME)`, which returns options or None."""
    _resolvers[kind] = resolver


class Options:
    """Settings of a client, secrets among them: shows none of them, and does not travel."""

    __slots__ = ("_values",)

    def __init__(self, given: Mapping[str, Any] | None) -> None:
        self._values: dict[str, Any] = {}
        for name, value in (given or {}).items():
            if name not in NAMES:
                raise UserError(
                    f"store: there is no option {name!r}.{did_you_mean(name, NAMES)} It has: "
                    f"{', '.join(NAMES)}."
                )
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            if plain is not None and plain != "":
                self._values[NAMES[name]] = plain

    def reveal(self) -> dict[str, Any]:
        """The settings under the client's names."""
        return dict(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Options({', '.join(sorted(self._values))})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store's options hold secrets and are not pickled; pass the store instead.")


@dataclass(frozen=True, slots=True)
class Source:
    """Where options and keys come from; pickles as the name only.

    Attributes:
        name: `KIND/NAME` of a registered source; empty: what was given, and the environment.
        given: options of this process.
        keys: of a signed store, given to this process.
    """

    name: str = ""
    given: Options | None = None
    keys: Keyring | None = None

    def __reduce__(self) -> tuple:
        return Source, (self.name,)

    def options(self) -> Options:
        """The options, asked for now.

        Raises UserError for a source that nobody knows.
        """
        if self.given is not None or not self.name:
            return self.given or Options(None)
        found = self._ask()
        found.pop(SIGNING_KEYS, None)
        return Options(found)

    def key_text(self) -> str:
        """The keys of a signed store as the named source has them, asked for now; empty if it has none.

        Raises UserError for a source that nobody knows.
        """
        value = self._ask().get(SIGNING_KEYS) or ""
        return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)

    def _ask(self) -> dict[str, Any]:
        kind, _, name = self.name.partition("/")
        return dict(_resolver(kind)(name) or {})


def _resolver(kind: str) -> Resolver:
    if kind not in _resolvers:
        for entry in entry_points(group=GROUP, name=kind):
            register(kind, entry.load())
    if kind not in _resolvers:
        known = ", ".join(sorted(_resolvers)) or "none"
        raise UserError(
            f"store: nobody here knows credentials called {kind!r} (known: {known}). Import what registers "
            "them, or set them in the environment of this process."
        )
    return _resolvers[kind]
