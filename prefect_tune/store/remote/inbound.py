"""From the bucket into the folder: records, packs and blobs, each verified before it lies under its name.

What does not verify is told once, counted, and left where it is: it is a miss, and whoever computes the step
again replaces it.
"""

from __future__ import annotations

import errno
import threading
from collections import defaultdict
from collections.abc import Iterable

from prefect_tune.store.actions import LISTED, check_manifest
from prefect_tune.store.packs import MAX_PACK, check_pack
from prefect_tune.store.records import DIGEST_PREFIX, MAX_RECORD, BlobRef, is_key
from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.remote.line import Line
from prefect_tune.store.signals import Problem
from prefect_tune.store.site import Site, discard, publish, receive_temp, write_temp

WHOLE = 8 << 20  # bytes; up to here a blob is one request


class Inbound:
    """What is fetched for one store.

    Attributes:
        bad: names of objects that did not verify, or are missing, until somebody replaces them.
        problems: what was wrong with them.
    """

    def __init__(self, site: Site, line: Line) -> None:
        self._site, self._line = site, line
        self._lock = threading.Lock()
        self.bad: dict[str, str] = {}
        self.problems: list[Problem] = []

    def records(self, keys: Iterable[str], scope: str) -> None:
        """Brings what the bucket has of those keys: their manifests, and the packs of the scope.

        Two rounds of requests, however many keys: what is there, then what is needed of it.
        """
        groups: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            groups[key[:2]].append(key)
        folders = [f"ac/{start}/" for start, group in groups.items() if len(group) >= LISTED]
        single = [key for group in groups.values() if len(group) < LISTED for key in group]
        jobs = [("list", f"packs/{scope}/"), *(("list", folder) for folder in folders)]
        found = self._line.each(self._ask, [*jobs, *(("manifest", key) for key in single)])
        wanted: list[tuple[str, str]] = []
        for (_, folder), names in zip(jobs, found, strict=False):
            if isinstance(names, BucketError) or names is None:
                continue
            if folder.startswith("packs/"):
                wanted += [("pack", f"{scope}/{name}") for name in sorted(names - self._here(scope))]
            else:
                wanted += [("manifest", key) for key in groups[folder[3:5]] if key in names]
        self._line.each(self._ask, wanted)

    def blob(self, ref: BlobRef) -> str:
        """Nothing if the blob now lies in the folder; else why not, in words."""
        final = self._site.blob(ref.digest)
        name = self.name(final)
        try:
            return self._line.read(lambda bucket: self._receive(bucket, ref, name, final), needed=True)
        except BucketError as error:
            if error.errno == errno.EFBIG:
                return self._spoilt(name, "it is larger than its record says")
            return f"{name} cannot be fetched: {error}"
        except OSError as error:
            self._site.write_failed(error)
            return f"{name} cannot be kept here: {error}"

    def name(self, path: str) -> str:
        """What an entry of the folder is called in the bucket."""
        return path.removeprefix(f"{self._site.root}/")

    def spoilt(self, name: str) -> bool:
        """Whether that object was found damaged or missing."""
        return name in self.bad

    def healed(self, name: str) -> None:
        """The object was replaced."""
        self.bad.pop(name, None)

    def _ask(self, job: tuple[str, str]) -> set[str] | None:
        kind, what = job
        if kind == "list":
            entries = self._line.read(lambda bucket: bucket.entries(what))
            return {entry.name.rpartition("/")[2] for entry in entries}
        try:
            if kind == "pack":
                self._pack(what)
            else:
                self._manifest(what)
        except BucketError:
            raise
        except OSError as error:
            self._site.write_failed(error)
        return None

    def _manifest(self, key: str) -> None:
        path = self._site.manifest(key)
        name = self.name(path)
        data = self._get(name, MAX_RECORD + 65)
        if data is None:
            return
        record, fault = check_manifest(key, data, self._site.signer)
        if fault:
            self._spoilt(name, fault)
        elif record is not None and not any(
            self.spoilt(self.name(self._site.blob(ref.digest))) for ref in record.outputs
        ):
            self._adopt(path, data)

    def _pack(self, place: str) -> None:
        scope, _, name = place.partition("/")
        path = f"{self._site.scope(scope)}/{name}"
        if not is_key(name) or self.spoilt(self.name(path)):
            return
        data = self._get(self.name(path), MAX_PACK)
        if data is None:
            return
        _, fault = check_pack(name, data, scope, self._site.signer)
        if fault:
            self._spoilt(self.name(path), fault)
        else:
            self._adopt(path, data)

    def _get(self, name: str, limit: int) -> bytes | None:
        try:
            found = self._line.read(lambda bucket: bucket.get(name, limit))
        except BucketError as error:
            if error.errno != errno.EFBIG:
                raise
            self._spoilt(name, "it is larger than any that this version writes")
            return None
        return found and found[0]

    def _adopt(self, path: str, data: bytes) -> None:
        temp = write_temp(self._site, [data])
        if not publish(self._site, temp, path):
            discard(self._site, temp)

    def _receive(self, bucket: Bucket, ref: BlobRef, name: str, final: str) -> str:
        if ref.size <= WHOLE:
            found = bucket.get(name, ref.size)
            chunks: Iterable[bytes] | None = [found[0]] if found is not None else None
        else:
            size = bucket.size(name)
            if size is not None and size != ref.size:
                return self._spoilt(name, f"it has {size} bytes instead of {ref.size}")
            chunks = bucket.parts(name, ref.size) if size is not None else None
        if chunks is None:
            return self._spoilt(name, "it is missing under a valid record")
        temp = receive_temp(self._site, chunks, ref.size)
        if temp.size != ref.size or DIGEST_PREFIX + temp.digest != ref.digest:
            discard(self._site, temp)
            return self._spoilt(name, "its digest is not its name")
        if not publish(self._site, temp, final):
            discard(self._site, temp)
        self.healed(name)
        return ""

    def _spoilt(self, name: str, why: str) -> str:
        with self._lock:
            new = name not in self.bad
            self.bad[name] = why
            if new:
                self.problems.append(Problem(f"{self._line.url}/{name}", why))
        self._site.counters.add(corrupt=1)
        self._site.notices.once("spoilt", f"store: {self._line.url}/{name}: {why}. It counts as a miss.")
        return f"{name}: {why}"

    def _here(self, scope: str) -> set[str]:
        try:
            return set(self._site.fs.listdir(self._site.scope(scope)))
        except OSError:
            return set()
