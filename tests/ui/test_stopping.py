"""Cancel stops a job for the one who asks, and for those who have left; whoever still looks goes on."""

from concurrent.futures import Future

import pytest

from prunekit.experiments.jobs.board import Board
from prunekit.ui.shared import measuring


class Never:
    """Begins nothing, so that jobs wait."""

    def submit(self, fn, /, *args):
        return Future()


@pytest.mark.parametrize(("looking", "state"), [({"other"}, "waiting"), (set(), "cancelled")])
def test_a_job_goes_on_while_somebody_else_looks(monkeypatch, looking, state):
    board = Board(None, Never())
    monkeypatch.setattr(measuring, "board", lambda: board)
    monkeypatch.setattr(measuring, "session", lambda: "me")
    monkeypatch.setattr(measuring, "_open", looking.__contains__)
    for by in ("me", "other"):
        job = board.submit_local("key", "a job", lambda job: None, by)
    measuring.stop("key")
    assert job.state == state
    board.close()
