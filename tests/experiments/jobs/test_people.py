"""Whoever waits for a page comes first: jobs rest meanwhile, and still go on."""

import threading
import time

from prunekit.evaluation.progress import Progress
from prunekit.experiments.jobs.job import Job, People


def test_a_job_rests_while_somebody_waits_and_goes_on_after():
    people = People()
    progress, done = Progress(pause=people.pause()), threading.Event()

    def work():
        time.sleep(0.1)  # so that it would rest for long
        progress.check()
        done.set()

    with people.first():
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(5)
    thread.join()


def test_a_job_goes_on_however_many_wait():
    people, rests = People(), []
    pause = people.pause()
    with people.first(), people.first():
        for _ in range(5):
            begun = time.monotonic()
            time.sleep(0.001)
            worked = time.monotonic() - begun
            pause()
            rests.append((time.monotonic() - begun - worked) / worked)
    assert len(rests) == 5 and min(rests) > 1, "it comes back each time, and rests longer than it worked"


def test_work_of_a_job_is_told_to_rest():
    assert Job("key", "title").progress.pause is not Progress().pause
