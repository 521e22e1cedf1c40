"""The lessons compute with one thread and leave the number of threads as it was."""

import pytest
import torch

from prunekit.lessons import budgets as budget_module
from prunekit.lessons import course, presets
from prunekit.lessons.budgets import at_equal_budgets
from prunekit.lessons.course import answer_of
from prunekit.lessons.presets import measure, preset
from prunekit.lessons.settings import one_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seen(monkeypatch):
    """How many threads there were when a model was loaded, or looked at."""
    found = []
    for module in (presets, course.heal):
        kept = module.model_of
        monkeypatch.setattr(module, "model_of", lambda settings, kept=kept: (found.append(torch.get_num_threads()), kept(settings))[1])
    return found


@pytest.mark.usefixtures("two_threads")
def test_there_is_one_thread_meanwhile_and_as_many_as_before_afterwards():
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_leaves_the_number_as_it_was():
    with pytest.raises(ValueError, match="in between"), one_thread():
        raise ValueError("in between")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_lessons_presets_and_budgets_compute_with_one_thread(seen, monkeypatch, cnn, data):
    answer_of(6, epochs=1)
    measure(preset("random"))
    monkeypatch.setattr(budget_module, "_times", lambda *_, **__: seen.append(torch.get_num_threads()) or (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):
        at_equal_budgets(cnn, data, "params", 0.3)
    assert len(seen) >= 3
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
