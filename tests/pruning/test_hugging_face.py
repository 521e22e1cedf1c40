"""Language and image models of transformers, small and with random weights: heads, inner and hidden widths go, and forward() still fits."""

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.models.hugging_face_export import export_hugging_face
from prunekit.models.layers import prunable_layers
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink
from tests import hugging_face as families
from tests.hugging_face import FAMILIES, pruned, sound

transformers = pytest.importorskip("transformers")

WORDS = 40
ENCODER = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
DECODER = {**ENCODER, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 32}
GROUPED = {**DECODER, "num_key_value_heads": 2}
EXPERTS = {**GROUPED, "num_experts_per_tok": 2}
GPT2 = {"vocab_size": WORDS, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
T5 = {"vocab_size": WORDS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
IMAGES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 16, "patch_size": 8}
# class, its configuration's class, options; whether the heads go
WORD_MODELS = {
    "bert": ("BertForSequenceClassification", "BertConfig", ENCODER),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {**EXPERTS, "num_local_experts": 4}),
    "opt": ("OPTForCausalLM", "OPTConfig", {**DECODER, "ffn_dim": 48, "word_embed_proj_dim": 32}),
}
MORE = {
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", ENCODER),
    "albert": ("AlbertForSequenceClassification", "AlbertConfig", {**ENCODER, "embedding_size": 16}),
    "electra": ("ElectraForSequenceClassification", "ElectraConfig", {**ENCODER, "embedding_size": 16}),
    "mpnet": ("MPNetForSequenceClassification", "MPNetConfig", ENCODER),
    "gpt-neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", DECODER),
    "mistral": ("MistralForCausalLM", "MistralConfig", GROUPED),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**GROUPED, "head_dim": 8}),
    "qwen3 with experts": (
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        {**EXPERTS, "num_experts": 4, "moe_intermediate_size": 24, "head_dim": 8},
    ),
    "gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", {**GROUPED, "head_dim": 8}),
    "gemma 3": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**GROUPED, "head_dim": 8}),
    "stablelm": ("StableLmForCausalLM", "StableLmConfig", GROUPED),
    "olmo 2": ("Olmo2ForCausalLM", "Olmo2Config", GROUPED),
    "smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", GROUPED),
    "granite": ("GraniteForCausalLM", "GraniteConfig", GROUPED),
    "t5's encoder": ("T5EncoderModel", "T5Config", T5),
}
IMAGE_MODELS = {
    "vit": ("ViTForImageClassification", "ViTConfig", IMAGES),
    "deit": ("DeiTForImageClassification", "DeiTConfig", IMAGES),
    "dinov2": ("Dinov2ForImageClassification", "Dinov2Config", IMAGES),
}
# BLOOM's slopes are computed from the number of heads, so that each head becomes less wide instead
WITHOUT_HEADS = {"BLOOM"}
ALL = {**WORD_MODELS, **MORE, **IMAGE_MODELS}


class Model(nn.Module):
    """A model that takes floats, and tells its scores."""

    def __init__(self, name):
        super().__init__()
        kind, config, options = ALL[name]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = getattr(transformers, kind)(getattr(transformers, config)(**options))
        self.words = name not in IMAGE_MODELS
        self.eval()

    @property
    def shape(self):
        return (12,) if self.words else (3, 16, 16)

    def forward(self, x, **options):
        out = self.net(x.abs().mul(9).long().clamp(3, WORDS - 1) if self.words else x, **options)
        return out.logits if "logits" in out else out.last_hidden_state


@pytest.mark.parametrize(
    "name",
    [
        *WORD_MODELS,
        *(pytest.param(name, marks=pytest.mark.slow) for name in MORE),
        *(pytest.param(name, marks=pytest.mark.nightly) for name in IMAGE_MODELS),
    ],
)
def test_heads_and_widths_go_and_the_smaller_model_reopens(name):
    model = Model(name)
    graph, noise = trace(model, model.shape), np.random.default_rng(3)
    assert not graph.limits and {group.kind for group in graph.groups} == {"channels", "heads"}
    picked = [noise.permutation(g.atoms)[: g.allowed(max(g.multiple, int(noise.uniform(0.1, 0.8) * g.size)))] for g in graph.groups]
    removal = Removal(graph, np.concatenate(picked))
    assert prove(model, removal).passed
    small, samples = shrink(model, removal), torch.randn(2, *model.shape)
    again = Model(name)
    apply_widths(again, widths(small), {**small.state_dict(), **dict(small.named_buffers())})
    again.load_state_dict(small.state_dict())
    assert torch.equal(again(samples), small(samples))
    small.train().requires_grad_(True)
    small(samples).square().mean().backward()
    assert all(p.grad is not None for name, p in small.named_parameters() if "pooler" not in name and "mask_token" not in name)


