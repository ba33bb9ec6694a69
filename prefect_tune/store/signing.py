"""Signatures: an entry of a store that others can write in counts if somebody with a key says so.

    {"schema":1, …, "mac":"<64 hex digits>","key_id":"<name>"}

Rule 1: a signature is keyed BLAKE3 over what kind of entry it is, the store's id, the entry's own name (key
of the step, scope of the pack, search of the journal), the key's name, and every byte before the signature.
So an entry under another name, from another store, or of another form is not signed.
Rule 2: it is checked on the bytes as they lie there, before they are parsed.
Rule 3: keys are in no pickle, no repr and no message. Of several the first signs and all verify.
Rule 4: no files, no environment, no clock in this module (`keys` has those).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import NoReturn

from blake3 import blake3

from prefect_tune.errors import UserError
from prefect_tune.store.records import Record

KEY_BYTES = 32
UNSIGNED = "it is not signed by a key that this process has"
MANIFEST, PACK, LINE = "manifest", "pack", "line"

_DOMAIN = "prefect-tune/signature/1"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_TAIL = re.compile(rb',"mac":"([0-9a-f]{64})","key_id":"([A-Za-z0-9._-]{1,32})"\}\Z')
_TAIL_BYTES = 160  # more than any tail has
_MARK = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,31}):([0-9a-f]{64})")
_FORM = "write ID:KEY, the key as 64 hex digits or as base64 of 32 bytes; `prefect-tune store key` makes one"


class Keyring:
    """Keys by their names: the first signs, all verify.

    Args:
        keys: name -> 32 bytes, in order.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise UserError(f"keys: there is none; {_FORM}.")
        for name, key in keys.items():
            if _ID.fullmatch(name) is None or type(key) is not bytes or len(key) != KEY_BYTES:
                raise UserError(f"keys: {_shown(name)} is no key; {_FORM}.")
        self._keys = dict(keys)

    @classmethod
    def parse(cls, text: str, place: str) -> Keyring:
        """The keys in a text: `ID:KEY`, with blanks or line ends between; lines with # first do not count.

        Args:
            place: where the text is from, for errors. They never show a key.

        Raises:
            UserError: an entry is no key, or a name is there twice.
        """
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        found: dict[str, bytes] = {}
        for number, entry in enumerate(" ".join(lines).split(), 1):
            name, _, code = entry.partition(":")
            key = _decoded(code)
            if _ID.fullmatch(name) is None or key is None:
                raise UserError(f"{place}: entry {number} is no key; {_FORM}.")
            if name in found:
                raise UserError(f"{place}: two keys are called {name!r}; give each a name of its own.")
            found[name] = key
        if not found:
            raise UserError(f"{place}: there is no key in it; {_FORM}.")
        return cls(found)

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the keys; the first one signs."""
        return tuple(self._keys)

    def key(self, name: str) -> bytes:
        """The key of that name: hand it to a hash, show it to nobody. KeyError without one."""
        return self._keys[name]

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not pickled; every process finds them itself.")


def new_key(name: str = "") -> str:
    """A new random key as the text `ID:KEY`; without a name it gets one of 8 hex digits.

    Raises:
        UserError: the name is none.
    """
    name = name or f"k{secrets.token_hex(4)}"
    if _ID.fullmatch(name) is None:
        raise UserError(f"key: {name!r} is no name: up to 32 letters, digits, '.', '_' and '-'.")
    return f"{name}:{secrets.token_hex(KEY_BYTES)}"


class Signer:
    """Signs and verifies the entries of one store.

    Args:
        keys: whose.
        store_id: of the store.
    """

    __slots__ = ("_keys", "_store_id")

    def __init__(self, keys: Keyring, store_id: str) -> None:
        self._keys, self._store_id = keys, store_id

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the keys; the first one signs."""
        return self._keys.ids

    def sign(self, kind: str, name: str, document: bytes) -> bytes:
        """The JSON object `document` with its signature as its last two fields; it has neither yet."""
        head, key_id = document[:-1], self.ids[0]
        mac = self._mac(kind, name, key_id, (head,))
        return head + f',"mac":"{mac}","key_id":"{key_id}"}}'.encode()

    def verifies(self, kind: str, name: str, document: bytes) -> bool:
        """Whether somebody with one of the keys signed these bytes as that kind of entry, under that name."""
        start = max(len(document) - _TAIL_BYTES, 0)
        found = _TAIL.search(bytes(document[start:]))
        if found is None:
            return False
        head = memoryview(document)[: start + found.start()]
        return self._same(found[1].decode(), kind, name, found[2].decode(), (head,))

    def sign_record(self, record: Record) -> Record:
        """The record with its signature in it; its JSON is what `verifies` accepts as a manifest."""
        key_id = self.ids[0]
        mac = self._mac(MANIFEST, record.key, key_id, (_head(record),))
        return dataclasses.replace(record, mac=mac, key_id=key_id)

    def holds(self, record: Record) -> bool:
        """Whether a record, wherever it comes from, is one that somebody with a key has signed."""
        try:
            head = _head(record)
        except (TypeError, ValueError):
            return False
        return self._same(record.mac, MANIFEST, record.key, record.key_id, (head,))

    def mark(self, name: str, last: str, text: bytes) -> str:
        """What is written beside a line of the journal `name`, after a line that carried `last`."""
        key_id = self.ids[0]
        return f"{key_id}:{self._mac(LINE, name, key_id, (last.encode(), text))}"

    def marked(self, mark: str, name: str, last: str, text: bytes) -> bool:
        """Whether `mark` is what somebody with a key wrote beside that line."""
        found = _MARK.fullmatch(mark)
        return found is not None and self._same(found[2], LINE, name, found[1], (last.encode(), text))

    def _same(self, mac: str, kind: str, name: str, key_id: str, parts: Iterable[bytes | memoryview]) -> bool:
        if key_id not in self.ids or not mac.isascii():
            return False
        return hmac.compare_digest(self._mac(kind, name, key_id, parts), mac)  # takes the same time for any

    def _mac(self, kind: str, name: str, key_id: str, parts: Iterable[bytes | memoryview]) -> str:
        hasher = blake3(key=self._keys.key(key_id))
        plain = [part.encode() for part in (_DOMAIN, kind, self._store_id, name, key_id)]
        for part in (*plain, *parts):  # lengths first, so that no two lists of parts are the same bytes
            hasher.update(len(part).to_bytes(8, "little"))
            hasher.update(part)
        return hasher.hexdigest()

    def __repr__(self) -> str:
        return f"Signer({', '.join(self.ids)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not pickled; every process finds them itself.")


def _head(record: Record) -> bytes:
    """The record's JSON up to its signature."""
    bare = dataclasses.replace(record, mac="", key_id="").to_json()
    return bare.removesuffix(b',"mac":"","key_id":""}')


def _decoded(code: str) -> bytes | None:
    """The 32 bytes that a text stands for, or None."""
    try:
        if len(code) == 2 * KEY_BYTES:
            return bytes.fromhex(code)
        key = base64.b64decode(code.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None


def _shown(name: object) -> str:
    return repr(name)[:40]
