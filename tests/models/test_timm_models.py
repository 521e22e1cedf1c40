"""Models of timm by name."""

import builtins

import pytest
import torch

import prunekit
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from prunekit.models.widths import widths

pytest.importorskip("timm")


def test_a_model_of_timm_has_random_weights_from_a_fixed_seed_and_its_own_image_size():
    one, two = (prunekit.load_model("timm/convnext_atto") for _ in range(2))
    assert state_hash(one) == state_hash(two)
    known = prunekit.info(one)
    assert known.input_shape[0] == 3 and known.size == known.input_shape[1] and len(known.mean) == 3


@pytest.mark.parametrize("name", ["timm/convnext_ato", "timm/"])
def test_a_name_that_timm_does_not_know_is_refused_with_what_is_near(name):
    with pytest.raises(ModelError, match="timm has no model"):
        prunekit.load_model(name)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    there = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "timm":
            raise ImportError(name)
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match=r"prunekit\[timm\]"):
        prunekit.load_model("timm/resnet18")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_attention_of_timm_loses_heads_and_dimensions_and_opens_again(tmp_path, name):
    model = prunekit.load_model(f"timm/{name}")
    setting = PruneSpec(mode="structured", sparsity=0.4, scope="uniform", criterion="random", layers=prunable_layers(model))
    result = prunekit.prune(model, setting)
    assert result.proof.passed and type(result.model) is type(model)
    assert {"heads", "head dimensions"} <= {group.kind for group in result.plan.groups}
    prunekit.write_folder(tmp_path / "out", result.model, Recipe(prunekit.info(model).id.to_dict(), None, setting))
    again = prunekit.load_model(tmp_path / "out")
    assert widths(again) == widths(result.model)
    x = torch.randn(1, *prunekit.info(model).input_shape)
    with torch.inference_mode():
        torch.testing.assert_close(again(x), result.model(x), rtol=1e-5, atol=1e-6)