@pytest.mark.slow
def test_of_heads_with_slopes_each_becomes_less_wide():
    model, given = families.build("BLOOM"), families.inputs("BLOOM")
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, scope="uniform"), input_shape=given)
    first, whole = (each.transformer.h[0].self_attention for each in (result.model, model))
    assert result.proof.passed and first.num_heads == whole.num_heads and 2 * first.head_dim == whole.head_dim
    assert first.query_key_value.out_features == 3 * first.num_heads * first.head_dim == 3 * first.dense.in_features


@pytest.mark.parametrize("name", ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen2", "gemma 2", "mixtral"))])
def test_heads_alone_go_with_their_groups_and_a_mask_and_other_attention_still_fit(name):
    model = Model(name)
    layers = tuple(layer for layer in trace(model, model.shape).layers if layer.endswith(("q_proj", "k_proj", "v_proj")))
    spec = PruneSpec(mode="structured", layers=layers, units=("heads",), sparsity=0.5)
    small = prune(model, spec, input_shape=model.shape).model
    for module in small.modules():
        if hasattr(module, "num_key_value_groups"):
            assert module.num_key_value_groups * module.k_proj.out_features == module.q_proj.out_features < 32
    samples, mask = torch.randn(2, *model.shape), torch.ones(2, 12, dtype=torch.long)
    mask[0, :3] = 0
    expected = small(samples, attention_mask=mask)
    small.net.set_attn_implementation("eager")
    torch.testing.assert_close(small(samples, attention_mask=mask)[1], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_of_three_query_heads_a_group_every_layer_loses_as_much():
    nine = {**GROUPED, "hidden_size": 36, "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 4}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**nine, head_dim=4)).eval()
    words = {"input_ids": torch.randint(WORDS, (1, 8))}
    small = prune(model, PruneSpec(mode="structured", sparsity=0.34, scope="uniform", units=("heads",)), input_shape=words).model
    assert {(each.self_attn.q_proj.out_features, each.self_attn.k_proj.out_features) for each in small.model.layers} == {(16, 8)}


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_pruned_proved_trained_and_opened_again_with_padded_words(name):
    row = pruned(name)
    assert row["reopens"] and row["trains"]
    assert sound(row) == (name not in WITHOUT_HEADS)


@pytest.mark.parametrize(
    "name", ["GPT-2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Llama", "BERT", "OPT", "ViT", "Phi-3"))]
)
def test_the_configuration_says_what_the_layers_are_where_they_agree(name):
    model, given = families.build(name), families.inputs(name)
    spec = PruneSpec(mode="structured", sparsity=0.5, scope="uniform", layers=prunable_layers(model))
    small = prune(model, spec, input_shape=given).model
    assert small.config.hidden_size == model.config.hidden_size // 2 == 32 and small.config.num_attention_heads == 4
    again = type(model)(small.config).eval()
    again.load_state_dict(small.state_dict())
    assert torch.equal(again(**given).logits, small(**given).logits)
    spec = PruneSpec(mode="structured", sparsity=0.3, layers=prunable_layers(model), criterion="random", seed=1)
    result = prune(model, spec, input_shape=given)
    assert any("stays" in limit and "config." in limit for limit in result.limits)
    assert model.config.hidden_size == 64


@pytest.mark.parametrize("setting", [{"units": ("experts",), "sparsity": 0.5}, {"target": "params", "sparsity": 0.4}])
def test_a_configuration_says_how_many_experts_are_left(tmp_path, setting):
    kind, config, options = WORD_MODELS["mixtral"]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**options)).eval()
    ids = torch.arange(10)[None]
    result = prune(
        model, PruneSpec(mode="structured", scope="uniform", round_to=8 if "target" in setting else 1, **setting), input_shape=ids
    )
    again = type(model).from_pretrained(export_hugging_face(result.model, tmp_path / "out"))
    torch.testing.assert_close(again.eval()(ids).logits, result.model(ids).logits, rtol=1e-5, atol=1e-5)
    left = again.config.num_local_experts
    assert 2 <= left < 4 or "units" not in setting
    if "units" in setting:
        gone = {module.name for module in result.skipped}
        assert left == 2 and not any("experts" in name for name in gone), "experts that lost matrices take part"
