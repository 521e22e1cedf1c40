"""The house: who may import whom, without a circle, and that Streamlit stays upstairs."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import prunekit

ROOT = Path(prunekit.__file__).parent
FLOORS = {
    package: floor
    for floor, packages in enumerate(
        (
            "discovery errors formatting",
            "config statistics",
            "local_code",
            "tasks",
            "models",
            "data",
            "criteria",
            "pruning",
            "evaluation",
            "training",
            "runtimes",
            "latency",
            "lessons",
            "experiments",
            "comparison",
            "plots",
            "reports",
            "cli ui",
            "__main__",
        )
    )
    for package in packages.split()
}


MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if "dashboard" not in path.parts
}


def imports(name):
    """Return the modules of the house that one imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {module if module in MODULES else node.module for module in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & MODULES.keys()) - {name, "prunekit"}


def test_a_module_imports_from_its_own_package_or_from_below():
    checked = 0
    for name in MODULES.keys() - {"prunekit"}:
        package = name.split(".")[1]
        for other in imports(name):
            checked += 1
            there = other.split(".")[1]
            assert there == package or FLOORS[there] < FLOORS[package], f"{name} imports {other}"
    assert checked > 1000


def test_no_import_goes_in_a_circle():
    graphlib.TopologicalSorter({name: imports(name) for name in MODULES}).prepare()  # raises a CycleError that names one


IMPORTING = """
import importlib, sys
import sample_models
print("prunekit" in sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print("streamlit" in sys.modules)
"""


def test_streamlit_is_imported_by_the_screen_only_and_the_samples_need_nothing_of_prunekit():
    below = [name for name in MODULES if not name.startswith("prunekit.ui") and not name.endswith("__main__")]
    assert len(below) > 30
    out = subprocess.run([sys.executable, "-c", IMPORTING, *below], capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.split() == ["False", "False"]


def test_no_package_hides_a_public_name():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    clash = packages & set(prunekit.__all__)
    assert not clash, f"importing prunekit.{clash} would put the package in the place of the public function"
