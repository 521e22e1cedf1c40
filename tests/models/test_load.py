"""Models by name: the same weights everywhere, fresh modules, clear errors."""

import gc
import threading
import urllib.error
import weakref

import pytest
import torch
import torchvision
from safetensors.torch import save
from torch import nn

from prunekit.config import registered
from prunekit.config.ids import ModelId
from prunekit.config.registered import register_model, registered_models
from prunekit.errors import CheckpointError, ModelError
from prunekit.models import zoos
from prunekit.models.entries import DESCRIPTIONS, list_models
from prunekit.models.info import info, remember
from prunekit.models.load import load_model, load_upload
from prunekit.models.state import state_hash
from sample_models import SAMPLES, card, weights_path
from tests.tables import case

TRAINED = [name for name in SAMPLES if weights_path(name).is_file()]
QUICK = ["torchvision/squeezenet1_1", "torchvision/mobilenet_v3_small", "torchvision/shufflenet_v2_x0_5", "torchvision/mnasnet0_5"]

FAMILIES = (
    *(
        "alexnet",
        "vgg11_bn",
        "squeezenet1_0",
        "densenet121",
        "googlenet",
        "inception_v3",
        "mnasnet0_5",
        "mobilenet_v2",
        "mobilenet_v3_small",
    ),
    *("shufflenet_v2_x0_5", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "regnet_x_400mf", "regnet_y_400mf", "efficientnet_b0"),
    *("efficientnet_v2_s", "convnext_tiny", "swin_t", "swin_v2_t", "maxvit_t", "vit_b_32"),
)


@pytest.fixture
def empty_registry(monkeypatch):
    monkeypatch.setattr(registered, "_MODELS", [])


@pytest.mark.parametrize("name", [*TRAINED, *QUICK])
def test_a_model_is_the_same_each_time_and_ready_to_share(name):
    one, two = load_model(name), load_model(name)
    assert one is not two and state_hash(one) == state_hash(two)
    assert not one.training and not any(p.requires_grad for p in one.parameters())
    shape = info(one).input_shape
    with torch.no_grad():
        assert torch.isfinite(one(torch.zeros(1, *shape))).all()


def test_random_weights_do_not_depend_on_what_ran_before():
    hashes = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.rand(2)
        torch.manual_seed(seed)
        hashes.add(state_hash(load_model("torchvision/squeezenet1_1")))
        assert torch.equal(torch.rand(2), expected)
    assert len(hashes) == 1


