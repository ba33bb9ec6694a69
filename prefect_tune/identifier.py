"""The frames of values, for the keys of steps.

Rule 1: a value without an identity makes the step that holds it private to this run, and is reported; never
a guess.
Rule 2: the user's code is identified once, in the driver. A worker may not see the text of a notebook's cell,
or may see a file that was edited meanwhile: it is told what the driver found.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.errors import Uncacheable
from prefect_tune.identity import encode as enc
from prefect_tune.identity.code import Memo, session

SCALARS = frozenset((str, int, bool, float, type(None)))


@dataclass(eq=False)
class Identifier:
    """Frames of values, remembered; values without identity get a private one and are listed.

    A private identity is made from the salt and the place where the value sits, so that the driver and the
    workers, who hold different copies of it, agree. Values that candidates bring are told apart by `enrol`.

    Attributes:
        salt: bytes that make private identities unlike those of any other run.
        uncacheable: path -> reason of every value that had no identity.
    """

    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    uncacheable: dict[str, str] = field(default_factory=dict)
    _enrolled: list[tuple[Any, bytes]] = field(default_factory=list)
    _code: Memo = field(default_factory=dict)
    _by_id: dict[int, bytes] = field(default_factory=dict)
    _scalars: dict[tuple[type, Any], bytes] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        code = list(self._code.values())
        return {
            "salt": self.salt,
            "uncacheable": self.uncacheable,
            "_enrolled": self._enrolled,
            "_code": code,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        code = {id(target): (target, identity) for target, identity in state.pop("_code")}
        self.__init__(**state, _code=code)  # type: ignore[misc]
        self._by_id = {id(value): frame for value, frame in self._enrolled}

    def enrol(self, value: Any, path: str) -> bool:
        """Whether a candidate's value has no identity but the private one that it gets here."""
        if type(value) in SCALARS or id(value) in self._by_id:
            return False
        try:
            with session(self._code):
                enc.encode(value, path)
        except Uncacheable as error:
            frame = enc.frame("private", enc.digest("private/v1", self.salt, path, len(self._enrolled)))
            self.uncacheable[error.path or path] = error.reason
            self._enrolled.append((value, frame))  # kept alive, so that its address stays its own
            self._by_id[id(value)] = frame
            return True
        return False

    def frame(self, value: Any, path: str) -> bytes:
        """The frame of `value`; equal for equal values of equal type."""
        kind = type(value)
        if kind in SCALARS:
            # repr tells 0.0 from -0.0, which compare equal.
            key = (kind, repr(value) if kind is float else value)
            known = self._scalars.get(key)
            if known is None:
                known = self._scalars[key] = enc.encode(value, path)
            return known
        if id(value) in self._by_id:
            return self._by_id[id(value)]
        return self.guarded(lambda: enc.encode(value, path), path)

    def guarded(self, encode: Callable[[], bytes], path: str) -> bytes:
        """What `encode` returns, or a private frame for `path` if the value there has no identity."""
        try:
            with session(self._code):
                return encode()
        except Uncacheable as error:
            self.uncacheable[error.path or path] = error.reason
            return enc.frame("private", enc.digest("private/v1", self.salt, path))

    def within(self, context: bytes) -> Identifier:
        """An identifier whose private identities hold within `context` only; reasons join the same list."""
        return Identifier(enc.digest("within/v1", self.salt, context), self.uncacheable, _code=self._code)
