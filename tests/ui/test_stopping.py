"""Cancel stops a job for the one who asks, and for those who have left; whoever still looks goes on."""

from concurrent.futures import Future

import pytest
from streamlit.testing.v1 import AppTest

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


def test_a_job_whose_settings_were_changed_is_named_on_its_page_with_the_way_back(tab):
    one = tab("sensitivity", model="digits_cnn", seed=7, criterion="random")
    one.ask("measure_sensitivity").set("pick_criterion", "l2")
    line = next(caption.value for caption in one.app.caption if "with other settings" in caption.value)
    assert line.startswith("**Sensitivity of Digits, convolutional, unstructured**, asked for here with other settings, is ")
    assert not any("with other settings" in caption.value for caption in one.go("prune").app.caption)
    one.go("sensitivity").click(next(button.key for button in one.app.button if str(button.key).startswith("back_")))
    assert one.address["criterion"] == "random" and not any("with other settings" in caption.value for caption in one.app.caption)


def test_a_fragment_may_end_a_page():
    def script():
        import streamlit as st

        from prunekit.ui.components import show

        @st.fragment
        def part():
            st.write("above")
            show.end_page()

        part()
        st.write("below")

    app = AppTest.from_function(script, default_timeout=30).run()
    assert not app.exception and [text.value for text in app.markdown] == ["above"]