def test_models_loaded_at_the_same_time_have_the_same_weights():
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(state_hash(load_model("torchvision/squeezenet1_1")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4 and len(set(loaded)) == 1


def test_every_classifier_of_torchvision_is_listed_once_and_can_be_asked_for():
    names = torchvision.models.list_models(module=torchvision.models)
    listed = [entry.name for entry in list_models() if entry.kind == "torchvision"]
    assert listed == [f"torchvision/{name}" for name in names] and len(names) >= 80
    for entry in list_models():
        if entry.kind == "torchvision":
            known = zoos.torchvision_info(entry.id, nn.Identity())
            assert known.input_shape[0] == 3 and known.size == known.input_shape[1] == known.input_shape[2]
            assert len(known.mean) == len(known.std) == 3 and len(known.classes) == 1000


@pytest.mark.parametrize(("name", "side"), [("inception_v3", 299), ("resnet18", 224), ("efficientnet_b7", 600), ("vit_h_14", 224)])
def test_the_input_is_the_one_the_weights_were_made_for(name, side):
    with torch.device("meta"):
        model = zoos.build_torchvision(f"torchvision/{name}", pretrained=False)
    assert zoos.torchvision_info(ModelId(f"torchvision/{name}"), model).input_shape == (3, side, side)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_one_classifier_of_each_family_runs_on_its_input_without_a_warning(name, recwarn):
    model = load_model(f"torchvision/{name}")
    with torch.no_grad():
        assert model(torch.zeros(1, *info(model).input_shape)).shape == (1, 1000)
    assert not [w for w in recwarn if "init_weights" in str(w.message) or "initialization" in str(w.message)]


@pytest.mark.parametrize("name", TRAINED)
def test_a_sample_knows_its_data_and_its_card(name):
    known, sample = info(load_model(name)), SAMPLES[name]
    assert known.id == ModelId(name) and known.input_shape == sample.input_shape and known.data == sample.data
    assert known.mean == sample.mean and known.std == sample.std and known.classes == sample.classes
    assert known.card == card(name) and known.size == sample.input_shape[-1]


def test_an_unknown_name_is_answered_with_close_ones():
    for name, said in [
        ("digits_cn", "did you mean digits_cnn"),
        ("resnet18", r"did you mean torchvision/resnet18\?"),
        ("torchvision/resnet17", "no classifier 'resnet17': did you mean resnet1"),
        ("torchvision/", "no classifier ''"),
        ("torchvision/fasterrcnn_resnet50_fpn", "is no classifier.*write a file with a function that returns .*'fasterrcnn_resnet50_fpn'"),
        ("qqqqqqqqqqqqqqq", "prunekit models.*torchvision/NAME.*file.py:factory.*folder"),
        ("", "must be a name"),
    ]:
        with case(name, said), pytest.raises(ModelError, match=said):
            load_model(name)


def test_a_folder_that_prunekit_did_not_write_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"no model.safetensors and no recipe.yaml"):
        load_model(tmp_path)
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(ModelError, match=r"has no model.safetensors:"):
        load_model(tmp_path)


def test_weights_replace_those_of_a_sample(tmp_path):
    torch.manual_seed(3)
    other = SAMPLES["digits_mlp"].build()
    path = tmp_path / "w.pt"
    torch.save(other.state_dict(), path)
    for model in (load_model("digits_mlp", weights=str(path)), load_model(ModelId("digits_mlp", str(path)))):
        assert torch.equal(model.fc1.weight, other.fc1.weight)
        assert info(model).id == ModelId("digits_mlp", str(path))
        assert not {"test_accuracy", "recipe"} & info(model).card.keys(), "the card measured other weights"


def test_weights_of_another_architecture_are_told_by_key():
    with pytest.raises(
        CheckpointError, match=r"2 missing: fc3.weight, fc3.bias; 12 unexpected: bn1.bias, .* and 4 more; 4 of another shape: fc1"
    ):
        load_model("digits_mlp", weights=weights_path("digits_cnn"))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_weights_for_another_number_of_classes_bring_their_output_layer(name, tmp_path):
    torch.manual_seed(3)
    tuned = torchvision.models.get_model(name, weights=None, num_classes=7)
    torch.save(tuned.state_dict(), tmp_path / "w.pth")
    model = load_model(f"torchvision/{name}", weights=tmp_path / "w.pth")
    assert state_hash(model) == state_hash(tuned) and info(model).classes == () and info(model).size == 224
    with pytest.raises(CheckpointError, match="does not fit"):
        load_model("torchvision/mnasnet0_5", weights=tmp_path / "w.pth")


def test_pretrained_weights_offline_say_what_to_do(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    before = torch.hub.get_dir()
    with pytest.raises(ModelError, match=rf"cannot download .*squeezenet1_1 into {tmp_path}.*no network.*leave pretrained out"):
        load_model("torchvision/squeezenet1_1", pretrained=True)
    assert torch.hub.get_dir() == before
    with pytest.raises(ModelError, match="torchvision models only"):
        load_model("digits_mlp", pretrained=True)


def test_pretrained_weights_that_are_there_are_used(monkeypatch, tmp_path):
    torch.manual_seed(4)
    trained = torchvision.models.squeezenet1_1()
    (tmp_path / "checkpoints").mkdir()
    name = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]
    torch.save(trained.state_dict(), tmp_path / "checkpoints" / name)
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    model = load_model("torchvision/squeezenet1_1", pretrained=True)
    assert state_hash(model) == state_hash(trained)


def test_an_upload_is_a_known_architecture_with_other_weights():
    torch.manual_seed(3)
    other = SAMPLES["digits_mlp"].build()
    payload = save(other.state_dict())
    model = load_upload("digits_mlp", payload, "mine.safetensors")
    assert state_hash(model) == state_hash(other) and not model.training
    known = info(model)
    assert known.id.name == "digits_mlp" and known.id.weights.startswith("upload:") and known.data == "digits"
    assert "test_accuracy" not in known.card, "the card measured other weights"
    assert known.id == info(load_upload("digits_mlp", payload, "renamed.pt")).id, "an upload is known by its content"
    with pytest.raises(CheckpointError, match="upload the file again"):
        load_model(known.id)


def test_an_upload_follows_no_path_of_the_server(tmp_path, empty_registry):
    trap = tmp_path / "ran"
    (tmp_path / "own.py").write_text(
        f"from pathlib import Path\nfrom torch import nn\nPath({str(trap)!r}).touch()\ndef make():\n    return nn.Linear(2, 2)\n"
    )
    payload = save(nn.Linear(2, 2).state_dict())
    for name in (f"{tmp_path / 'own.py'}:make", str(tmp_path), "../own.py:make", "nonsense"):
        with pytest.raises(ModelError, match="takes an upload"):
            load_upload(name, payload, "w.pt")
    assert not trap.exists()
    register_model(ModelId(f"{tmp_path / 'own.py'}:make"))
    assert isinstance(load_upload(f"{tmp_path / 'own.py'}:make", payload, "w.pt"), nn.Linear)


def test_registered_models_are_listed_as_your_own(empty_registry):
    mine = ModelId("some/file.py:make", "w.pt")
    register_model(mine)
    register_model(ModelId("some/file.py:make", "w.pt"))
    assert registered_models() == (mine,)
    own = [entry for entry in list_models() if entry.kind == "own"]
    assert [(entry.id, entry.name, entry.title) for entry in own] == [(mine, "some/file.py:make", "file.py:make (w.pt)")]
    with pytest.raises(ModelError, match="register a ModelId"):
        register_model("digits_cnn")


def test_the_registry_is_bounded(empty_registry):
    for i in range(registered.MOST):
        register_model(ModelId(f"m{i}"))
    with pytest.raises(ModelError, match="at most"):
        register_model(ModelId("one more"))


def test_every_listed_model_has_a_title_and_a_sentence():
    entries = list_models()
    assert {e.kind for e in entries} >= {"sample", "torchvision"}
    for entry in entries:
        assert entry.title and entry.task and entry.description.endswith(".")
    assert set(SAMPLES) <= set(DESCRIPTIONS)


def test_what_is_known_of_a_model_goes_with_it():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    known = info(model)
    assert known.id is None and known.input_shape == (1, 8, 8) and known.classes == ()
    remember(model, info(load_model("digits_mlp")))
    assert info(model).id == ModelId("digits_mlp")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None, "the table holds no model alive"
    with pytest.raises(ModelError, match="torch module"):
        info("digits_mlp")
