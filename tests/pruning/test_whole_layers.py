"""Whole layers of a transformer: their influence by its definition, and a smaller model that is the dense one passing them by."""

import pytest
import torch
from torch.utils.data import TensorDataset

from prunekit import PruneSpec
from prunekit.errors import DataError, PruningError, SpecError
from prunekit.models.attention.transformers_sizes import number_layers
from prunekit.models.hugging_face_export import export_hugging_face, without_gaps
from prunekit.models.identity_blocks import PASSES, replace_module, stand_in
from prunekit.models.meta_copy import copied
from prunekit.models.rebuilding import apply_widths
from prunekit.models.state import state_hash
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from prunekit.pruning.structured.depth import block_influence, least_influential
from tests import hf_folders

transformers = pytest.importorskip("transformers")
IDS = torch.randint(3, hf_folders.WORDS, (5, 9), generator=torch.Generator().manual_seed(0))
STACK = {"llama": "model.layers", "gpt2": "transformer.h", "bert": "bert.encoder.layer"}


def without_layers(model, names):
    """Return a copy of a model without some of its layers; what stays is numbered anew."""
    small = copied(model)
    for name in names:
        replace_module(small, name, stand_in(PASSES))
    number_layers(small)
    return without_gaps(small)


def passed_by(_module, args, out):
    return args[0] if torch.is_tensor(out) else (args[0], *out[1:])


@pytest.mark.parametrize("kind", STACK)
def test_influence_is_the_cosine_and_a_model_without_layers_passes_them_by(kind, tmp_path):
    changes = {"n_layer": 4} if kind == "gpt2" else {"num_hidden_layers": 4}
    model = hf_folders.model(kind, use_cache=False, **changes)
    before, names = state_hash(model), [f"{STACK[kind]}.{i}" for i in range(4)]
    with torch.no_grad():
        hidden = model(IDS, output_hidden_states=True).hidden_states
    found = block_influence(model, TensorDataset(IDS, torch.zeros(5, dtype=torch.int64)))
    assert list(found) == names
    for i, name in enumerate(names[:3]):  # the last one's output may be normalised there
        assert found[name] == pytest.approx(1 - float(torch.cosine_similarity(hidden[i], hidden[i + 1], dim=-1).mean()), abs=1e-5)
    going = least_influential(found, 2)
    assert len(going) == 2 and max(found[name] for name in going) <= min(found[name] for name in names if name not in going)
    small = without_layers(model, (names[0], names[2]))
    handles = [model.get_submodule(name).register_forward_hook(passed_by) for name in (names[0], names[2])]
    with torch.no_grad():
        torch.testing.assert_close(small(IDS).logits, model(IDS).logits)
    for handle in handles:
        handle.remove()
    assert state_hash(model) == before and (model.config.num_hidden_layers, small.config.num_hidden_layers) == (4, 2)
    export_hugging_face(small, tmp_path / "out")
    again = type(small).from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(IDS).logits, small(IDS).logits)


@pytest.mark.parametrize("kind", [pytest.param("llama", marks=pytest.mark.slow), "bert"])  # the second normalises behind its sums
def test_a_setting_takes_the_layers_of_the_least_influence_and_leaves_the_others_their_names(kind, tmp_path):
    model = hf_folders.model(kind, use_cache=False, num_hidden_layers=4)
    names, data = [f"{STACK[kind]}.{i}" for i in range(4)], TensorDataset(IDS, torch.zeros(5, dtype=torch.int64))
    spec = PruneSpec(mode="structured", remove_layers=2)
    result = prune(model, spec, data, input_shape=IDS)
    gone = least_influential(block_influence(model, data, blocks=names), 2)
    assert result.plan.blocks == gone and result.proof.passed and spec.sparsity == 0 and PruneSpec.from_dict(spec.to_dict()) == spec
    assert result.after.params == sum(p.numel() for p in without_layers(model, gone).parameters())
    with torch.no_grad():
        torch.testing.assert_close(result.model(IDS).logits, without_layers(model, gone)(IDS).logits)
    again = hf_folders.model(kind, use_cache=False, num_hidden_layers=4)
    apply_widths(again, widths(result.model), result.model.state_dict())
    again.load_state_dict(result.model.state_dict())
    export_hugging_face(result.model, tmp_path / "out")
    alone = type(model).from_pretrained(tmp_path / "out").eval()
    assert alone.config.num_hidden_layers == 2 and model.config.num_hidden_layers == 4
    with torch.no_grad():
        torch.testing.assert_close(again(IDS).logits, result.model(IDS).logits)
        torch.testing.assert_close(alone(IDS).logits, result.model(IDS).logits)
    if kind == "llama":  # keys and values are kept by the number of a layer
        asked = {"max_new_tokens": 4, "do_sample": False}
        assert torch.equal(again.generate(IDS[:1], use_cache=True, **asked), alone.generate(IDS[:1], use_cache=False, **asked))


def test_layers_by_influence_say_what_they_need():
    model, few = hf_folders.model("llama"), {"mode": "structured", "remove_layers": 1}
    assert PruneSpec(**few, blocks=("model.layers.1",)).depth == 0 and PruneSpec(**few).looks_at_data
    with pytest.raises(SpecError, match="give either"):
        PruneSpec(**few, depth=0.5)
    with pytest.raises(SpecError, match="belongs to mode 'structured'"):
        PruneSpec(remove_layers=1)
    with pytest.raises(DataError, match="looks at training data"):
        prune(model, PruneSpec(**few), input_shape=IDS)
    with pytest.raises(PruningError, match="3 layers are to go, and 2 may"):
        prune(model, PruneSpec(mode="structured", remove_layers=3), TensorDataset(IDS, torch.zeros(5)), input_shape=IDS)
