"""A store that only reads, behind one that takes what is new.

Used when the user's store is read-only or full: what it knows still counts, and the search goes on in a
temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect_tune.store.records import BlobRef, Record
from prefect_tune.store.store import StepStore


class Overlay:
    """The face of a `StepStore` over two of them.

    Args:
        front: a writable store, asked first.
        behind: a store that is only read.
    """

    def __init__(self, front: StepStore, behind: StepStore) -> None:
        self.front, self.behind = front, behind

    @property
    def root(self) -> Path:
        return self.front.root

    @property
    def writable(self) -> bool:
        return self.front.writable

    @property
    def counters(self) -> Any:
        return self.front.counters

    @property
    def place(self) -> str:
        return self.front.place

    def lookup(self, keys: Iterable[str], scope: str) -> dict[str, Record]:
        """The records that either store has."""
        keys = list(keys)
        found = self.front.lookup(keys, scope)
        return {**self.behind.lookup([key for key in keys if key not in found], scope), **found}

    def get(self, key: str, scope: str) -> Record | None:
        return self.front.get(key, scope) or self.behind.get(key, scope)

    def home_of(self, key: str, scope: str) -> str:
        """The place of the store that has this record."""
        return self.front.place if self.front.get(key, scope) else self.behind.place

    def put(self, record: Record, outputs: Mapping[str, object], scope: str, durable: bool = False) -> Record:
        return self.front.put(record, outputs, scope, durable)

    def put_pack(self, records: Sequence[Record], scope: str, *, durable: bool = False) -> str:
        return self.front.put_pack(records, scope, durable=durable)

    def load(self, record: Record, name: str, *, writable: bool = False) -> Any:
        """The output of that name, from whichever store holds its bytes."""
        return self._holder(next(b for b in record.outputs if b.name == name)).load(
            record, name, writable=writable
        )

    def put_blob(self, value: object, codec: str | None = None) -> BlobRef:
        return self.front.put_blob(value, codec)

    def load_blob(self, ref: BlobRef, *, writable: bool = False) -> Any:
        return self._holder(ref).load_blob(ref, writable=writable)

    def has_blob(self, digest: str) -> bool:
        return self.front.has_blob(digest) or self.behind.has_blob(digest)

    def release(self, keys: Iterable[str]) -> int:
        """Bytes freed in the store that can be written."""
        return self.front.release(keys)

    def scratch(self, run_id: str) -> Path:
        return self.front.scratch(run_id)

    def drop_scratch(self, run_id: str) -> None:
        self.front.drop_scratch(run_id)

    def share(self, path: Path | str) -> None:
        self.front.share(path)

    def read_shared(self, path: Path | str) -> bytes | None:
        return self.front.read_shared(path)

    def journal(self, key: str, *, fresh: bool = False) -> Any:
        return self.front.journal(key, fresh=fresh)

    def journal_lines(self, key: str) -> list[dict[str, Any]]:
        return self.front.journal_lines(key)

    def _holder(self, ref: BlobRef) -> StepStore:
        return self.front if self.front.has_blob(ref.digest) else self.behind
