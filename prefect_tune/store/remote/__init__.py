"""A step store on object storage: an ordinary store in a local folder, filled from and copied to a bucket.

Rule 1: the bucket holds the same bytes under the same names as the folder, so `aws s3 sync` makes a store.
Rule 2: every byte from the bucket is verified before it enters the folder. What does not verify is a miss.
Rule 3: the first writer wins, between hosts too: manifests are put only if absent, blobs before them.
Rule 4: no lists of what is missing are kept: what another host stored a moment ago is found.
Rule 5: a bucket that fails never fails a search. It goes on with the folder, and catches up later.
Rule 6: credentials are read where they are used. They are in no pickle, no parameter, no repr and no message.
"""

from __future__ import annotations

from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.remote.sources import Source, register

__all__ = ["Bucket", "BucketError", "Source", "register"]
