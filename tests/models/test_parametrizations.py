"""Weights computed from others: refused with the way out, and plain afterwards with the same outputs."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import prunekit
from prunekit.cli import main
from prunekit.errors import ModelError
from prunekit.models.wrappers import remove_parametrizations


def masked(layer):
    return prune.l1_unstructured(layer, "weight", 3)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        weight_norm,
        spectral_norm,
        lambda m: prune.l1_unstructured(m, "weight", 3),
    ],
    ids=["weight", "spectral", "old weight", "old spectral", "masks"],
)
def test_computed_weights_are_told_and_made_plain(wrap):
    model = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), wrap(nn.Linear(9, 8)), nn.ReLU(), nn.Linear(8, 3)).eval()
    spec, x = prunekit.PruneSpec(mode="structured", sparsity=0.5, layers=("0", "2")), torch.rand(5, 4)
    with torch.no_grad():
        before = model(x)
    with pytest.raises(ModelError, match=r"layer 2 .*remove_parametrizations"):
        prunekit.prune(model, spec, input_shape=(4,))
    assert remove_parametrizations(model) == ("2.weight",) and remove_parametrizations(model) == ()
    with torch.no_grad():
        torch.testing.assert_close(model(x), before)
    assert prunekit.prune(model, spec, input_shape=(4,)).proof.passed


def test_the_command_line_makes_them_plain(tmp_path, monkeypatch, capsys):
    file = tmp_path / "own.py"
    file.write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 9)), nn.ReLU(), nn.Linear(9, 3))\n"
        "net.input_shape = (4,)\n"
    )
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    arguments = ["prune", f"{file}:net", "--sparsity", "0.5", "--mode", "structured", "--data", "none"]
    assert main(arguments) == 2 and "--remove-parametrizations" in capsys.readouterr().err
    out = tmp_path / "smaller"
    assert main([*arguments, "--remove-parametrizations", "--out", str(out)]) == 0
    assert type(prunekit.load_model(str(out))[0]) is nn.Linear and prunekit.load_model(str(out))[0].out_features < 9
