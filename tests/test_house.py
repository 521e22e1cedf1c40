"""The house: who may import whom, and that Streamlit stays upstairs."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import prunekit

ROOT = Path(prunekit.__file__).parent
FLOORS = {
    "errors": 0,
    "choices": 0,
    "fields": 0,
    "recovery": 0,
    "spec": 0,
    "catalog": 1,
    "anatomy": 1,
    "criteria": 2,
    "pruning": 3,
    "measure": 4,
    "recover": 4,
    "runtimes": 4,
    "runs": 5,
    "comparison": 5,
    "lessons": 5,
    "jobs": 5,
    "plots": 6,
    "reports": 7,
    "ui": 7,
    "cli": 7,
    "__main__": 8,
}


def modules():
    return sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "prunekit.") if not m.name.startswith("prunekit.dashboard"))


def imported(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_module_imports_from_a_floor_above():
    checked = 0
    for path in ROOT.rglob("*.py"):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if part in ("__init__", "dashboard"):
            continue
        for name in imported(path):
            if name.startswith("prunekit."):
                checked += 1
                assert FLOORS[name.split(".")[1]] <= FLOORS[part], f"{path.relative_to(ROOT)} imports {name}"
    assert checked > 50


IMPORTING = """
import importlib, sys
import sample_models
print("prunekit" in sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print("streamlit" in sys.modules)
"""


def test_streamlit_is_imported_by_the_screen_only_and_the_samples_need_nothing_of_prunekit():
    below = [name for name in modules() if not name.startswith("prunekit.ui") and not name.endswith(("__main__", "latency_child"))]
    assert len(below) > 30
    out = subprocess.run([sys.executable, "-c", IMPORTING, *below], capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.split() == ["False", "False"]


def test_no_package_hides_a_public_name():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    clash = packages & set(prunekit.__all__)
    assert not clash, f"importing prunekit.{clash} would put the package in the place of the public function"
