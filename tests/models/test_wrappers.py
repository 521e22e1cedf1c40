"""Models within wrappers, with scripted parts, and weights whose names a wrapper changed."""

import pytest
import torch
from safetensors.torch import save
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import CheckpointError, ModelError
from prunekit.models.checkpoints import fit_state, read_checkpoint
from prunekit.models.wrappers import unwrapped
from prunekit.pruning.api import prune

SPEC = PruneSpec(mode="structured", sparsity=0.5, layers=("0", "2"))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


class ModelEMA(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.module = model

    def forward(self, x):
        return self.module(x)


WRAPPED = {
    "parallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "averaged": torch.optim.swa_utils.AveragedModel,
    "ema": ModelEMA,
    "twice": lambda model: nn.DataParallel(ModelEMA(model)),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapper_is_taken_off_and_what_is_inside_is_pruned(name):
    wrapped = WRAPPED[name](net())
    assert type(unwrapped(wrapped)) is nn.Sequential
    result = prune(wrapped, SPEC, input_shape=(4,))
    assert type(result.model) is nn.Sequential and result.achieved.removed == 8 and result.proof.passed


def test_a_module_that_only_holds_another_is_no_wrapper():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = net()

    holder = Holder()
    assert unwrapped(holder) is holder


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_scripted_part_stays_whole_by_name_and_a_scripted_model_is_refused():
    model = net()
    model[2] = torch.jit.script(nn.Linear(8, 8))
    model = nn.Sequential(*model[:4], nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, layers=("0", "4")), input_shape=(4,))
    assert len(result.kept["0"]) == 8 and len(result.kept["4"]) == 3 and result.proof.passed
    assert any("the scripted part 2" in limit for limit in result.limits)
    assert [each.reason for each in result.skipped if each.name == "2"] == ["a scripted part, a program that cannot be taken apart"]
    assert prune(model, PruneSpec(sparsity=0.5), input_shape=(4,)).achieved.removed
    with pytest.raises(ModelError, match="TorchScript program"):
        prune(torch.jit.script(net()), SPEC, input_shape=(4,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("mode", ["structured", "unstructured"])
def test_exported_and_quantised_models_are_refused_by_what_they_are(mode):
    quantised = torch.ao.quantization.quantize_dynamic(net(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(ModelError, match=r"layer 0 is quantised .* prune the model before it is quantised"):
        prune(quantised, PruneSpec(mode=mode), input_shape=(4,))
    with pytest.raises(ModelError, match=r"program of torch\.export"):
        prune(torch.export.export(net(), (torch.zeros(2, 4),)).module(), PruneSpec(mode=mode), input_shape=(4,))


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.", "backbone.", "ema.", "ema.module.", "module.model.", "teacher."])
def test_names_that_a_wrapper_changed_are_understood(prefix):
    other, state = net(), net().state_dict()
    nn.init.zeros_(other[0].weight)
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    extra = {"n_averaged": torch.tensor(3), "loss.weight": torch.ones(3)}  # AveragedModel's, and what Lightning keeps beside the model
    fit_state(other, read_checkpoint(save(wrapped | extra)), "a file")
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())


def test_of_several_copies_the_trained_one_is_taken_and_unknown_ones_are_asked_about():
    model, state = net(), net().state_dict()
    twice = {f"{name}{key}": tensor * factor for name, factor in (("ema.", 2), ("model.", 1)) for key, tensor in state.items()}
    fit_state(model, twice, "a file")
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(CheckpointError, match=r"holds this architecture as a\. and as b\.: save the state of the one"):
        fit_state(model, {f"{name}.{key}": tensor for name in "ab" for key, tensor in state.items()}, "a file")


def test_bare_names_fit_a_model_that_is_a_wrapper_and_errors_show_the_nearest_name():
    state, wrapper = net().state_dict(), nn.Module()
    wrapper.net = net()
    nn.init.zeros_(wrapper.net[0].weight)
    fit_state(wrapper, dict(state), "a file")
    assert torch.equal(wrapper.net[0].weight, state["0.weight"])
    wrong = {name.replace("2.weight", "2.weights"): tensor for name, tensor in state.items()}
    with pytest.raises(CheckpointError, match=r"1 missing: 2.weight; 1 unexpected: 2.weights; nearest to 2.weight is 2.weights"):
        fit_state(net(), wrong, "a file")
