"""A row of work belongs to whoever does it: what another one notes of it is not taken."""

from dataclasses import replace

from prunekit.experiments.job_rows import JobRow

ROW = JobRow("key", "sweep", {"a": 1}, "a title", "running", 0.5, "half", "", "", "one", 1.0, 1.0)


def test_only_the_owner_notes_how_far_its_work_is(kept):
    assert kept.jobs.take(ROW, None)
    kept.jobs.note(replace(ROW, owner="two", state="failed", fraction=0.1))
    assert kept.jobs.get("key") == ROW
    kept.jobs.note(replace(ROW, fraction=0.7, heartbeat=2.0))
    assert kept.jobs.get("key") == replace(ROW, fraction=0.7, heartbeat=2.0)
    kept.jobs.release("two")
    assert kept.jobs.get("key").owner == "one"
