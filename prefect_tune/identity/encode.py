"""Typed, length-prefixed encoding of values, and the digests made of it.

Rule 1: `frame(tag, body) = u8 len(tag), tag, u64-LE len(body), body`; containers concatenate the frames of
their members. Every frame delimits itself, so no two values can run into one another.
Rule 2: the exact type of a value chooses its encoder. Whatever has none is refused with the path to it.
Rule 3: `H(domain, items...) = BLAKE3-256(frame(domain, enc(item1) + enc(item2) + ...))`.
Rule 4: numpy scalars are encoded as the Python value of their kind. That is sound only because callers
pass on `plain(value)`: float32 data times `np.float64(0.1)` is float64, times `0.1` float32.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from blake3 import blake3

from prefect_tune.errors import Uncacheable

MAX_DEPTH = 200
MAX_BYTES = 16 << 20
_QUIET_NAN = bytes.fromhex("000000000000f87f")


@lru_cache(maxsize=512)
def _head(tag: str) -> bytes:
    name = tag.encode("ascii")
    return bytes((len(name),)) + name


def frame(tag: str, body: bytes) -> bytes:
    """The self-delimiting record of one value: tag, length, body."""
    return _head(tag) + len(body).to_bytes(8, "little") + body


def ref(digest: bytes) -> bytes:
    """The frame that stands for a separately digested value."""
    return frame("ref", b"b3-256:v1:" + digest)


def content_ref(digest: bytes) -> bytes:
    """The frame that stands for raw bytes, digested as they are."""
    return frame("ref", b"b3-256:" + digest)


def text_bytes(text: str) -> bytes:
    """UTF-8 of a text; lone surrogates pass through, nothing is normalised."""
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _key_frame(name: str) -> bytes:
    return frame("str", text_bytes(name))


def float_bytes(value: float) -> bytes:
    """8 bytes of the float; every NaN is the quiet one, -0.0 stays apart from 0.0."""
    return struct.pack("<d", value) if value == value else _QUIET_NAN


def _int(value: int) -> bytes:
    try:
        return frame("int", b"%d" % value)
    except ValueError as error:
        raise Uncacheable("", "an int of more than 4300 digits") from error


def _complex(value: complex) -> bytes:
    return frame("c128", float_bytes(value.real) + float_bytes(value.imag))


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: frame("none", b""),
    bool: lambda value: frame("bool", b"\1" if value else b"\0"),
    int: _int,
    float: lambda value: frame("f64", float_bytes(value)),
    complex: _complex,
    str: lambda value: frame("str", text_bytes(value)),
    bytes: lambda value: frame("bytes", value),
    type(...): lambda value: frame("ellipsis", b""),
}


class Walk:
    """One walk through a nested value: where it stands, and which containers are open.

    Args:
        root: text put before the path of a refusal.
    """

    __slots__ = ("open", "root", "steps")

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.steps: list[str] = []
        self.open: set[int] = set()

    def refuse(self, reason: str) -> Uncacheable:
        """The error to raise for the value at the present place."""
        return Uncacheable((self.root + "".join(self.steps)).removeprefix("."), reason)

    def child(self, value: Any, step: str = "") -> bytes:
        """The frame of a member, which sits at `step` below the present place."""
        scalar = _SCALARS.get(type(value))
        self.steps.append(step)
        if scalar is not None:
            try:
                encoded = scalar(value)
            except Uncacheable as error:
                raise self.refuse(error.reason) from None
        else:
            if len(self.steps) > MAX_DEPTH:
                raise self.refuse(f"nested more than {MAX_DEPTH} deep")
            if id(value) in self.open:
                raise self.refuse("contains itself")
            self.open.add(id(value))
            encoded = encoder_of(type(value), value, self)(value, self)
            self.open.discard(id(value))
        if len(encoded) > MAX_BYTES:
            raise self.refuse("larger than 16 MiB; pass it as data, not as a parameter")
        self.steps.pop()
        return encoded

    def join(self, tag: str, frames: Iterable[bytes]) -> bytes:
        """The container frame of these frames; refuses before it grows past the limit."""
        parts, size = [], 0
        for part in frames:
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise self.refuse("larger than 16 MiB; pass it as data, not as a parameter")
        return frame(tag, b"".join(parts))

    def record(self, tag: str, *members: Any) -> bytes:
        """A frame holding these members in order."""
        return frame(tag, b"".join([self.child(member) for member in members]))

    def kwargs(self, mapping: Mapping[str, Any]) -> bytes:
        """The `kwargs` container of a keyword mapping."""
        return kwargs_frame({name: self.child(value, f".{name}") for name, value in mapping.items()})


Encoder = Callable[[Any, Walk], bytes]


def _sequence(tag: str) -> Encoder:
    def encode_sequence(value: Any, walk: Walk) -> bytes:
        return walk.join(tag, (walk.child(item, f"[{i}]") for i, item in enumerate(value)))

    return encode_sequence


def _set(tag: str) -> Encoder:
    def encode_set(value: Any, walk: Walk) -> bytes:
        # Sorted by their bytes: iteration order follows the hash seed, and members need not compare.
        return walk.join(tag, sorted(walk.child(item, "{…}") for item in value))

    return encode_set


def _dict(value: dict, walk: Walk) -> bytes:
    """Pairs in insertion order: a foreign class may iterate a mapping it is given."""

    def pairs():
        for key, item in value.items():
            yield walk.child(key, ".key")
            yield walk.child(item, f"[{key!r}]" if type(key) in (str, int) else "[…]")

    return walk.join("dict", pairs())


_ENCODERS: dict[type, Encoder] = {
    list: _sequence("list"),
    tuple: _sequence("tuple"),
    set: _set("set"),
    frozenset: _set("frozenset"),
    dict: _dict,
}


def encoder_of(kind: type, value: Any, walk: Walk) -> Encoder:
    """The encoder of that exact type; raises `Uncacheable` if there is none."""
    known = _ENCODERS.get(kind)
    if known is not None:
        return known
    from prefect_tune.identity.objects import find_encoder  # objects and their code; needs this module

    found = find_encoder(kind, value)
    if found is None:
        raise walk.refuse(f"no encoding for {kind.__module__}.{kind.__qualname__}")
    return found


def encode(value: Any, path: str = "") -> bytes:
    """The frame of a value.

    `path` says in errors where the value sits. Raises `Uncacheable` for unknown types, cycles, nesting
    above 200 and encodings above 16 MiB.
    """
    walk = Walk(path)
    try:
        return walk.child(value)
    except RecursionError:
        raise walk.refuse("nested too deep") from None


def kwargs_frame(frames: Mapping[str, bytes]) -> bytes:
    """The `kwargs` container of values that are encoded already, sorted by key frame."""
    pairs = sorted((_key_frame(name), encoded) for name, encoded in frames.items())
    return frame("kwargs", b"".join([part for pair in pairs for part in pair]))


def encode_kwargs(mapping: Mapping[str, Any]) -> bytes:
    """The `kwargs` container of a keyword mapping; the order of its keys does not count."""
    return kwargs_frame({name: encode(value, name) for name, value in mapping.items()})


def digest_frames(domain: str, *frames: bytes) -> bytes:
    """32 bytes: the digest of frames made before, under a domain such as `ndarray/v1`."""
    return blake3(frame(domain, b"".join(frames))).digest()


def digest(domain: str, *items: Any) -> bytes:
    """32 bytes: the digest of values under a domain."""
    return digest_frames(domain, *[encode(item) for item in items])


def hexdigest(domain: str, *items: Any) -> str:
    """64 hex digits: `digest` as text."""
    return digest(domain, *items).hex()


def python_value(scalar: np.generic) -> Any:
    """The Python value of a numpy scalar's kind, or the scalar itself where Python has no such kind.

    datetime64 is left alone: as nanoseconds its `item()` is a bare int.
    """
    return scalar.item() if scalar.dtype.kind in "biufcUS" else scalar


def plain(value: Any, _depth: int = 0) -> Any:
    """The value with every numpy scalar in it replaced by the Python value of its kind.

    Lists, tuples and dicts are searched; whatever needs no change comes back as the same object.
    """
    if isinstance(value, np.generic):
        return python_value(value)
    kind = type(value)
    if _depth > MAX_DEPTH or kind not in (list, tuple, dict):
        return value
    if kind is dict:
        items = [(plain(k, _depth + 1), plain(v, _depth + 1)) for k, v in value.items()]
        same = all(a is k and b is v for (a, b), (k, v) in zip(items, value.items(), strict=True))
        return value if same else dict(items)
    members = [plain(item, _depth + 1) for item in value]
    return value if all(a is b for a, b in zip(members, value, strict=True)) else kind(members)
