"""Families of transformers from small configurations with random weights, each with inputs as its users give them."""

from __future__ import annotations

import dataclasses
import random
import re
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.models.layers import prunable_layers
from prunekit.models.outputs import tensors_of
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.structured.grouping import trace
from prunekit.tasks.input_form import InputForm

transformers = pytest.importorskip("transformers")

WORDS, LENGTH, SIDE = 40, 12, 32
HEADS, GROUPS = 8, 4
ENCODER = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "intermediate_size": 96,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
DECODER = {**ENCODER, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = {**DECODER, "num_key_value_heads": GROUPS}
NAMED = {**GROUPED, "head_dim": 8}
EXPERTS = {"num_experts_per_tok": 2}
GPT2 = {"vocab_size": WORDS, "n_positions": 40, "n_embd": 64, "n_layer": 2, "n_head": HEADS, "bos_token_id": 1, "eos_token_id": 2}
T5 = {"vocab_size": WORDS, "d_model": 64, "d_kv": 8, "d_ff": 96, "num_layers": 2, "num_heads": HEADS, "decoder_start_token_id": 0}
IMAGES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "intermediate_size": 96,
    "image_size": SIDE,
    "patch_size": 8,
}
BART = {
    "vocab_size": WORDS,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "max_position_embeddings": 40,
}
SWIN = {"image_size": SIDE, "patch_size": 2, "embed_dim": 32, "depths": [2, 2], "num_heads": [4, 8], "window_size": 4}
SEGFORMER = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [16, 32, 32, 64],
    "num_attention_heads": [2, 4, 4, 8],
    "decoder_hidden_size": 32,
    "num_labels": 5,
}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1], "out_features": ["stage2", "stage3", "stage4"]}
RT_DETR = {
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [24, 32, 40],
    "encoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "d_model": 32,
    "decoder_ffn_dim": 48,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "decoder_in_channels": [32, 32, 32],
    "num_queries": 5,
    "num_labels": 4,
    "num_denoising": 0,
}
# name -> class, its configuration's class, options, what it reads
FAMILIES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "BERT": ("BertForSequenceClassification", "BertConfig", ENCODER, "words"),
    "DistilBERT": (
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {"vocab_size": WORDS, "dim": 64, "n_layers": 2, "n_heads": HEADS, "hidden_dim": 96, "max_position_embeddings": 40},
        "words",
    ),
    "RoBERTa": ("RobertaForSequenceClassification", "RobertaConfig", ENCODER, "words"),
    "ALBERT": ("AlbertForSequenceClassification", "AlbertConfig", {**ENCODER, "embedding_size": 32}, "words"),
    "ELECTRA": ("ElectraForSequenceClassification", "ElectraConfig", {**ENCODER, "embedding_size": 32}, "words"),
    "DeBERTa-v2": (
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        {**ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
        "words",
    ),
    "MPNet": ("MPNetForSequenceClassification", "MPNetConfig", ENCODER, "words"),
    "ModernBERT": (
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        {**DECODER, "cls_token_id": 1, "sep_token_id": 2, "reference_compile": False},
        "words",
    ),
    "XLM-R": ("XLMRobertaForSequenceClassification", "XLMRobertaConfig", ENCODER, "words"),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", GPT2, "text"),
    "GPT-NeoX": ("GPTNeoXForCausalLM", "GPTNeoXConfig", DECODER, "text"),
    "OPT": ("OPTForCausalLM", "OPTConfig", {**DECODER, "ffn_dim": 96, "word_embed_proj_dim": 64}, "text"),
    "BLOOM": ("BloomForCausalLM", "BloomConfig", {"vocab_size": WORDS, "hidden_size": 64, "n_layer": 2, "n_head": HEADS}, "text"),
    "Falcon": ("FalconForCausalLM", "FalconConfig", {**GROUPED, "new_decoder_architecture": True, "num_kv_heads": GROUPS}, "text"),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED, "text"),
    "Mistral": ("MistralForCausalLM", "MistralConfig", GROUPED, "text"),
    "Qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED, "text"),
    "Qwen3": ("Qwen3ForCausalLM", "Qwen3Config", NAMED, "text"),
    "Gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", NAMED, "text"),
    "Gemma 3": ("Gemma3ForCausalLM", "Gemma3TextConfig", NAMED, "text"),
    "Phi-3": ("Phi3ForCausalLM", "Phi3Config", GROUPED, "text"),
    "StableLM": ("StableLmForCausalLM", "StableLmConfig", GROUPED, "text"),
    "OLMo 2": ("Olmo2ForCausalLM", "Olmo2Config", GROUPED, "text"),
    "SmolLM3": ("SmolLM3ForCausalLM", "SmolLM3Config", GROUPED, "text"),
    "Granite": ("GraniteForCausalLM", "GraniteConfig", GROUPED, "text"),
    "Mixtral": ("MixtralForCausalLM", "MixtralConfig", {**GROUPED, **EXPERTS, "num_local_experts": 8}, "text"),
    "Qwen3-MoE": (
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        {**NAMED, **EXPERTS, "num_experts": 8, "moe_intermediate_size": 32},
        "text",
    ),
    "T5": ("T5ForConditionalGeneration", "T5Config", T5, "two texts"),
    "BART": ("BartForConditionalGeneration", "BartConfig", BART, "two texts"),
    "Whisper": (
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            **BART,
            "num_mel_bins": 16,
            "max_source_positions": 16,
            "max_target_positions": 40,
            "pad_token_id": 0,
            "decoder_start_token_id": 1,
        },
        "spectrum",
    ),
    "Wav2Vec2": (
        "Wav2Vec2ForSequenceClassification",
        "Wav2Vec2Config",
        {
            **{key: ENCODER[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
            "conv_dim": [32, 32],
            "conv_stride": [5, 4],
            "conv_kernel": [10, 3],
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 4,
            "classifier_proj_size": 24,
            "mask_time_prob": 0.0,
        },
        "sound",
    ),
    "ViT": ("ViTForImageClassification", "ViTConfig", IMAGES, "image"),
    "DeiT": ("DeiTForImageClassification", "DeiTConfig", IMAGES, "image"),
    "BEiT": (
        "BeitForImageClassification",
        "BeitConfig",
        {**IMAGES, "vocab_size": WORDS, "use_relative_position_bias": True, "layer_scale_init_value": 0.1},
        "image",
    ),
    "DINOv2": ("Dinov2ForImageClassification", "Dinov2Config", {**IMAGES, "mlp_ratio": 2}, "image"),
    "Swin": ("SwinForImageClassification", "SwinConfig", SWIN, "image"),
    "CLIP": ("CLIPModel", "CLIPConfig", {"projection_dim": 24}, "image and text"),
    "SigLIP": ("SiglipModel", "SiglipConfig", {}, "image and text"),
    "SegFormer": ("SegformerForSemanticSegmentation", "SegformerConfig", SEGFORMER, "image"),
    "DETR": (
        "DetrForObjectDetection",
        "DetrConfig",
        {**BART, "num_queries": 5, "num_labels": 4, "backbone": None, "use_timm_backbone": False},
        "scene",
    ),
    "RT-DETR": (
        "RTDetrForObjectDetection",
        "RTDetrConfig",
        RT_DETR,
        "scene",
    ),
    "D-FINE": (
        "DFineForObjectDetection",
        "DFineConfig",
        {
            **RT_DETR,
            "decoder_n_points": [4, 2],
            "num_feature_levels": 2,
            "encoder_in_channels": [32, 40],
            "feat_strides": [16, 32],
            "decoder_in_channels": [32, 32],
            "encode_proj_layers": [1],
            "max_num_bins": 8,
            "depth_mult": 0.34,
            "hidden_expansion": 0.5,
        },
        "scene",
    ),
    "YOLOS": (
        "YolosForObjectDetection",
        "YolosConfig",
        {**IMAGES, "image_size": [SIDE, SIDE], "num_detection_tokens": 5, "num_labels": 4},
        "scene",
    ),
    "Mask2Former": (
        "Mask2FormerForUniversalSegmentation",
        "Mask2FormerConfig",
        {
            "feature_size": 32,
            "mask_feature_size": 32,
            "hidden_dim": 32,
            "encoder_feedforward_dim": 48,
            "encoder_layers": 1,
            "decoder_layers": 3,
            "num_attention_heads": 4,
            "dim_feedforward": 48,
            "num_queries": 5,
            "num_labels": 4,
        },
        "scene",
    ),
    "Mamba-2": (
        "Mamba2ForCausalLM",
        "Mamba2Config",
        {
            "vocab_size": WORDS,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_heads": 8,
            "head_dim": 8,
            "state_size": 16,
            "n_groups": 2,
            "chunk_size": 8,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "text",
    ),
}


def _config(name: str) -> Any:
    """Return the configuration of a family, with its parts."""
    _, kind, options, _ = FAMILIES[name]
    options = dict(options)
    if name in ("CLIP", "SigLIP"):
        width = {"projection_dim": 24} if name == "CLIP" else {}
        text = {**ENCODER, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": LENGTH, **width}
        options |= {"text_config": text, "vision_config": {**IMAGES, **width}}
    if name == "DETR":
        options["backbone_config"] = transformers.ResNetConfig(**{**RESNET, "out_features": ["stage4"]})
    if name == "D-FINE":
        options["backbone_config"] = transformers.HGNetV2Config(
            stem_channels=[3, 8, 8], hidden_sizes=[16, 24, 32, 40],
            stage_in_channels=[8, 16, 24, 32], stage_mid_channels=[8, 8, 12, 16], stage_out_channels=[16, 24, 32, 40],
            stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1], out_features=["stage3", "stage4"],
        )  # fmt: skip
    if name == "Mask2Former":
        options["backbone_config"] = transformers.SwinConfig(
            **{**SWIN, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 4, 4], "embed_dim": 16},
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
    if name == "RT-DETR":
        options["backbone_config"] = transformers.RTDetrResNetConfig(**RESNET)
    return getattr(transformers, kind)(**options)


def build(name: str) -> nn.Module:
    """Return the model of a family, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = getattr(transformers, FAMILIES[name][0])(_config(name)).eval()
    for module in model.modules():  # what is kept for the next word is an output, too, and would hold all heads
        config = getattr(module, "config", None)
        if hasattr(config, "use_cache"):
            config.use_cache = False
    prunekit.remove_parametrizations(model)
    return model


def inputs(name: str, batch: int = 2) -> dict[str, Tensor]:
    """Return inputs of a family, the same every time; of texts the first is padded."""
    noise = torch.Generator().manual_seed(1)

    def words(pad: str = "") -> dict[str, Tensor]:
        ids, mask = torch.randint(3, WORDS, (batch, LENGTH), generator=noise), torch.ones(batch, LENGTH, dtype=torch.long)
        if name != "Mamba-2":
            mask[0, -3:] = 0
        return {f"{pad}input_ids": ids, f"{pad}attention_mask": mask}

    image = {"pixel_values": torch.rand(batch, 3, SIDE, SIDE, generator=noise)}
    match FAMILIES[name][3]:
        case "words" | "text":
            return words()
        case "two texts":
            return {**words(), **words("decoder_")}
        case "image" | "scene":
            return image
        case "image and text":
            return {**words(), **image}
        case "spectrum":
            return {
                "input_features": torch.randn(batch, 16, 32, generator=noise),
                "decoder_input_ids": torch.randint(3, WORDS, (batch, LENGTH), generator=noise),
            }
        case _:
            return {"input_values": torch.randn(batch, 400, generator=noise)}


SHARES = (0.3, 0.5)
MLP = re.compile(
    r"(fc1|up_proj|gate_up_proj|lin1|wi|Wi|c_fc|dense_h_to_4h|intermediate[._]dense|\.ffn|weights_in|mlp\.layers\.0|mixer\.in_proj)$"
)


def pruned(name: str) -> dict[str, Any]:
    """Prune a family at 30 % uneven random counts and at 50 % by size, all layers; prove, train, save and reopen; return what was seen."""
    start = time.process_time()
    model, given = build(name), inputs(name)
    layers, noise = prunable_layers(model), random.Random(2)
    row: dict[str, Any] = {"name": name, "class": FAMILIES[name][0], "before": sum(p.numel() for p in model.parameters())}
    groups = trace(model, InputForm.of(given)).groups
    # heads are few beside channels, whose number alone would decide about them
    uneven = {group.layers[0]: round(noise.uniform(0.2, 0.5), 3) for group in groups if group.kind == "heads"}
    for share in SHARES:
        spec = PruneSpec(mode="structured", sparsity=share, scope="uniform", layers=layers)
        if share < 0.5:
            spec = dataclasses.replace(spec, scope="global", criterion="random", seed=2, overrides=uneven)
        result = prunekit.prune(model, spec, input_shape=given)
        assert result.proof is not None and result.plan is not None
        gone, groups = set(result.plan.atoms.tolist()), result.plan.graph.groups
        stream = max((group for group in groups if group.kind == "channels"), key=lambda group: len(group.layers))
        heads = [group for group in groups if group.kind == "heads"]
        row[f"{share:g}"] = {
            "params": result.after.params,
            "error": result.proof.max_relative_error,
            "moved": result.proof.output_change,
            "heads": (sum(len(gone & set(group.atoms.tolist())) for group in heads), sum(group.size for group in heads)),
            "inner": any(before != after for layer, (before, after) in result.plan.layer_shapes.items() if MLP.search(layer)),
            "stream": (stream.size, stream.size - len(gone & set(stream.atoms.tolist())), len(stream.layers)),
        }
        row["limits"] = [limit for limit in result.limits if "a size written" in limit or "operation" in limit or "sliced" in limit]
        row["groups"] = len(groups)
        small = result.model.eval()
        again = build(name)
        apply_widths(again, widths(small), {**small.state_dict(), **dict(small.named_buffers())})
        again.load_state_dict(small.state_dict())
        same = zip(_answers(small, given), _answers(again, given), strict=True)
        row["reopens"] = row.get("reopens", True) and all(torch.equal(a, b) for a, b in same)
        row["trains"] = row.get("trains", True) and _trains(small, given)
    return row | {"seconds": time.process_time() - start}


def _answers(model: nn.Module, given: dict[str, Tensor]) -> list[Tensor]:
    """Return the tensors that a model makes."""
    with torch.no_grad():
        return list(tensors_of(model(**given)).values())


def _trains(model: nn.Module, given: dict[str, Tensor]) -> bool:
    """Take one step of gradient descent; return whether every gradient is finite and parameters moved."""
    torch.manual_seed(0)
    model.train().requires_grad_(True)
    before = [p.detach().clone() for p in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    made = [out for out in tensors_of(model(**given)).values() if out.requires_grad]
    torch.stack([out.square().mean() for out in made]).sum().backward()
    optimiser.step()
    finite = all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
    return finite and sum(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)) > len(before) // 2


def sound(row: dict[str, Any]) -> bool:
    """Return whether a family was pruned as it should be: proved, trained, reopened, with heads and inner widths gone."""
    cuts = [row[f"{share:g}"] for share in SHARES] if f"{SHARES[0]:g}" in row else []
    return bool(cuts) and row["reopens"] and row["trains"] and all(cut["heads"][0] and cut["inner"] for cut in cuts)
