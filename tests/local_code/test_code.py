"""Which code a factory is: every local module that it imports, however, and nothing else."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import pytest

from prunekit.data.load import load_data
from prunekit.errors import ModelError
from prunekit.local_code.code import look_again, walk
from prunekit.local_code.factories import code_of, packages_of
from prunekit.models.info import info
from prunekit.models.load import load_model

IMPORTS = {
    "import plain": {"plain"},
    "import pack.inner as c": {"pack", "pack.inner"},
    "from pack import inner": {"pack", "pack.inner"},
    "from pack.inner import THING": {"pack", "pack.inner"},
    "from pack import *": {"pack"},
    "def f():\n    import plain": {"plain"},
    "class A:\n    def f(self):\n        from pack.sub import deep": {"pack", "pack.sub", "pack.sub.deep", "pack.inner"},
    "import importlib\nimportlib.import_module('pack.sub')": {"pack", "pack.sub"},
    "from importlib import import_module as load\nimport_module('plain')": {"plain"},
    "__import__('plain')": {"plain"},
    "if False:\n    import plain\nelse:\n    import torch": {"plain"},
    "try:\n    import plain\nexcept ImportError:\n    import nothing_of_the_kind": {"plain"},
    "import space.part": {"space.part"},
    "import ring": {"ring", "gnir"},
    "import runpy, pathlib\nrunpy.run_path(str(pathlib.Path(__file__).parent / 'script.py'))": {"script.py", "plain"},
    "import prunekit\nm = lambda: prunekit.load_model('script.py:make')": {"script.py", "plain"},
    "import torch, json, os.path, numpy as np": set(),
    "import prunekit, sample_models.architectures": set(),
}
FILES = {
    "plain.py": "import torch\n",
    "pack/__init__.py": "",
    "pack/inner.py": "THING = 1\n",
    "pack/sub/__init__.py": "",
    "pack/sub/deep.py": "from .. import inner\nfrom ..inner import THING\nfrom ....beyond import it\n",
    "space/part.py": "",
    "ring.py": "import gnir\n",
    "gnir.py": "import ring\n",
    "script.py": "import plain\ndef make(): ...\n",
    "never.py": "",
    "lib/site-packages/installed.py": "",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("text", IMPORTS, ids=lambda text: text.splitlines()[-1].strip())
def test_what_is_imported_is_found_and_nothing_is_run(folder, text):
    (folder / "nets.py").write_text(text)
    before = set(sys.modules)
    found = walk(folder / "nets.py")
    assert set(found.files) == {"", *IMPORTS[text]}
    assert not set(FILES) & (set(sys.modules) - before)
    assert all(Path(found.origins[name]).is_relative_to(folder) for name in found.files)


def test_a_module_of_the_path_counts_and_an_installed_one_does_not(folder, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    (other / "mine_elsewhere.py").write_text("import installed")
    monkeypatch.syspath_prepend(str(other))
    monkeypatch.syspath_prepend(str(folder / "lib" / "site-packages"))
    (folder / "nets.py").write_text("import mine_elsewhere")
    found = walk(folder / "nets.py")
    assert set(found.files) == {"", "mine_elsewhere"} and found.packages == ("installed",)


def test_packages_that_are_installed_are_named(folder):
    (folder / "nets.py").write_text("import json\nimport torch\nfrom timm.layers import DropPath\ndef net(): ...\n")
    assert packages_of(f"{folder}/nets.py:net") == ("timm", "torch")
    assert packages_of("digits_mlp") == ()


NET = "from torch import nn\n{}\ndef net():\n    {}\n    return nn.Sequential(nn.Linear(4, 3), {})\nnet.input_shape = (4,)\n"


def test_code_is_known_by_content_and_the_factory_by_name_wherever_they_lie(folder, tmp_path_factory, monkeypatch):
    text = NET.format("import pack.sub.deep", "import plain", "nn.ReLU()")
    (folder / "pack/sub/deep.py").write_text("from ..inner import THING\n")
    (folder / "nets.py").write_text(f"{text}also = net\n")
    name = f"{folder}/nets.py:net"
    known = code_of(name)
    assert known != code_of(f"{folder}/nets.py:also") and len(known) == 64
    load_model(name)
    assert code_of(name) == known, "that it was run changes nothing"
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "folder"
    shutil.copytree(folder, elsewhere)
    assert code_of(f"{elsewhere}/nets.py:net") == known
    monkeypatch.chdir(elsewhere)
    assert code_of("nets.py:net") == known
    for file in ("nets.py", "pack/__init__.py", "pack/sub/__init__.py", "pack/sub/deep.py", "pack/inner.py", "plain.py"):
        (elsewhere / file).write_text((elsewhere / file).read_text() + "# edited\n")
        assert code_of("nets.py:net") != known
        (elsewhere / file).write_text((folder / file).read_text())
    (elsewhere / "never.py").write_text("# edited\n")
    assert code_of("nets.py:net") == known
    assert code_of("digits_mlp") == code_of("nowhere.py:net") == ""


def test_a_module_whose_name_is_computed_counts_once_it_was_imported(folder):
    (folder / "nets.py").write_text(NET.format("import importlib", "importlib.import_module('nev' + 'er')", "nn.ReLU()"))
    name = f"{folder}/nets.py:net"
    first = info(load_model(name)).code
    assert info(load_model(name)).code == first == info(load_model(name)).code
    now = code_of(name)
    (folder / "never.py").write_text("# edited\n")
    assert code_of(name) != now and info(load_model(name)).code != first


def test_an_edited_neighbour_is_run_again_and_code_is_that_of_the_model_at_hand(folder):
    (folder / "pack/inner.py").write_text("from torch import nn\nact = nn.ReLU\n")
    (folder / "nets.py").write_text(NET.format("from pack.inner import act", "pass", "act()"))
    name = f"{folder}/nets.py:net"
    before = load_model(name)
    assert load_model(name)[1].__class__ is before[1].__class__
    (folder / "pack/inner.py").write_text("from torch import nn\nact = nn.GELU\n")
    after = load_model(name)
    assert (type(before[1]).__name__, type(after[1]).__name__) == ("ReLU", "GELU")
    assert info(before).code != info(after).code, "the model that was loaded before is still the one before"


def test_each_file_has_the_neighbours_of_its_own_folder_and_the_program_keeps_its_own(tmp_path, monkeypatch):
    for folder, size in (("one", 3), ("two", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shared_name.py").write_text(f"SIZE = {size}\nMARK = object()\n")
        (tmp_path / folder / "nets.py").write_text("from torch import nn\nimport shared_name\ndef net():\n    import shared_name as again\n"
                                                   "    assert again is shared_name\n    return nn.Linear(2, again.SIZE)\n")  # fmt: skip
    for folder, size in (("one", 3), ("two", 5), ("one", 3), ("two", 5)):
        assert load_model(f"{tmp_path / folder}/nets.py:net").out_features == size
    monkeypatch.delitem(sys.modules, "shared_name")
    monkeypatch.syspath_prepend(str(tmp_path / "one"))
    import shared_name  # type: ignore[import-not-found]

    assert load_model(f"{tmp_path / 'two'}/nets.py:net").out_features == 5
    assert sys.modules["shared_name"] is shared_name


def test_files_of_one_folder_share_what_they_import(tmp_path):
    (tmp_path / "counted.py").write_text("import builtins as b\nb.prunekit_counted = getattr(b, 'prunekit_counted', 0) + 1\nN = 4\n")
    (tmp_path / "nets.py").write_text("from torch import nn\nimport counted\ndef net(): return nn.Linear(counted.N, 2)\n")
    (tmp_path / "data.py").write_text(
        "import torch\nimport counted\nfrom torch.utils.data import TensorDataset\n"
        "def data(): return TensorDataset(torch.zeros(5, counted.N), torch.zeros(5, dtype=torch.long))\n"
    )
    import builtins

    try:
        for _ in range(2):
            load_data(f"{tmp_path}/data.py:data", model=load_model(f"{tmp_path}/nets.py:net"))
        assert builtins.prunekit_counted == 1
    finally:
        del builtins.prunekit_counted


def test_what_fails_says_where_and_leaves_the_imports_as_they_were(tmp_path):
    (tmp_path / "breaks.py").write_text("raise OSError('no luck')\n")
    (tmp_path / "nets.py").write_text("import breaks\n")
    meta, path = list(sys.meta_path), list(sys.path)
    with pytest.raises(ModelError, match="no luck"):
        load_model(f"{tmp_path}/nets.py:net")
    assert sys.meta_path == meta and sys.path == path and "breaks" not in sys.modules


def test_threads_may_look_for_new_files_at_once():
    failed = []

    def work():
        for _ in range(300):
            sys.path_importer_cache["/nowhere/at/all.zip"] = None  # what Python deletes on the way
            try:
                look_again()
            except KeyError as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
