"""The house: who may import whom, without a circle, and that Streamlit stays upstairs."""

import ast
import functools
import graphlib
import importlib
import json
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


def exported():
    """Return module and name of what the packages, and modules beside them, export, and of what the pages on the API add."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT.parent / "docs" / "api").glob("*.md"))
    found = {tuple(name.rsplit(".", 1)) for name in re.findall(r"^::: (\S+)", pages, re.MULTILINE)}
    homes = (name for name, path in MODULES.items() if (path.name == "__init__.py" or path.parent == ROOT) and ".ui" not in name)
    packages = [importlib.import_module(name) for name in homes if not name.endswith("__main__")]
    values = [getattr(package, name) for package in packages for name in getattr(package, "__all__", ())]
    return found | {(value.__module__, value.__qualname__) for value in values if hasattr(value, "__qualname__")}


def test_what_packages_export_is_there_and_nothing_else_has_sections_in_its_docstring():
    public = exported()
    assert len(public) > 200
    sections = re.compile(r"^(Parameters|Attributes|Returns|Yields|Raises)\n---", re.MULTILINE)
    long = set()
    for name, path in MODULES.items():
        tops = ast.parse(path.read_text(encoding="utf-8")).body
        private = (node for top in tops if (name, getattr(top, "name", "")) not in public for node in ast.walk(top))
        documented = (node for node in private if isinstance(node, ast.FunctionDef | ast.ClassDef))
        long |= {f"{name}.{node.name}" for node in documented if sections.search(ast.get_docstring(node) or "")}
    schemas = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT.parent / "docs" / "schemas").glob("*.json")]
    described = {name for schema in schemas for name in schema["$defs"]}  # whose fields the schemas describe by their docstrings
    assert {name for name in long if ".schemas." not in name and name.rpartition(".")[2] not in described} == set()


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


SAID = {name: [line for line in path.read_text(encoding="utf-8").splitlines() if ">>>" not in line] for name, path in MODULES.items()}


def test_percent_is_written_by_the_formatter():
    written = re.compile(r"\{[^{}%]*:\.\d%\}")  # f"{share:.1%}" writes no space before the sign
    assert {name for name, lines in SAID.items() if any(written.search(line.replace("%{", "")) for line in lines)} == set()


def test_on_the_screen_no_line_breaks_before_a_percent_sign():
    shown = [name for name in MODULES if name.startswith(("prunekit.ui.", "prunekit.plots."))]
    docs = (ast.Module, ast.FunctionDef, ast.ClassDef)
    for name in shown:
        said = {ast.get_docstring(node, clean=False) for node in tree(name) if isinstance(node, docs)}
        texts = [node.value for node in tree(name) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        broken = [text for text in texts if text not in said and re.search(r"\d %", text)]
        assert not broken, f"{name}: a narrow no-break space (\\u202f) belongs before the sign in {broken}"


def test_small_differences_are_written_by_the_formatter():
    written = re.compile(r"\{[^{}]*:\.\de\}")  # f"{off:.1e}" writes 2.4e-07
    assert {name for name, lines in SAID.items() if any(written.search(line) for line in lines)} == {"prunekit.formatting"}
