"""Journals on object storage: what one host decided another goes on from, and only one of them at a time.

The oracle is the list of lines that were written.
"""

from __future__ import annotations

import itertools
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_tune.store import StoreWarning
from prefect_tune.store.at import open_bucket_store
from prefect_tune.store.journal import JournalBusy

from .buckets import MemoryBucket

KEY = "ab" * 32


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def host(tmp_path, bucket):
    """Opens the store on another host each time, or again on one of before."""
    numbers = itertools.count()

    def new(cache=None):
        folder = cache or tmp_path / f"tier-{next(numbers)}"
        return open_bucket_store(bucket, url="s3://bucket/x", cache=folder)

    return new


def lines(*values: object) -> list[dict]:
    return [{"event": value} for value in values]


def written(store, values: object, *, fresh: bool = False) -> list[dict]:
    """What the journal held before these lines were added."""
    journal = store.journal(KEY, fresh=fresh)
    before = journal.lines
    for value in values:
        journal.append(lines(value))
    journal.close()
    return before


def test_another_host_goes_on(host, bucket):
    """From an empty tier all lines are there, and are read without taking the journal."""
    a, b, c = host(), host(), host()
    assert written(a, [1, 2.5]) == []
    assert b.journal_lines(KEY) == lines(1, 2.5)
    assert written(b, ["three"]) == lines(1, 2.5)
    assert written(a, [4]) == lines(1, 2.5, "three")
    assert written(c, []) == lines(1, 2.5, "three", 4)
    # What later bases hold is gone, the bases are there.
    assert all(b'"base":true' in data for name, data in bucket.objects.items() if "journal" in name)


def test_who_is_overtaken_ends(host):
    """The host that had the journal before meets the number that the next one took, and says so."""
    a, b = host(), host()
    first = a.journal(KEY)
    first.append(lines(1))
    second = b.journal(KEY)
    assert second.lines == lines(1)
    with pytest.raises(JournalBusy, match="on another host"):
        first.append(lines(2))
    second.append(lines(3))
    first.close()
    second.close()
    assert written(a, []) == lines(1, 3)  # and what it wrote in vain is put aside
    assert len(list((a.root / "journal").glob("*.old"))) == 1


def test_two_that_begin_at_once_are_told_apart(host, bucket, monkeypatch):
    """Of two that read the same end one takes the number; the other is told at once."""
    a, b = host(), host()
    create = bucket.create

    def beaten(name: str, data: bytes) -> bool:
        monkeypatch.setattr(bucket, "create", create)
        written(b, [1])
        return create(name, data)

    monkeypatch.setattr(bucket, "create", beaten)
    with pytest.raises(JournalBusy):
        a.journal(KEY)


def test_an_answer_that_gets_lost_is_no_rival(host, bucket, monkeypatch):
    """A segment that arrived without our knowing is known by its writer."""
    a = host()
    journal = a.journal(KEY)
    create = bucket.create

    def unheard(name: str, data: bytes) -> bool:
        create(name, data)
        return create(name, data)  # as a client does that tries again

    monkeypatch.setattr(bucket, "create", unheard)
    journal.append(lines(1))
    journal.append(lines(2))
    journal.close()
    assert host().journal_lines(KEY) == lines(1, 2)


def test_lines_wait_while_the_bucket_is_away(host, bucket, monkeypatch):
    """The search goes on with the file; the next lines take those along, also after a new start."""
    a = host()
    journal = a.journal(KEY)
    bucket.down = True
    with pytest.warns(StoreWarning, match="cannot be reached"):
        journal.append(lines(1))
    journal.append(lines(2))
    bucket.down = False
    monkeypatch.setattr(a._line, "_until", 0.0)
    journal.append(lines(3))
    assert host().journal_lines(KEY) == lines(1, 2, 3)
    bucket.down = True
    monkeypatch.setattr(a._line, "_until", 0.0)
    journal.append(lines(4))
    journal.close()
    bucket.down = False
    assert written(host(cache=a.root), []) == lines(1, 2, 3, 4)
    assert host().journal_lines(KEY) == lines(1, 2, 3, 4)


def test_a_fresh_journal_forgets_everywhere(host, bucket):
    """What was there stays under its numbers; hosts that had it begin anew with the rest."""
    a, b = host(), host()
    written(a, [1, 2])
    assert written(b, [], fresh=True) == []
    assert written(a, [3]) == []
    assert host().journal_lines(KEY) == lines(3)
    assert any(b"event" in data for name, data in bucket.objects.items() if name.endswith("00000001"))


def test_a_damaged_end_is_cut(host, bucket):
    """Lines after one that does not verify are not believed."""
    written(host(), [1, 2, 3])
    bucket.damage(f"journal/{KEY}/00000002")
    assert host().journal_lines(KEY) == lines(1)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(), max_size=3), st.booleans()), max_size=12)
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hosts_that_take_turns_keep_one_journal(tmp_path_factory, turns):
    """Three hosts, of which any may begin anew: nothing is lost, and nothing is there twice."""
    bucket, folder, expected = MemoryBucket(), tmp_path_factory.mktemp("turns"), []
    hosts = [open_bucket_store(bucket, url="s3://bucket/x", cache=folder / str(i)) for i in range(3)]
    for who, values, fresh in turns:
        if fresh:
            expected = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)
            assert written(hosts[who], values, fresh=fresh) == expected
        expected = expected + lines(*values)
        assert hosts[(who + 1) % 3].journal_lines(KEY) == expected
