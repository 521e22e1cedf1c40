"""A measurement of time runs alone: nothing beside it, and nobody in front of it for ever."""

import threading
import time

import pytest

from prunekit.evaluation.progress import QUIET, Cancelled, Progress
from prunekit.experiments.jobs.queue import Gate, Queue


class Beside:
    """Counts what runs at a time."""

    def __init__(self):
        self.lock, self.now, self.seen = threading.Lock(), [], []

    def work(self, name, seconds=0.05):
        def run(_job):
            with self.lock:
                self.now.append(name)
                self.seen.append(tuple(self.now))
            time.sleep(seconds)
            with self.lock:
                self.now.remove(name)

        return run


def wait(jobs):
    until = time.monotonic() + 30
    while any(job.active for job in jobs):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_jobs_run_together_but_for_those_that_are_alone(monkeypatch):
    monkeypatch.setenv("PRUNEKIT_JOBS", "4")
    queue, beside = Queue(), Beside()
    jobs = [
        queue.submit_local(f"{i}", "t", beside.work(f"{'alone' if i % 3 == 2 else 'free'}{i}"), "me", alone=i % 3 == 2) for i in range(12)
    ]
    wait(jobs)
    queue.close()
    assert [job.state for job in jobs] == ["done"] * 12
    assert all(len(now) == 1 for now in beside.seen if any(name.startswith("alone") for name in now))
    assert any(len(now) > 1 for now in beside.seen), "others run beside each other"


def test_whoever_waits_to_be_alone_is_let_in_before_those_who_come_later():
    gate, order, inside = Gate(), [], threading.Event()

    def alone():
        with gate.enter(True, QUIET):
            order.append("alone")

    def late():
        with gate.enter(False, QUIET):
            order.append("late")

    with gate.enter(False, QUIET):
        first = threading.Thread(target=alone)
        first.start()
        while not gate._asking:
            time.sleep(0.01)
        second = threading.Thread(target=late)
        second.start()
        inside.wait(0.3)
        assert order == []
    first.join(10)
    second.join(10)
    assert order == ["alone", "late"]


def test_waiting_ends_when_it_is_cancelled_and_leaves_the_gate_open():
    gate, cancel = Gate(), threading.Event()
    cancel.set()
    with gate.enter(False, QUIET), pytest.raises(Cancelled), gate.enter(True, Progress(cancel=cancel)):
        pytest.fail("let in")
    with gate.enter(False, QUIET), gate.enter(False, QUIET):
        pass
    with gate.enter(True, QUIET):
        pass


def test_a_part_of_a_job_can_be_alone(monkeypatch):
    monkeypatch.setenv("PRUNEKIT_JOBS", "3")
    queue, beside = Queue(), Beside()

    def timing(job):
        with job.apart():
            beside.work("timed")(job)
        return "done"

    jobs = [queue.submit_local(name, name, beside.work(name), "me") for name in ("a", "b")]
    jobs.append(queue.submit_local("c", "c", timing, "me"))
    wait(jobs)
    assert (
        jobs[2].result == "done" and ("timed",) in beside.seen and not [seen for seen in beside.seen if "timed" in seen and len(seen) > 1]
    )
    queue.close()
