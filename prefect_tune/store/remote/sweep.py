"""Making room in a bucket: blobs that no record points to."""

from __future__ import annotations

import errno
import time

from prefect_tune.store.actions import check_manifest
from prefect_tune.store.records import DIGEST_PREFIX, MAX_RECORD
from prefect_tune.store.remote.bucket import BucketError
from prefect_tune.store.remote.line import Line


def sweep(line: Line, older_than: float) -> int:
    """Bytes freed. Blobs younger than `older_than` seconds stay: a record may be on its way to them.

    Where this version cannot read a record nothing goes: what it points to is not known. Raises BucketError.
    """
    limit = time.time() - older_than
    blobs = line.read(lambda bucket: bucket.entries("cas/"), needed=True)
    old = [entry for entry in blobs if entry.written < limit]
    manifests = line.read(lambda bucket: bucket.entries("ac/"), needed=True) if old else []
    kept: set[str] = set()
    for found in line.each(lambda entry: _outputs(line, entry.name), manifests):
        if isinstance(found, BucketError):
            raise found
        kept |= found
    doomed = [entry for entry in old if DIGEST_PREFIX + entry.name.rpartition("/")[2] not in kept]
    line.write(lambda bucket: bucket.delete([entry.name for entry in doomed]))
    return sum(entry.size for entry in doomed)


def _outputs(line: Line, name: str) -> set[str]:
    found = line.read(lambda bucket: bucket.get(name, 2 * MAX_RECORD), needed=True)
    if found is None:
        return set()
    record, fault = check_manifest(name.rpartition("/")[2], found[0])
    if record is None and not fault:
        raise BucketError(errno.EIO, f"{name} is a record of a newer version; nothing was removed")
    return {ref.digest for ref in record.outputs} if record is not None else set()
