"""A row of work belongs to whoever does it: what another one notes of it is not taken."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from prunekit.experiments.job_rows import STALE_S, JobRow, alive, new_owner

ROW = JobRow("key", "a title", "sweep", {"a": 1}, "running", 0.5, "half", owner="one", heartbeat=1.0, created=1.0)


def test_only_the_owner_notes_how_far_its_work_is(kept):
    assert kept.jobs.take(ROW, None)
    kept.jobs.note(replace(ROW, owner="two", state="failed", fraction=0.1))
    assert kept.jobs.get("key").values() == ROW.values()
    kept.jobs.note(replace(ROW, fraction=0.7, heartbeat=2.0))
    assert kept.jobs.get("key").values() == replace(ROW, fraction=0.7, heartbeat=2.0).values()
    kept.jobs.release("two")
    assert kept.jobs.get("key").owner == "one"


def test_a_process_is_known_by_its_id_and_its_beginning() -> None:
    me = new_owner()
    assert new_owner() != me  # each board has a name of its own
    assert alive(me, 0.0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = {**json.loads(me), "pid": child.pid, "began": psutil.Process(child.pid).create_time()}
    assert alive(json.dumps(told), 0.0)
    child.kill()
    child.wait()
    assert not alive(json.dumps(told), time.time())
    assert not alive(json.dumps({**json.loads(me), "began": "long ago"}), time.time())


def test_a_process_on_another_machine_is_known_by_its_heartbeat() -> None:
    told = json.dumps({**json.loads(new_owner()), "host": "another"})
    assert alive(told, time.time())
    assert not alive(told, time.time() - STALE_S - 1)


@pytest.mark.parametrize("told", ["", "{}", "[]", "nonsense", '{"host": 1, "pid": "x", "began": ""}'])
def test_nobody_is_dead(told: str) -> None:
    assert not alive(told, time.time())
