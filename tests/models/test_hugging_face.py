"""Models of transformers by name: folders are looked at before they are opened, and what is opened is what transformers opens."""

import builtins
import json
from types import SimpleNamespace

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

import prunekit
from prunekit.cli import main
from prunekit.config.ids import ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import CheckpointError, ModelError
from prunekit.models.hugging_face import HEAD
from tests import hf_folders

transformers = pytest.importorskip("transformers")
IDS = torch.arange(24).view(2, 12)


@pytest.mark.parametrize(("kind", "auto"), [("llama", "AutoModelForCausalLM"), ("bert", "AutoModelForSequenceClassification")])
def test_a_folder_opens_as_transformers_opens_it_with_tokeniser_task_and_inputs_in_range(tmp_path, kind, auto):
    name = hf_folders.write(tmp_path, kind)
    model, known = prunekit.load_model(name), prunekit.info(prunekit.load_model(name))
    theirs = getattr(transformers, auto).from_pretrained(tmp_path).eval()
    assert type(model) is type(theirs) and known.id.name == name
    with torch.inference_mode():
        assert torch.equal(model(IDS).logits, theirs(IDS).logits)
        out = model(**known.example.kwargs)
    assert "past_key_values" not in out and known.vocabulary == hf_folders.WORDS
    assert list(known.tokeniser.encode("w5 w7 strange")) == [5, 7, 1] and known.tokeniser.decode([5, 7]) == "w5 w7"
    assert (known.tokeniser.size, known.tokeniser.padding) == (hf_folders.WORDS, 0)
    assert len(known.classes) == (3 if kind == "bert" else 0)


def test_an_encoder_gets_a_pooled_head_that_padding_does_not_reach_and_that_a_folder_may_bring(tmp_path):
    name = hf_folders.write(tmp_path, "encoder")
    model = prunekit.load_model(name)
    padded, there = torch.cat([IDS, IDS * 0 + 9], 1), torch.cat([torch.ones_like(IDS), IDS * 0], 1)
    with torch.inference_mode():
        scores = model(IDS)
        torch.testing.assert_close(model(padded, attention_mask=there), scores)
        hidden = transformers.AutoModel.from_pretrained(tmp_path).eval()(IDS).last_hidden_state
        torch.testing.assert_close(scores, model.head(hidden.mean(1)))
    assert scores.shape == (2, 5) and prunekit.info(model).task.name == "text-classification"
    save_file({"weight": torch.ones(7, 32), "bias": torch.arange(7.0)}, tmp_path / HEAD)
    assert torch.equal(prunekit.load_model(name).head.bias, torch.arange(7.0))


def test_a_new_head_has_as_many_outputs_as_the_data_have_classes_and_the_run_says_so(tmp_path, capsys):
    name, table = hf_folders.write(tmp_path / "encoder", "encoder"), tmp_path / "texts.csv"
    table.write_text("text,label\n" + "".join(f"w{i % 9 + 2} w{i % 7 + 2},{'xyz'[i % 3]}\n" for i in range(60)))
    told = ["prune", name, "--data", f"csv:{table}", "--sparsity", "0.5", "--out", str(tmp_path / "out")]
    assert main(told) == 0 and "random values" in capsys.readouterr().out
    kept = Recipe.from_yaml((tmp_path / "out" / "recipe.yaml").read_text())
    assert kept.model["outputs"] == 3 and prunekit.load_model(tmp_path / "out").head.out_features == 3
    again = prunekit.load_model(ModelId(name, outputs=3))
    assert prunekit.info(again).classes == () and prunekit.load_data(f"csv:{table}", model=again).classes == ("x", "y", "z")
    assert main([*told[:-2], "--outputs", "2"]) == 2 and "label 2 is outside 0..1" in capsys.readouterr().err
    save_file({"weight": torch.ones(7, 32), "bias": torch.arange(7.0)}, tmp_path / "encoder" / HEAD)
    with pytest.raises(ModelError, match=r"head of 7 outputs.*3 are asked for"):
        prunekit.load_model(ModelId(name, outputs=3))


def test_sixteen_bits_stay_sixteen_bits_on_disk_and_a_pruned_folder_opens_again(tmp_path):
    name = hf_folders.write(tmp_path / "dense", "llama", dtype=torch.bfloat16)
    model = prunekit.load_model(name)
    result = prunekit.prune(model, spec := PruneSpec(sparsity=0.5))
    prunekit.write_folder(tmp_path / "out", result.model, Recipe(prunekit.info(model).id.to_dict(), None, spec))
    kept = load_file(tmp_path / "out" / "model.safetensors")
    assert {each.dtype for each in kept.values()} == {torch.bfloat16}
    again = prunekit.load_model(tmp_path / "out")
    with torch.inference_mode():
        assert torch.equal(again(IDS).logits, result.model(IDS).logits)
    assert "answers as the model" in prunekit.info(again).checked


def auto_map(folder):
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, "auto_map": {"AutoModel": "code.Model"}}))


def only_a_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def half(folder):
    kept = load_file(folder / "model.safetensors")
    save_file(dict(list(kept.items())[5:]), folder / "model.safetensors", metadata={"format": "pt"})


def narrower(folder):
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, "intermediate_size": 40}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (auto_map, "code of its own"),
        (only_a_pickle, "pytorch_model.bin.*pickle.*safetensors instead"),
        (lambda folder: (folder / "optimizer.pt").write_bytes(b"\x80"), "optimizer.pt.*remove it"),
        (lambda folder: (folder / "model.safetensors").unlink(), "config.json and no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"nothing"), "cannot open"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no settings"),
        (half, "lacks weights"),
        (narrower, r"another shape than its configuration says, model\.layers\.0\..*: put the config"),
    ],
)
def test_a_folder_that_is_unsafe_or_not_whole_is_refused_in_plain_words(tmp_path, spoil, said):
    name = hf_folders.write(tmp_path, "llama")
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        prunekit.load_model(name)


def test_a_tokeniser_that_the_embedding_does_not_hold_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"45 tokens.*holds 40"):
        prunekit.load_model(hf_folders.write(tmp_path, "llama", words=45))


def test_a_model_too_large_for_memory_is_refused_before_it_is_read_with_what_fits(tmp_path, monkeypatch):
    name = hf_folders.write(tmp_path, "llama")
    free = psutil.virtual_memory()._replace(available=50_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(ModelError, match=r"pruned copy beside them 1\d\d.kB are needed and 50\.0.kB are free.*at most 22\.7.kB"):
        prunekit.load_model(name)


def test_what_is_too_large_or_no_safetensors_is_not_downloaded(monkeypatch):
    import huggingface_hub

    def fetch(*_, local_files_only=False, **__):
        assert local_files_only, "it was downloaded"
        raise FileNotFoundError

    files = {"config.json": 600, "model-1.safetensors": 3 * 10**12, "pytorch_model.bin": 5}
    told = [SimpleNamespace(rfilename=name, size=size) for name, size in files.items()]
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=told))
    with pytest.raises(ModelError, match=r"3000.GB of weights.*What fits has at most"):
        prunekit.load_model("hf:org/large")
    told.pop(1)
    with pytest.raises(CheckpointError, match="no weights in safetensors"):
        prunekit.load_model("hf:org/large")


@pytest.mark.parametrize("name", ["hf:./nowhere", "hf:", "hf:a/b/c"])
def test_no_folder_of_that_name(name):
    with pytest.raises(ModelError, match="there is no folder"):
        prunekit.load_model(name)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    there = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "transformers":
            raise ImportError(name)
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match=r"prunekit\[transformers\]"):
        prunekit.load_model("hf:folder")
