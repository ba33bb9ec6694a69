"""From the folder to the bucket: blobs, then the record that points to them; what could not go yet is noted.

The notes lie in `pending/`, one small file per entry: a bucket that was away gets them with the first request
that goes through, or when the store is opened next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from prefect_tune.store.actions import check_manifest, seal
from prefect_tune.store.fs import quietly
from prefect_tune.store.packs import MAX_PACK
from prefect_tune.store.records import MAX_RECORD, BlobRef, Record
from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.remote.inbound import WHOLE, Inbound
from prefect_tune.store.remote.line import Line
from prefect_tune.store.site import Site, publish, write_temp

_ORDER = ("cas/", "packs/", "ac/")  # blobs before what points to them


class Outbound:
    """What is copied to the bucket of one store."""

    def __init__(self, site: Site, line: Line, inbound: Inbound) -> None:
        self._site, self._line, self._inbound = site, line, inbound
        self._there: set[str] = set()  # names that are in the bucket for sure
        self._behind = self._catching_up = False

    def record(self, ours: Record) -> Record | None:
        """The record that holds the key in the bucket, ours or an earlier one; None for a newer version's.

        Without the bucket it is ours, and noted for later.
        """
        blobs = [self._site.blob(ref.digest) for ref in ours.outputs]
        path = self._site.manifest(ours.key)
        try:
            self._raise_first(self._line.each(self._blob, blobs))
            stored = self._line.write(lambda bucket: self._settle(bucket, ours, self._inbound.name(path)))
        except BucketError:
            self._later([*blobs, path])
            return ours
        self._caught_up()
        return stored

    def entries(self, paths: Iterable[str]) -> None:
        """Blobs and packs of the folder are in the bucket, or noted for later."""
        paths = list(paths)
        late = [
            path
            for path, done in zip(paths, self._line.each(self._entry, paths), strict=True)
            if isinstance(done, BucketError)
        ]
        self._later(late)
        if not late:
            self._caught_up()

    def catch_up(self) -> int:
        """How many entries are still to go, after another try."""
        if self._catching_up:
            return 0
        self._catching_up = True
        try:
            notes = self._notes()
            for start in _ORDER:
                self._line.each(self._send_noted, [note for note in notes if note[1].startswith(start)])
            left = self._notes()
            self._behind = bool(left)
            return len(left)
        finally:
            self._catching_up = False

    # One entry

    def _entry(self, path: str) -> None:
        if self._inbound.name(path).startswith("cas/"):
            self._blob(path)
        else:
            self._pack(path)

    def _blob(self, path: str) -> None:
        name = self._inbound.name(path)
        spoilt = self._inbound.spoilt(name)
        if name in self._there and not spoilt:
            return
        size = os.stat(path).st_size
        self._line.write(lambda bucket: self._put_blob(bucket, name, path, size, spoilt))
        self._there.add(name)
        self._inbound.healed(name)

    def _put_blob(self, bucket: Bucket, name: str, path: str, size: int, spoilt: bool) -> None:
        if size <= WHOLE and not spoilt and bucket.create(name, self._site.fs.read(path, WHOLE)):
            return
        # Of blobs the bytes are the name: whoever overwrites one writes the same, or mends it.
        if spoilt or bucket.size(name) != size:
            bucket.upload(name, Path(path))

    def _pack(self, path: str) -> None:
        name, data = self._inbound.name(path), self._site.fs.read(path, MAX_PACK)
        if self._inbound.spoilt(name):
            self._line.write(lambda bucket: bucket.upload(name, Path(path)))
            self._inbound.healed(name)
        else:
            self._line.write(lambda bucket: bucket.create(name, data))

    def _settle(self, bucket: Bucket, ours: Record, name: str) -> Record | None:
        data = seal(ours.to_json())
        for _ in range(4):  # somebody may replace or remove what holds the key in the very moment
            if bucket.create(name, data):
                return ours
            if (held := self._held(bucket, name)) is None:
                continue
            record, fault = check_manifest(ours.key, held[0], self._site.signer)
            if record is None and not fault:
                return None
            if record is not None and not self._gone(bucket, record, ours):
                return record
            if bucket.replace(name, data, held[1]):
                self._inbound.healed(name)
                return ours
        raise BucketError(errno.EIO, f"{name} changes all the time")

    @staticmethod
    def _held(bucket: Bucket, name: str) -> tuple[bytes, str] | None:
        """What holds the name; bytes that nobody can use if it is too large to be read."""
        try:
            return bucket.get(name, 2 * MAX_RECORD)
        except BucketError as error:
            if error.errno != errno.EFBIG:
                raise
            bucket.delete([name])
            return None

    def _gone(self, bucket: Bucket, record: Record, ours: Record) -> bool:
        """Whether a blob of the record is known to be missing or damaged, so that the record is worthless."""
        mine = {ref.digest for ref in ours.outputs}
        return any(self._lacks(bucket, ref) for ref in record.outputs if ref.digest not in mine)

    def _lacks(self, bucket: Bucket, ref: BlobRef) -> bool:
        name = self._inbound.name(self._site.blob(ref.digest))
        return self._inbound.spoilt(name) or bucket.size(name) != ref.size

    # What could not go

    def _later(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._behind = True
            name = self._inbound.name(path)
            with suppress(OSError):
                temp = write_temp(self._site, [name.encode()])
                if not publish(self._site, temp, self._note(name)):
                    quietly(self._site.fs.unlink, temp.path)

    def _caught_up(self) -> None:
        if self._behind:
            self.catch_up()

    def _notes(self) -> list[tuple[str, str]]:
        """(file, name) of what is to go."""
        notes = []
        folder = f"{self._site.root}/pending"
        with suppress(OSError):
            for file in sorted(self._site.fs.listdir(folder)):
                with suppress(OSError, UnicodeDecodeError):
                    notes.append(
                        (f"{folder}/{file}", self._site.fs.read(f"{folder}/{file}", 1 << 12).decode())
                    )
        return notes

    def _send_noted(self, note: tuple[str, str]) -> None:
        file, name = note
        path = f"{self._site.root}/{name}"
        try:
            if self._note(name) == file and name.startswith(_ORDER):
                self._manifest(path) if name.startswith("ac/") else self._entry(path)
        except BucketError:
            raise
        except OSError:
            pass  # it is no longer here
        quietly(self._site.fs.unlink, file)

    def _manifest(self, path: str) -> None:
        data = self._site.fs.read(path, MAX_RECORD + 65)
        record, _ = check_manifest(os.path.basename(path), data, self._site.signer)
        if record is not None:
            name = self._inbound.name(path)
            self._line.write(lambda bucket: self._settle(bucket, record, name))

    def _note(self, name: str) -> str:
        return f"{self._site.root}/pending/{blake3(name.encode()).hexdigest()[:32]}"

    @staticmethod
    def _raise_first(done: Iterable[object]) -> None:
        for item in done:
            if isinstance(item, BucketError):
                raise item
