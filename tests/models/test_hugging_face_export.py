"""A pruned model of transformers opens without prunekit, by its configuration alone, and answers the same."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError, PrunekitError
from prunekit.models.hugging_face_export import export_hugging_face, pruned_config
from prunekit.models.info import remember
from prunekit.pruning import prune
from tests import hf_folders

transformers = pytest.importorskip("transformers")
IDS = torch.arange(24).view(2, 12) + 3
KINDS = ("llama", "qwen2", "gpt2", "bert")
OPEN = """
import sys, torch, transformers
from safetensors.torch import save_file
autos = {"bert": transformers.AutoModelForSequenceClassification}
found = {}
for kind in sys.argv[2:]:
    model = autos.get(kind.partition(" ")[0], transformers.AutoModelForCausalLM).from_pretrained(f"{sys.argv[1]}/{kind}").eval()
    with torch.inference_mode():
        found[kind] = model(torch.arange(24).view(2, 12) + 3).logits.contiguous()
assert "prunekit" not in sys.modules
save_file(found, f"{sys.argv[1]}/logits.safetensors")
"""


class Scores(nn.Module):
    """A model of words that takes floats and gives its scores alone."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.abs().mul(9).long().clamp(3, hf_folders.WORDS - 1)).logits


def pruned(kind, **changes):
    """Return a model that lost the same of every layer: what its configuration can say of it."""
    model = Scores(hf_folders.model(kind))
    inner = ("intermediate.dense", "c_fc")
    layers = None if kind in ("llama", "qwen2") else tuple(n for n, _ in model.named_modules() if n.endswith(inner))
    spec = PruneSpec(**{"mode": "structured", "scope": "uniform", "sparsity": 0.375, "layers": layers, **changes})
    return prune(model.eval(), spec, input_shape=(12,)).model.net


@pytest.mark.slow
def test_models_pruned_evenly_open_in_a_process_without_prunekit_with_the_same_logits(tmp_path):
    expected = {}
    for kind in KINDS:
        model, dense = pruned(kind), hf_folders.model(kind)
        export_hugging_face(model, tmp_path / kind)
        told = transformers.AutoConfig.from_pretrained(tmp_path / kind)
        mine = told.n_inner if kind == "gpt2" else told.intermediate_size
        assert mine < (128 if kind == "gpt2" else 48)
        if kind in ("llama", "qwen2"):
            assert (told.num_attention_heads, told.num_key_value_heads, told.head_dim) == (2, 1, 8) and told.hidden_size < 32
        assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in dense.parameters())
        with torch.inference_mode():
            expected[kind] = model(IDS).logits
    for kind, stack in (("llama", "model.layers"), ("gpt2", "transformer.h"), ("bert", "bert.encoder.layer")):
        model, name = pruned(kind, blocks=(f"net.{stack}.0",), sparsity=0.0), f"{kind} without a layer"
        export_hugging_face(model, tmp_path / name)
        assert transformers.AutoConfig.from_pretrained(tmp_path / name).num_hidden_layers == 1
        with torch.inference_mode():
            expected[name] = model(IDS).logits
    hidden = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", OPEN, str(tmp_path), *expected], check=True, cwd=tmp_path, env=hidden, capture_output=True)
    for kind, logits in load_file(tmp_path / "logits.safetensors").items():
        torch.testing.assert_close(logits, expected[kind], rtol=1e-5, atol=1e-5)


def test_layers_that_differ_or_heads_that_do_not_fit_are_refused_with_what_to_do(tmp_path):
    uneven = pruned("llama", scope="global", layers=tuple(f"net.model.layers.0.mlp.{name}_proj" for name in ("gate", "up")))
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.gate_proj.*scope uniform"):
        export_hugging_face(uneven, tmp_path / "out")
    with pytest.raises(ModelError, match="cannot say what this model is"):
        pruned_config(pruned("bert", layers=None))
    with pytest.raises(ModelError, match=r"hidden size by heads, 32 by 3 here.*whole layers go.*archive of prunekit"):
        pruned_config(pruned("gpt2", layers=None, units=("heads",), sparsity=0.25))
    with pytest.raises(ModelError, match="holds a model of transformers"):
        export_hugging_face(nn.Linear(2, 2), tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_sixteen_bits_tokeniser_and_pooled_head_come_along_and_nothing_else_is_overwritten(tmp_path):
    name = hf_folders.write(tmp_path / "dense", "encoder", dtype=torch.bfloat16)
    model = prunekit.load_model(name)
    masked = prune(model, PruneSpec(sparsity=0.5)).model
    remember(masked, prunekit.info(model))
    written = export_hugging_face(masked, tmp_path / "out")
    again = prunekit.load_model(f"hf:{written}")
    with torch.inference_mode():
        assert torch.equal(again(IDS), masked(IDS)) and again(IDS).dtype == torch.bfloat16
    assert prunekit.info(again).tokeniser.encode("w5") == [5]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(PrunekitError, match="holds something else"):
        export_hugging_face(masked, tmp_path / "mine")
