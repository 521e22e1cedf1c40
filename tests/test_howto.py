"""The how-to pages do what they say: files are written, Python runs and commands end well, from top to bottom in an empty folder."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from prunekit.cli import main
from prunekit.cli.app import registered
from prunekit.cli.parser import build_parser

PAGES = Path(__file__).resolve().parents[1] / "docs" / "howto"
BLOCK = re.compile(r"```(python|bash)\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"# (\w+\.py)\n")
OWN = {"classifier", "text", "detector", "recommender"}
FOLLOWED = {*OWN, "ci", "programs"}
LONG = {"latency", "export", "check"}
"""Commands that wait for a process of their own, which the tests of these commands cover: at night all run."""


def follow(page, without=()):
    """Carry out all blocks of a page in the working folder, and return the commands that ran, by name."""
    names, ran = {}, []
    for language, code in BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")):
        if language == "bash":
            for line in code.splitlines():
                words = shlex.split(line, comments=True)
                assert words[0] == "prunekit", line
                if words[1] == "app":  # a server would stay: what it is told of is loaded
                    registered(build_parser().parse_args(words[1:]))
                elif words[1] not in without:
                    assert main(words[1:]) == 0, line
                    ran.append(words[1])
        elif file := NAMED.match(code):
            Path(file[1]).write_text(code, encoding="utf-8")
        else:
            exec(code, names)
    return ran


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(OWN))
def test_a_page_can_be_followed(page, folder, capsys):
    ran = follow(page, without=LONG)
    assert {"inspect", "prune"} <= set(ran) and capsys.readouterr().out.count("proved: ") >= ran.count("prune")


@pytest.mark.slow
def test_a_gate_lets_a_good_model_pass(folder, capsys):
    assert follow("ci", without=LONG) == ["prune", "compare"]
    assert capsys.readouterr().out.count("passed: ") == 2


@pytest.mark.slow
def test_a_tracker_of_ones_own_is_told_of_each_epoch(folder, capsys):
    assert follow("programs") == []
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2", "2"]


@pytest.mark.nightly
@pytest.mark.parametrize("page", sorted({*OWN, "ci"}))
def test_a_page_can_be_followed_to_its_end(page, folder):
    assert LONG & set(follow(page))


def test_every_page_with_something_to_run_is_followed():
    runnable = {path.stem for path in PAGES.glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8"))}
    assert runnable - {"commands", "install"} == FOLLOWED  # tests/test_readme.py runs the commands; CI installs
