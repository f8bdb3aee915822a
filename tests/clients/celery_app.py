"""Two tasks, and what is done with them: ``python -m tests.clients.celery_app SCENARIO``.

Tasks travel through a folder, results through the server. It is a process of its own because a result that is
forgotten talks to the server whenever Python happens to collect it.
"""

from __future__ import annotations

import os
import sys

import celery

FOLDER = os.environ["CLIENTS_FOLDER"]

app = celery.Celery("clients", broker="filesystem://", backend=os.environ["CLIENTS_URL"], set_as_current=False)
app.conf.update(
    broker_transport_options={
        **dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), FOLDER),
        "polling_interval": 0.05,
    },
    result_backend_always_retry=False,
    redis_socket_timeout=20,
    worker_proc_alive_timeout=20,
)


def _add(a: int, b: int) -> int:
    return a + b


def _total(numbers: list[int]) -> int:
    return sum(numbers)


add = app.task(_add, name="add")
total = app.task(_total, name="total")


def a_result_is_kept() -> None:
    app.backend.store_result("id", {"answer": 42}, "SUCCESS")
    assert app.backend.get_result("id") == {"answer": 42}
    app.backend.forget("id")
    assert app.backend.get_state("id") == "PENDING"


def a_worker_answers() -> None:
    assert add.delay(2, 3).get(timeout=60) == 5


def a_group() -> None:
    assert celery.group(add.s(number, 1) for number in range(5))().get(timeout=60) == [1, 2, 3, 4, 5]


def a_chord() -> None:
    assert celery.chord([add.s(number, 1) for number in range(5)])(total.s()).get(timeout=20) == 15


if __name__ == "__main__":
    globals()[sys.argv[1]]()
