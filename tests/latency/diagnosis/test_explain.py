"""Each cause alone: evidence that has one cause names that cause and no other, whatever its size and the noise of its times."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import LatencyError
from prunekit.latency.diagnosis.evidence import BETWEEN, Machine, Rounded
from prunekit.latency.diagnosis.explain import TITLES, explain
from prunekit.latency.diagnosis.wording import verdict
from tests.latency.diagnosis import drawn


def named(evidence):
    return [cause.name for cause in explain(evidence)]


@pytest.mark.parametrize("kind", drawn.CAUSES)
@given(n=st.integers(2, 30))
def test_a_model_with_one_cause_has_it_named_and_no_other(kind, n):
    evidence = drawn.CAUSES[kind](n)
    (cause,) = explain(evidence)
    assert cause.name == drawn.name_of(kind) in TITLES
    assert cause.layers == ((BETWEEN,) if kind == "between" else tuple(drawn.names(n)))
    assert 0 < cause.share_of_time <= 1
    assert kind == "between" or cause.share_of_time > 0.7


@pytest.mark.parametrize("kind", drawn.CAUSES)
@given(st.floats(0.2, 50))
def test_the_scale_of_the_numbers_does_not_matter_where_the_machine_scales_along(kind, scale):
    evidence = drawn.CAUSES[kind]()
    larger = [
        replace(
            layer, **{k: getattr(layer, k) * scale for k in ("macs_before", "macs_after", "bytes_before", "bytes_after", "fresh_after")},
            before=drawn.spread(layer.before.ms * scale), after=drawn.spread(layer.after.ms * scale),
        )
        for layer in evidence.layers
    ]  # fmt: skip
    machine = replace(drawn.MACHINE, calls=tuple((kind, s * scale) for kind, s in drawn.MACHINE.calls))
    whole = {when: drawn.spread(getattr(evidence, when).ms * scale) for when in ("before", "after")}
    assert named(replace(evidence, layers=tuple(larger), machine=machine, **whole)) == [drawn.name_of(kind)]


@given(share=st.floats(0.05, 0.9), n=st.integers(1, 30))
def test_a_model_as_fast_as_its_macs_has_nothing_to_explain(share, n):
    assert named(drawn.whole(drawn.good(n, share))) == []


@given(zeros=st.floats(0.3, 0.999), drift=st.floats(0.95, 1.3))
def test_zeros_that_bring_nothing_are_named_with_and_without_layers(zeros, drift):
    evidence = drawn.masked(zeros=zeros, drift=drift)
    assert named(evidence) == named(drawn.without_layers(evidence)) == ["masked"]


@given(zeros=st.floats(0.0, 0.09), drift=st.floats(0.8, 1.3))
def test_few_zeros_are_no_cause(zeros, drift):
    assert "masked" not in named(drawn.masked(zeros=zeros, drift=drift))


def test_zeros_that_a_runtime_skips_are_no_cause():
    layers = [replace(layer, ratio=drawn.ratio(0.3), after=drawn.spread(1.2)) for layer in drawn.masked().layers]
    assert named(drawn.whole(layers, zeros=0.9)) == []


def test_zeros_on_top_of_removed_channels_are_named_when_only_the_shapes_paid():
    layers = [replace(layer, zeros_after=0.8) for layer in drawn.good()]
    evidence = drawn.whole(layers, zeros=0.8)
    assert named(evidence) == named(drawn.without_layers(evidence)) == ["masked"]
    assert "as its shapes alone explain (0.25)" in explain(evidence)[0].sentence


def test_dense_layers_beside_sparse_ones_are_named_for_their_own_zeros():
    sparse, dense = drawn.sparse_kernel(2), drawn.masked(2)
    fast = [replace(layer, ratio=drawn.ratio(0.2), after=drawn.spread(0.2)) for layer in sparse.layers]
    others = [replace(layer, name=f"other{layer.name}") for layer in dense.layers]
    (cause,) = explain(drawn.whole([*fast, *others], zeros=0.7, runtime="sparse linear (CSR)"))
    assert cause.name == "masked" and cause.layers == tuple(layer.name for layer in others)


@given(st.floats(0.02, 0.95))
def test_a_sparse_kernel_that_pays_is_no_cause(faster):
    assert "sparse_kernel" not in named(drawn.sparse_kernel(slower=faster))


@pytest.mark.parametrize(
    ("limit", "says"), [(None, "the break-even of this machine"), (0.0, "at no density that was measured"), (0.2, "less than 20 %")]
)
def test_the_advice_on_a_sparse_kernel_follows_its_break_even(limit, says):
    assert says in explain(drawn.sparse_kernel(limit=limit))[0].advice


def test_memory_and_overhead_need_the_machines_figures():
    for evidence in (drawn.memory(), drawn.overhead()):
        (cause,) = explain(replace(evidence, machine=None))
        assert cause.name == "kernels" and "machine's figures" in cause.sentence


def test_a_wide_interval_names_no_layer():
    layers = [replace(layer, ratio=drawn.ratio(layer.ratio.value, 0.9)) for layer in drawn.memory().layers]
    assert named(drawn.whole(layers)) == []


def test_a_lag_that_costs_next_to_nothing_is_not_named():
    tiny = [replace(layer, name="tiny") for layer in drawn.overhead(1).layers]
    assert named(drawn.whole([*drawn.good(), *tiny])) == []


def test_two_causes_stand_in_the_order_of_their_time():
    small, large = drawn.memory(2, 0.5), drawn.kernels(3)
    evidence = drawn.whole([*(replace(layer, name=f"m{layer.name}") for layer in small.layers), *large.layers])
    assert named(evidence) == ["kernels", "memory"]
    shares = [cause.share_of_time for cause in explain(evidence)]
    assert shares == sorted(shares, reverse=True)


@given(gain=st.floats(1.04, 3), more=st.floats(1.0, 1.5))
def test_rounding_that_costs_time_is_no_cause(gain, more):
    assert "odd_channels" not in named(drawn.odd(gain=gain, more=more))


def test_rounding_that_is_as_fast_is_named_where_it_gives_more_channels():
    assert named(drawn.odd(gain=0.999, more=1.1))[0] == "odd_channels"
    assert "odd_channels" not in named(drawn.odd(gain=0.999, more=1.01))


@given(st.floats(0.5, 0.95))
def test_rounding_that_gains_no_more_than_the_macs_it_saves_is_no_cause(less):
    assert "odd_channels" not in named(replace(drawn.odd(), rounded=Rounded(drawn.ratio(less), less)))
    assert "odd_channels" in named(replace(drawn.odd(), rounded=Rounded(drawn.ratio(0.9 * less), less)))


def test_a_model_without_odd_layers_has_no_odd_channels():
    even = [replace(layer, channels_after=(64, 64)) for layer in drawn.odd().layers]
    assert "odd_channels" not in named(drawn.whole(even, rounded=drawn.odd().rounded))


def test_channels_that_cost_nothing_because_calls_decide_are_not_called_odd():
    layers = [replace(layer, channels_before=(64, 64), channels_after=(31, 31)) for layer in drawn.overhead().layers]
    assert named(drawn.whole(layers, rounded=Rounded(drawn.ratio(1.0, 0.005), 1.1))) == ["overhead"]


def test_a_faster_rounder_model_is_named_even_where_the_promise_is_kept():
    layers = [replace(layer, channels_before=(96, 96), channels_after=(61, 61)) for layer in drawn.good()]
    assert named(drawn.whole(layers, rounded=Rounded(drawn.ratio(0.8), 1.1))) == ["odd_channels"]


@pytest.mark.parametrize("kind", drawn.CAUSES)
def test_every_sentence_is_whole_and_every_cause_says_what_to_do(kind):
    evidence = drawn.CAUSES[kind]()
    for cause in explain(evidence):
        for text in (cause.sentence, cause.advice, verdict(evidence)):
            assert text[0].isalnum() and text.endswith(".") and "  " not in text and not re.search(r"\b(nan|inf|None)\b", text)
        assert re.search(r"\d", cause.sentence) and cause.title == TITLES[cause.name]


def test_sentences_hold_the_measured_numbers():
    (cause,) = explain(drawn.memory(3))
    assert (
        "4.00× fewer MACs" in cause.sentence
        and "but 2.70 ms instead of 5.40 ms" in cause.sentence
        and "2.00× fewer bytes" in cause.sentence
    )
    (cause,) = explain(drawn.overhead(20))
    assert "20 empty calls alone take 0.100 ms" in cause.sentence
    (cause,) = explain(drawn.masked(5))
    assert "90 % of the weights" in cause.sentence and "block0.conv, block1.conv, block2.conv and 2 more layers" in cause.sentence


@given(st.floats(0.1, 3))
def test_the_verdict_says_faster_slower_or_neither(value):
    evidence = replace(drawn.kernels(), ratio=drawn.ratio(value))
    text = verdict(evidence)
    word = "no measurable difference" if not evidence.ratio.different else "faster" if value < 1 else "slower"
    assert word in text and "promise 4.00×" in text


def test_the_frame_holds_every_layer_and_what_lies_between_them():
    evidence = drawn.between(4)
    frame = evidence.to_frame()
    assert list(frame["layer"]) == [*drawn.names(4), BETWEEN]
    assert math.isclose(frame["ms_after"].sum(), evidence.after.ms) and math.isclose(frame["ms_before"].sum(), evidence.before.ms)
    assert drawn.without_layers(evidence).to_frame().empty


@given(st.floats(1, 1e9), st.floats(1, 1e9))
def test_more_bytes_never_take_less_time_at_one_rate_and_a_cache_is_never_slower(a, b):
    low, high = sorted((a, b))
    machine = replace(drawn.MACHINE, copies=((1e5, 5e10), (1e7, 1e10)))
    assert drawn.MACHINE.memory_ms(low) <= drawn.MACHINE.memory_ms(high)
    assert machine.memory_ms(a) <= drawn.MACHINE.memory_ms(a) * 1.0001


def test_new_memory_may_cost_more_than_a_copy():
    machine = replace(drawn.MACHINE, fresh=((1e4, 1e10), (1e8, 5e8)))
    assert machine.memory_ms(2e8, 1e8) == pytest.approx(10 + 200) and drawn.MACHINE.memory_ms(2e8, 1e8) == pytest.approx(20)


@pytest.mark.parametrize(
    "wrong", [{"copies": ()}, {"fresh": ()}, {"macs_s": 0.0}, {"calls": ()}, {"macs_s": math.nan}, {"calls": (("Linear", -1.0),)}]
)
def test_a_machine_without_sound_figures_is_refused(wrong):
    with pytest.raises(LatencyError, match="positive"):
        Machine(**{"copies": ((1e6, 1e9),), "fresh": ((1e6, 1e9),), "macs_s": 1e9, "calls": (("Linear", 1e-6),)} | wrong)


def looked_up(rows, before=1.0, after=1.0, share=0.5):
    """A table with so many rows before and after, beside a linear layer that is as it was."""
    table = drawn.layer("table", before, after, (0, 0), (1e6, 1e6), kind="Linear", rows_before=rows[0], rows_after=rows[1])
    linear = drawn.layer("linear", 1.0 / share - 1, 1.0 / share - 1, (1e8, 1e8), (1e6, 1e6), kind="Linear")
    return drawn.whole([table, linear])


def test_rows_that_are_gone_save_no_lookup_and_that_is_said_though_no_mac_promised_it():
    (cause,) = explain(looked_up((1000, 200)))
    assert (cause.name, cause.layers) == ("lookups", ("table",)) and cause.share_of_time == pytest.approx(0.5, rel=0.05)
    assert "(200 of 1,000 are left)" in cause.sentence and "Memory decides: those bytes alone take 0.100 ms" in cause.sentence
    assert named(looked_up((1000, 950))) == [], "hardly any went, and the promise is kept"
    assert named(looked_up((1000, 200), before=8.0, after=1.0)) == [], "it did get faster"
    few = drawn.layer("linear", 4.0, 4.0, (1e8, 2e7), (1e6, 1e6), zeros_after=0.0)
    table = drawn.layer("table", 4.0, 4.0, (0, 0), (1e6, 1e6), kind="Linear", rows_before=1000, rows_after=1000)
    assert "lookups" in named(drawn.whole([few, table])), "half of a pass that does not keep its promise"
    zeros = drawn.whole([replace(table, zeros_after=0.9), drawn.layer("linear", 1.0, 1.0, (1e8, 1e8), (1e6, 1e6))], zeros=0.8)
    assert "lookups" in named(zeros) and "masked" not in named(zeros), "nothing is multiplied there"
