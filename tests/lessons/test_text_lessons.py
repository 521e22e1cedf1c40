"""The lessons on a language model: heads off are zeros, and a name is closed where the model's own scores say so."""

from __future__ import annotations

import pytest
import torch

from prunekit.errors import DataError
from prunekit.lessons import closing, heads
from prunekit.lessons.course import answer_of


def test_heads_and_layers_that_are_off_add_nothing():
    dense, _, _ = heads.ground()
    before = {name: each.clone() for name, each in dense.state_dict().items()}
    small = heads.switched_off(dense, (9, 41))  # head 2 of layer 2, and layer 2 as a whole: what enters it comes out
    ids = torch.arange(40)[None]
    entered, seen, inside = [], [], []
    small.blocks[1].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    small.blocks[2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    small(ids)
    torch.testing.assert_close(seen[0], entered[0])
    one = heads.switched_off(dense, (9,))
    one.blocks[1].attention.out.register_forward_pre_hook(lambda _, inputs: inside.append(inputs[0]))
    one(ids)
    expected = torch.nn.functional.linear(
        torch.cat([inside[0][..., :16], 0 * inside[0][..., 16:32], inside[0][..., 32:]], -1),
        dense.blocks[1].attention.out.weight,
        dense.blocks[1].attention.out.bias,
    )
    torch.testing.assert_close(one.blocks[1].attention.out(inside[0]), expected)
    assert all(torch.equal(each, before[name]) for name, each in dense.state_dict().items())


def test_without_the_first_layer_the_network_is_lost_and_a_strange_letter_is_refused():
    found = answer_of(10, off=(40, 3), text="KING")
    assert found.value == "Layer 1" and found.numbers["now"] > 10 * found.numbers["dense"]
    assert found.numbers["heads_off"] == 8 and found.frames["strip"]["kept"].sum() == 32
    assert found.frames["bars"]["dense"].is_monotonic_decreasing
    with pytest.raises(DataError, match="alphabet"):
        answer_of(10, text="[")


def test_a_name_is_closed_by_a_colon_behind_it_and_none_before():
    split = closing.names().validation.take(range(6))
    colon = int(split.coding.ids(":", "")[0])
    for i in range(6):
        told = split.following[i][split.following[i] != closing.IGNORED]
        assert closing.NAME.search("\n\n" + split.text(i).rpartition("\n\n")[2] + "\n") or split.text(i).endswith(":")
        assert told[-2] == colon and split.coding.tokeniser.decode([int(told[-1])]) == "\n"

    class Says(torch.nn.Module):
        def __init__(self, early):
            super().__init__()
            self.early = early

        def forward(self, ids):
            scores = torch.zeros(*ids.shape, 65)
            scores[:, -2, colon] = 1
            scores[:, -3, colon] = float(self.early)
            return scores

    assert closing.closes(Says(early=False), split).all() and not closing.closes(Says(early=True), split).any()


@pytest.mark.slow
def test_names_need_a_small_part_of_the_network_once_they_are_practised():
    found = answer_of(11, least=80, repair="practice")
    assert found.value > 80 and found.numbers["quotes"] == 0 and found.numbers["at"] >= 0.8
    assert (found.frames["widths"].after <= found.frames["widths"].before).all() and len(found.frames["strip"]) == 40
