"""Values that visitors share: computed once for each question, whoever asks; kept in bounds."""

import threading

import pytest

from prunekit.ui.shared.cache import LRU, shared


def test_thirty_who_ask_the_same_at_once_have_it_computed_once():
    begun, go, made = threading.Event(), threading.Event(), []

    @shared(4)
    def slow(question):
        begun.set()
        assert go.wait(20)
        made.append(question)
        return object()

    answers = []
    askers = [threading.Thread(target=lambda: answers.append(slow("same"))) for _ in range(30)]
    for asker in askers:
        asker.start()
    assert begun.wait(20)
    go.set()
    for asker in askers:
        asker.join(20)
    assert made == ["same"] and len(answers) == 30 and len(set(map(id, answers))) == 1


def test_another_question_is_not_kept_waiting():
    go = threading.Event()

    @shared(4)
    def ask(question):
        return question if question == "quick" else go.wait(20) and question

    waiting = threading.Thread(target=ask, args=("slow",))
    waiting.start()
    assert ask("quick") == "quick"
    go.set()
    waiting.join(20)
    assert not waiting.is_alive()


def test_the_latest_stay_and_an_unhashed_argument_does_not_tell_values_apart():
    made = []

    @shared(2)
    def ask(question, _how=None):
        made.append(question)
        return question

    for question in (1, 2, 1, 3, 1, 2):
        assert ask(question, _how=[question]) == question
    assert made == [1, 2, 3, 2]  # 2 went for 3: 1 was asked for later
    ask.clear()
    assert ask(question=2) == 2 and made[-1] == 2 and len(made) == 5


def test_heavy_values_go_but_for_the_latest_two_and_light_ones_stay():
    made = []

    @shared(LRU(10, budget=10), weigh=lambda weight: weight)
    def ask(weight):
        made.append(weight)
        return weight

    for weight in (1, 2, 3, 1, 2, 3):
        ask(weight)
    assert made == [1, 2, 3]
    for weight in (100, 200, 100, 200):
        ask(weight)
    assert made == [1, 2, 3, 100, 200]


def test_an_error_is_not_kept():
    made = []

    @shared(2)
    def ask(question):
        made.append(question)
        if len(made) == 1:
            raise ValueError(question)
        return question

    with pytest.raises(ValueError):
        ask("a")
    assert ask("a") == "a" and made == ["a", "a"]


def test_what_was_computed_elsewhere_is_found_and_functions_share_one_place():
    kept, made = LRU(2), []

    @shared(kept)
    def first(question):
        made.append(question)
        return question

    @shared(kept)
    def second(question):
        return -question

    first.put(7, question=1)
    assert first(1) == 7 == first.known(1) and second(1) == -1 and second.known(2) is None and made == []
    assert first.known(1) == 7 and second(2) == -2, "two are kept in all, and the second one's first went"
    assert second.known(1) is None and first(1) == 7
