"""Whole layers of a transformer: their influence by its definition, and a smaller model that is the dense one passing them by."""

import pytest
import torch
from torch.utils.data import TensorDataset

from prunekit.errors import PruningError
from prunekit.models.hugging_face_export import export_hugging_face
from prunekit.models.state import state_hash
from prunekit.pruning.whole_layers import block_influence, least_influential, without_layers
from tests import hf_folders

transformers = pytest.importorskip("transformers")
IDS = torch.randint(3, hf_folders.WORDS, (5, 9), generator=torch.Generator().manual_seed(0))
STACK = {"llama": "model.layers", "gpt2": "transformer.h", "bert": "bert.encoder.layer"}


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


def test_a_layer_that_is_not_there_and_all_of_them_are_refused():
    model = hf_folders.model("llama")
    with pytest.raises(PruningError, match="layers that go"):
        without_layers(model, ("model.layers.9",))
    with pytest.raises(PruningError, match="let one stay"):
        without_layers(model, ("model.layers.0", "model.layers.1"))
