"""The house: who may import whom, without a circle, and that Streamlit stays upstairs."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import prunekit

ROOT = Path(prunekit.__file__).parent
FLOORS = {
    package: floor
    for floor, packages in enumerate(
        (
            "colours discovery errors formatting",
            "config notebook statistics tracking",
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


@functools.cache
def tree(name):
    """Return the nodes of a module."""
    return list(ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))))


def imports(name):
    """Return the modules of the house that one imports, inside functions and for type checkers too."""
    found = set()
    for node in tree(name):
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


def test_files_that_the_map_names_are_there():
    pages = [(ROOT.parent / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("architecture", "internals", "extending")]
    named = set(re.findall(r"`((?:\w+/)+\w+\.\w+)`", "".join(pages)))
    assert len(named) > 30
    assert {file for file in named if not (ROOT / file).exists() and not (ROOT.parent / file).exists()} == set()


def test_documented_parameters_are_there():
    told = {}
    for name in MODULES:
        for node in tree(name):
            if isinstance(node, ast.FunctionDef) and "Parameters\n---" in (text := ast.get_docstring(node) or ""):
                listed = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n---|\Z)", text, re.DOTALL | re.MULTILINE)[1]
                names = {
                    each.strip(" *")
                    for line in re.findall(r"^([*\w]+(?:, [*\w]+)*)(?: :|$)", listed, re.MULTILINE)
                    for each in line.split(",")
                }
                wrong = names - {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
                told |= {f"{name}.{node.name}": wrong} if wrong or not names else {}
    assert not told


def test_no_import_goes_in_a_circle():
    graphlib.TopologicalSorter({name: imports(name) for name in MODULES}).prepare()  # raises a CycleError that names one


IMPORTING = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*{name.partition(".")[0] for name in sys.modules})
"""


def loaded_by(*names):
    """Return the top packages that a fresh process holds once it has imported these modules."""
    out = subprocess.run([sys.executable, "-c", IMPORTING, *names], capture_output=True, text=True, check=True, timeout=120)
    return set(out.stdout.split())


def test_streamlit_is_imported_by_the_screen_only():
    below = [name for name in MODULES if not name.startswith("prunekit.ui") and not name.endswith("__main__")]
    assert len(below) > 30
    assert "prunekit" in (packages := loaded_by(*below)) and "streamlit" not in packages


def test_samples_import_nothing_of_the_house():
    files = sorted((ROOT.parent / "sample_models").rglob("*.py"))
    for path in files:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not [name for name in named if name.partition(".")[0] == "prunekit"], path
    modules = [".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__") for path in files]
    assert "sample_models" in (packages := loaded_by(*modules)) and "prunekit" not in packages


def test_no_package_hides_a_public_name():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    clash = packages & set(prunekit.__all__)
    assert not clash, f"importing prunekit.{clash} would put the package in the place of the public function"
