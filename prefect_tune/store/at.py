"""A store wherever it is: a folder, or a prefix in a bucket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from prefect_tune.errors import InfrastructureError, UserError
from prefect_tune.store.fs import PosixFs
from prefect_tune.store.home import default_cache, is_url
from prefect_tune.store.keys import find_keys, need_keys
from prefect_tune.store.opening import TRUSTS, check_format, new_format, open_site
from prefect_tune.store.remote.bucket import Bucket, BucketError
from prefect_tune.store.remote.sources import Options, Source
from prefect_tune.store.remote.store import BucketStore, Where, connect, remembered
from prefect_tune.store.remote.urls import is_below, parse_url
from prefect_tune.store.signing import Keyring
from prefect_tune.store.store import StepStore, remembered_here

TRUSTED = "PREFECT_TUNE_TRUSTED"
_MAX_FORMAT = 1 << 16
_explicit: dict[tuple[int, str], BucketStore] = {}


def open_store_at(
    place: str | Path,
    *,
    trust: str = "auto",
    cache: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    source: str = "",
    keys: str | None = None,
) -> StepStore:
    """The store in a folder, or on object storage by its URL, checked and ready.

    Args:
        place: a path, `file:///…`, or `s3://bucket/prefix`.
        trust: "auto", "local" (pickles are read), "data-only", or "signed" (what a holder of a key stored is
            read, pickles too). "auto" is "local" for a folder where nobody else can write, and for a bucket
            whose URL is below one of those in `$PREFECT_TUNE_TRUSTED`; else "signed" where there are keys,
            and "data-only" where there are none.
        cache: folder of what is kept here of a bucket; None: one named by the store, in `default_cache()`.
        options: of the bucket's client: `region`, `endpoint_url`, `access_key_id`, `secret_access_key`,
            `session_token`, `allow_http`, `server_side_encryption`, `kms_key_id`. What is left out comes from
            the variables AWS_*. They stay in this process.
        source: `KIND/NAME` by which other processes find options and keys, such as `step-store/mine`.
        keys: of a signed store, `ID:KEY` with blanks between them: the first signs, all verify. None: those
            of the source, of `$PREFECT_TUNE_STORE_KEYS`, or of the file `$PREFECT_TUNE_STORE_KEYS_FILE`. They
            stay in this process.

    Raises:
        UserError: the URL, an option or a key cannot work, a signed store has no key, access is refused, or
            there is no such bucket.
        InfrastructureError: the server does not answer.
        StoreUnavailable: the folder can be neither created nor read.
    """
    if trust not in TRUSTS:
        raise UserError(f"store: trust {trust!r} is unknown. It has: {', '.join(TRUSTS)}.")
    if keys is not None and trust not in ("auto", "signed"):
        raise UserError(f"store: {place}: keys are for trust='signed', and trust={trust!r} was asked for.")
    trust = "signed" if keys is not None else trust
    ring = Keyring.parse(keys, f"keys of {place}") if keys is not None else None
    told = Source(source, Options(options) if options else None, ring)
    if not is_url(place):
        if cache is not None or options or (source and trust != "signed"):
            raise UserError(
                f"store: {place} is a folder; cache and options are for buckets, source for them and for "
                "trust='signed'."
            )
        return _open_folder(place, trust, told)
    if str(place).startswith("file://"):
        return _open_folder(_path_of(str(place)), trust, told)
    url = str(parse_url(str(place)))
    plain = trust == "auto" and cache is None and told == Source()
    if plain and (known := _explicit.get((os.getpid(), url))) is not None:
        return known  # this process has said how it is to be opened
    store = _open(url, trust, cache, told)
    if not plain:
        _explicit[os.getpid(), url] = store
    return store


def open_bucket_store(
    bucket: Bucket,
    *,
    url: str,
    trust: str = "auto",
    cache: str | Path | None = None,
    source: Source | None = None,
) -> BucketStore:
    """The store in that bucket; see `open_store_at`."""
    source = source or Source()
    level, reason = _trust(url, trust, source)
    try:
        store_id = _store_id(bucket, url)
    except BucketError as error:
        move = "Check the URL, the credentials and the region, or create the bucket."
        kind = UserError if error.refused else InfrastructureError
        raise kind(f"store: {url}: {error}. {move}") from None
    folder = os.path.abspath(os.path.expanduser(cache or default_cache() / store_id))
    opened = open_site(folder, PosixFs(), level, store_id, source)
    where = Where(url=url, folder=folder, store_id=store_id, trust=level, reason=reason, source=source)
    return BucketStore(where, opened, bucket)


def _open_folder(place: str | Path, trust: str, source: Source) -> StepStore:
    if trust != "signed":
        return StepStore.open(place, trust=trust)
    path = os.path.abspath(os.path.expanduser(place))
    return remembered_here(StepStore(open_site(path, PosixFs(), trust, source=source), trust, source))


def _open(url: str, trust: str, cache: str | Path | None, source: Source) -> BucketStore:
    where = Where(url=url, folder="", store_id="", trust="", reason="", source=source)
    store = open_bucket_store(connect(where), url=url, trust=trust, cache=cache, source=source)
    store.catch_up()
    # Copies of it that come back to this process are this one.
    return remembered(f"{url} {store.trust}", str(store.root), lambda: store, replace=True)


def _trust(url: str, asked: str, source: Source) -> tuple[str, str]:
    """(trust, why). Raises UserError for a signed store without a key."""
    if asked == "auto" and any(
        is_below(url, place) for place in os.environ.get(TRUSTED, "").split() if place
    ):
        return "local", f"its URL is below one of ${TRUSTED}"
    if asked == "local":
        return "local", "it was asked for"
    if asked == "signed":
        need_keys(url, source)
    if asked in ("data-only", "signed"):
        return asked, "it was asked for"
    why = "others may be able to write in a bucket, and pickles run code"
    if find_keys(source) is not None:
        return "signed", f"{why}; this process has a key"
    return "data-only", (
        f"{why}; if nobody else can, open it with trust='local' or name it in ${TRUSTED}, else sign it "
        "(trust='signed')"
    )


def _store_id(bucket: Bucket, url: str) -> str:
    """The store's name for itself, which a new one gets now. Raises BucketError."""
    found = bucket.get("FORMAT", _MAX_FORMAT)
    if found is None:
        made = new_format()
        if bucket.create("FORMAT", made) and bucket.create("FORMAT", made):
            raise UserError(
                f"store: {url}: its server overwrites what is to be put only if absent; two searches cannot "
                "share it. Use a server that knows If-None-Match."
            )
        found = bucket.get("FORMAT", _MAX_FORMAT)
    return check_format(found[0] if found else b"", url)["store_id"]


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise UserError(
            f"store: {url!r} is no path of this machine. Write file:///folder, or the path alone."
        )
    return Path(unquote(parts.path))
