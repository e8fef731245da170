"""Requests go first, and never more work at once than there are cores."""

import threading
import time

import numpy as np
import pytest

from service.cores import Cores, GivesWay
from tests.fakes import FakeEncoder


def started(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_job_makes_room_for_a_request_and_goes_on_after_it():
    cores, gone, happened = Cores(1), threading.Event(), []
    inside, asked = threading.Event(), threading.Event()

    def job() -> None:
        with cores.spare(gone):
            inside.set()
            assert asked.wait(10)
            cores.give_way(gone)
            happened.append("job")

    thread = started(job)
    assert inside.wait(10)
    with cores.wanted():
        asked.set()
        with cores.taken():
            time.sleep(0.05)
            happened.append("request")
    thread.join(10)
    assert happened == ["request", "job"]


def test_a_job_waits_while_requests_want_every_core():
    cores, gone = Cores(2), threading.Event()
    ran = threading.Event()

    def job() -> None:
        with cores.spare(gone):
            ran.set()

    with cores.wanted():
        with cores.wanted():
            thread = started(job)
            assert not ran.wait(0.1)
        assert ran.wait(10)
    thread.join(10)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_more_work_than_cores(count):
    cores, gone, lock, over = Cores(count), threading.Event(), threading.Lock(), threading.Event()
    at_work, most, done = 0, 0, []

    def count_work(change: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work += change
            most = max(most, at_work)

    def request() -> None:
        for _ in range(20):
            with cores.wanted(), cores.taken():
                count_work(1)
                time.sleep(0.001)
                count_work(-1)

    def job() -> None:
        with cores.spare(gone):
            while not over.is_set():
                count_work(1)
                time.sleep(0.001)
                count_work(-1)
                done.append(1)
                cores.give_way(gone)

    jobs = [started(job) for _ in range(2)]
    requests = [started(request) for _ in range(count + 2)]
    for thread in requests:
        thread.join(30)
    over.set()
    for thread in jobs:
        thread.join(30)
        assert not thread.is_alive()
    assert 1 <= most <= count
    assert done


def test_a_job_that_is_no_longer_wanted_stops_waiting():
    cores, gone = Cores(1), threading.Event()
    with cores.wanted():
        gone.set()
        with pytest.raises(TimeoutError), cores.spare(gone):
            pytest.fail("it got a core")
    gone.clear()
    with pytest.raises(TimeoutError):
        give_way_when_gone(cores, gone)
    # Nothing is left taken.
    with cores.wanted(), cores.taken():
        pass


def give_way_when_gone(cores: Cores, gone: threading.Event) -> None:
    with cores.spare(gone), cores.wanted():
        gone.set()
        cores.give_way(gone)


def test_a_job_gives_way_in_the_middle_of_its_wait():
    cores, gone = Cores(1), threading.Event()
    threading.Timer(0.1, gone.set).start()
    with cores.spare(gone), cores.wanted(), pytest.raises(TimeoutError):
        cores.give_way(gone)
    with cores.wanted(), cores.taken():
        pass


def test_the_encoder_that_gives_way_says_the_same():
    rng = np.random.default_rng(1)
    windows = [rng.integers(0, 11, size=n).astype(np.int64) for n in rng.integers(1, 200, size=40)]
    looked = []
    polite = GivesWay(FakeEncoder(), lambda: looked.append(1)).encode(windows)
    plain = FakeEncoder().encode(windows)
    assert len(polite) == len(plain)
    assert all(np.array_equal(a, b) for a, b in zip(polite, plain, strict=True))
    assert len(looked) > 4
    assert GivesWay(FakeEncoder(), looked.clear).encode([]) == []
