"""Journals: lines come back as they went in, torn ends are cut, one process writes at a time."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from prefect_tune.store.journal import Journal, JournalBusy

KEY = "ab" * 32


def lines(root):
    journal = Journal.open(root, KEY)
    journal.close()
    return journal.lines


def test_lines_come_back_with_their_types(tmp_path):
    """Floats come back bit for bit, NaN and infinities among them; ints stay ints, texts texts."""
    written = [
        {"a": 1, "b": 0.1 + 0.2, "c": "x", "d": [1.0, None, True]},
        {"e": -math.inf, "f": {"g": 2**70}},
    ]
    journal = Journal.open(tmp_path, KEY)
    journal.append(written)
    journal.append([{"nan": math.nan}])
    journal.close()
    found = lines(tmp_path)
    assert found[:2] == written
    assert math.isnan(found[2]["nan"])


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_torn_end_is_cut_off(tmp_path, cut):
    """A last line of which only a part was written is dropped, and the next one follows the whole ones."""
    journal = Journal.open(tmp_path, KEY)
    journal.append([{"n": n} for n in range(3)])
    journal.close()
    os.truncate(journal.path, journal.path.stat().st_size - cut)
    again = Journal.open(tmp_path, KEY)
    whole = len(again.lines)
    assert again.lines == [{"n": n} for n in range(whole)]
    assert whole < 3
    again.append([{"n": "next"}])
    again.close()
    assert lines(tmp_path) == [*({"n": n} for n in range(whole)), {"n": "next"}]


def test_changed_line_ends_the_journal_there(tmp_path):
    """A line whose text was changed does not verify; it and what follows count as not written."""
    journal = Journal.open(tmp_path, KEY)
    journal.append([{"n": n} for n in range(5)])
    journal.close()
    data = journal.path.read_bytes().replace(b'{"n":2}', b'{"n":7}')
    journal.path.write_bytes(data)
    assert lines(tmp_path) == [{"n": 0}, {"n": 1}]


def test_lines_cannot_be_swapped(tmp_path):
    """Each line carries the digest of the one before: two lines in the other order do not verify."""
    journal = Journal.open(tmp_path, KEY)
    journal.append([{"n": n} for n in range(4)])
    journal.close()
    first, second, *rest = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join([second, first, *rest]))
    assert lines(tmp_path) == []


def test_second_writer_is_refused(tmp_path):
    """Another process that opens the same journal is told so; when the first has ended it may."""
    journal = Journal.open(tmp_path, KEY)
    code = (
        "import sys; from prefect_tune.store.journal import Journal, JournalBusy\n"
        f"try: Journal.open(sys.argv[1], {KEY!r})\n"
        "except JournalBusy as error: print(error); sys.exit(3)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 3
    assert "another process" in refused.stdout
    journal.close()
    assert subprocess.run(command).returncode == 0


def test_second_writer_in_this_process_is_refused(tmp_path):
    """The same holds for two searches of one process."""
    journal = Journal.open(tmp_path, KEY)
    with pytest.raises(JournalBusy, match="name="):
        Journal.open(tmp_path, KEY)
    journal.close()


def test_fresh_journal_keeps_the_old_one_aside(tmp_path):
    """A journal that is begun anew is empty; the history is kept under another name."""
    journal = Journal.open(tmp_path, KEY)
    journal.append([{"n": 1}])
    journal.close()
    anew = Journal.open(tmp_path, KEY, fresh=True)
    assert anew.lines == []
    anew.append([{"n": 2}])
    anew.close()
    assert lines(tmp_path) == [{"n": 2}]
    assert len(list((tmp_path / "journal").glob("*.old"))) == 1


def test_key_is_no_path(tmp_path):
    """What is no key is refused before a file is touched."""
    with pytest.raises(ValueError, match="hex"):
        Journal.open(tmp_path, "../../etc/passwd")
    assert list(tmp_path.iterdir()) == []
