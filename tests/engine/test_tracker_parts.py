"""The parts of a tracker that need no server: the thread that sends, and names that MLflow takes."""

from __future__ import annotations

import posixpath
import re
import threading
from collections import Counter

import pytest

from prefect_tune.flows.trackers.mlflow_names import (
    LONGEST_NAME,
    LONGEST_PARAMETER,
    clean_name,
    clean_names,
    parameters_of,
    requests,
)
from prefect_tune.flows.trackers.sender import Broken, Refused, Sender

QUICK = {"every": 0.01}


class Server:
    """Takes what it is sent, after a number of failures."""

    def __init__(self, *, failures: int = 0, error: Exception | None = None) -> None:
        self.taken: list[int] = []
        self.left = failures
        self.error = error or ConnectionError("nobody there")

    def take(self, thing: int) -> None:
        if self.left:
            self.left -= 1
            raise self.error
        self.taken.append(thing)


def warnings_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if "the search goes on" in record.getMessage()]


def test_everything_is_sent_in_order():
    """What is marked is sent once, first come first."""
    server = Server()
    sender = Sender("a server", server.take, **QUICK)
    for thing in (3, 1, 2):
        sender.mark(thing)
    assert sender.finish(10)
    assert server.taken == [3, 1, 2]


def test_changes_before_sending_are_sent_together():
    """A thing that is marked often while the thread is busy is sent once more, not often."""
    busy, go_on, server = threading.Event(), threading.Event(), Server()

    def take(thing):
        busy.set()
        go_on.wait(10)
        server.take(thing)

    sender = Sender("a server", take, **QUICK)
    sender.mark(0)
    busy.wait(10)
    for _ in range(5):
        sender.mark(0)
        sender.mark(1)
    go_on.set()
    assert sender.finish(10)
    assert Counter(server.taken) == {0: 2, 1: 1}


def test_a_server_that_comes_back_gets_everything(caplog):
    """Failures are told of once; nothing is lost, nothing is sent out of order."""
    server = Server(failures=3)
    sender = Sender("a server", server.take, **QUICK)
    sender.mark(0)
    sender.mark(1)
    assert sender.finish(10)
    assert server.taken == [0, 1]
    assert len(warnings_in(caplog)) == 1
    assert "nobody there" in warnings_in(caplog)[0]


def test_a_server_that_stays_away_is_given_up():
    """The end waits for its patience and no longer, and says that something is left."""
    server = Server(failures=10**9)
    sender = Sender("a server", server.take, **QUICK)
    sender.mark(0)
    assert not sender.finish(0.2)
    assert server.taken == []


def test_what_is_refused_is_left_out(caplog):
    """A thing that will never be taken does not hold up the others."""
    server = Server(failures=1, error=Refused("not like this"))
    sender = Sender("a server", server.take, **QUICK)
    sender.mark(0)
    sender.mark(1)
    assert sender.finish(10)
    assert server.taken == [1]
    assert len(warnings_in(caplog)) == 1


def test_a_broken_server_gets_nothing_more(caplog):
    """After Broken nothing is tried; marking goes on to be harmless."""
    server = Server(failures=1, error=Broken("no such experiment"))
    sender = Sender("a server", server.take, **QUICK)
    sender.mark(0)
    sender._thread.join(10)
    sender.mark(1)
    assert not sender.finish(10)
    assert server.taken == []
    assert len(warnings_in(caplog)) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lr", "lr"),
        ("net/width", "net/width"),
        ("val loss-1.0", "val loss-1.0"),
        ("acc@1", "acc_1"),
        ("top:5", "top_5"),
        ("a~1b", "a_1b"),
        ("a//b", "a__b"),
        ("../up", "_up"),
        ("/root", "_root"),
        (".", "_"),
        ("", "_"),
        ("größe", "größe"),
    ],
)
def test_names_become_what_mlflow_takes(name, expected):
    """Letters, digits and a few signs, as a clean relative path."""
    assert clean_name(name) == expected
    assert re.fullmatch(r"[/\w.\- ]+", expected)  # MLflow's own two rules
    assert posixpath.normpath(expected) == expected


def test_names_stay_apart():
    """Names that differ only in what is replaced, or beyond the limit, are still two."""
    long = "x" * 300
    names = clean_names(["a:b", "a@b", long + "1", long + "2"])
    assert len(set(names.values())) == 4
    assert max(map(len, names.values())) == LONGEST_NAME


def test_parameters_are_texts_within_the_limit():
    """Numbers in full, long values cut, and an object that cannot show itself by its class."""

    class Shy:
        def __repr__(self):
            raise RuntimeError("no")

    found = parameters_of({"lr": 1e-05, "on": True, "none": None, "long": "y" * 9_000, "shy": Shy()})
    assert (found["lr"], found["on"]) == ("1e-05", "True")
    assert found["none"] == "None"
    assert len(found["long"]) == LONGEST_PARAMETER
    assert found["shy"] == "<Shy>"


def test_requests_stay_within_limits():
    """At most 100 parameters and 1,000 entries at once; tags are in the last one; everything is in one."""
    metrics, params, tags = list(range(2_500)), list(range(250)), list(range(20))
    found = list(requests(metrics, params, tags))
    assert [entry for part, _, _ in found for entry in part] == metrics
    assert [entry for _, part, _ in found for entry in part] == params
    assert [list(part) for _, _, part in found] == [[]] * (len(found) - 1) + [tags]
    assert max(len(a) + len(b) + len(c) for a, b, c in found) <= 1_000
    assert max(len(part) for _, part, _ in found) <= 100
    assert list(requests([], [], [])) == []
