"""The step store: records and blobs of finished steps in one folder, shared by any number of processes.

Rule 1: two levels. Records say what came out of a key; blobs are bytes under their own digest (BLAKE3-256).
Rule 2: first writer wins, atomically (`link`); the loser continues with the winner's bits.
Rule 3: verified on read. A damaged entry is put aside, counted, and is a miss. Existence proves nothing.
Rule 4: trouble never fails a search: full disk, read-only or missing folders mean "uncached", said once.
Rule 5: pickles are read only where nobody else can write, or under a signature, and after their digest.
Rule 6: arrays are read by memory map, read-only, so workers of one host share one copy.
Rule 7: consume through the store: a producer that continues with `load(put(...))` sees what a hit will see.

Rule 8: a store may lie on object storage: then its folder is a tier that is read through (`remote`).

`fs` holds every system call; `faults` has the ones that fail on purpose; `failpoints` kills where it hurts.
"""

from __future__ import annotations

from prefect_tune.store.at import open_store_at
from prefect_tune.store.home import default_root
from prefect_tune.store.records import BlobRef, Record
from prefect_tune.store.signals import Counters, MissingBlob, Problem, StoreWarning
from prefect_tune.store.store import StepStore

__all__ = [
    "BlobRef",
    "Counters",
    "MissingBlob",
    "Problem",
    "Record",
    "StepStore",
    "StoreWarning",
    "default_root",
    "open_store_at",
]
