"""The cell for steps: evaluates leaf after leaf, and says which step it is at."""

from __future__ import annotations

from multiprocessing.connection import Connection

import cloudpickle

from prefect_tune.tasks.evaluation import evaluate_batch
from prefect_tune.tasks.isolation.limits import At, Watch
from prefect_tune.tasks.isolation.protocol import Ask, Ended, Raised
from prefect_tune.tasks.isolation.serving import answer_all, flush
from prefect_tune.tasks.outcome import OWN, travelling


def serve(descriptor: int) -> None:
    """Answers every `Ask` on the socket; returns when the other end is closed."""
    connection = Connection(descriptor)

    def answer(ask: Ask) -> Ended | Raised:
        connection.send(At())  # it has started, and imported what it needs to understand the question
        watch = Watch(connection, ask.stopped)
        try:
            return Ended(evaluate_batch(ask.search, ask.batch, watch, last=ask.last))
        except OWN as error:
            return Raised(cloudpickle.dumps(travelling(error)))

    answer_all(connection, answer)
    flush()
