"""README, and what stands beside it on the site, stay true: Python runs, command lines parse and run, links lead somewhere."""

import json
import re
import shlex
from pathlib import Path

import pytest

import prunekit
from prunekit.cli import main
from prunekit.local_code import contract

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/index.md", "docs/howto/commands.md", "docs/howto/contract.md")
README, *OTHERS = ((ROOT / name).read_text(encoding="utf-8") for name in PAGES)


def blocks(language):
    """Return the code of one language in README and the pages that repeat and go on with it, each once."""
    return list(dict.fromkeys(block for text in (README, *OTHERS) for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)))


def commands():
    lines = dict.fromkeys(line.partition("  #")[0].strip() for block in blocks("bash") for line in block.splitlines())
    return [line for line in lines if line.startswith("prunekit ") and not line.startswith("prunekit app")]


def words_of(line):
    """Return a command's words; what is timed gets less time here, for another budget changes nothing that is done."""
    words = shlex.split(line)[1:]
    return [*words, "--budget", "0.2"] if words[0] == "latency" else words


def test_it_says_what_a_file_of_ones_own_must_hold():
    assert blocks("text") == [contract.text() + "\n"]


def test_the_python_example_runs():
    (code,) = blocks("python")
    names = {}
    exec(code, names)
    result = names["result"]
    assert result.proof.passed and result.masks is None and result.achieved.sparsity == 0.5
    assert set(result.kept) == set(result.report.name)


def test_there_are_commands_to_try():
    assert {line.split()[1] for line in commands()} == {"models", "inspect", "prune", "sweep", "sensitivity", "latency"}


def takes_long(line):
    """Return whether a command takes tens of seconds: a large network, or a file for each runtime."""
    return "torchvision" in line or "--runtime" in line


@pytest.mark.parametrize("line", [line for line in commands() if not takes_long(line)])
def test_the_command_lines_run(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words_of(line)) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.slow
def test_the_way_of_a_run_from_saving_to_the_archive(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    (block,) = blocks("shell")
    lines = block.splitlines()
    assert {line.split()[1] for line in lines} == {"prune", "runs", "compare", "export", "check", "apply", "import"}
    for line in lines:
        assert main(["runs", "--json"]) == 0
        names = iter(run["id"][:12] for run in json.loads(capsys.readouterr().out)["runs"] if run["kind"] == "pruned")
        words = [next(names) if word == "RUN" else word for word in shlex.split(line)[1:]]
        assert main(words) == 0, line
        assert capsys.readouterr().out.strip()
    assert (tmp_path / "report.html").is_file() and (tmp_path / "smaller.zip").is_file()


@pytest.mark.parametrize(
    "line",
    [  # each length of a text is exported for itself; a large network is timed for as long as a small one, whose line says more
        pytest.param(line, marks=pytest.mark.nightly if "--length" in line or "torchvision" in line else pytest.mark.slow)
        for line in commands()
        if takes_long(line)
    ],
)
def test_the_long_command_lines_run(line, capsys):
    assert main(words_of(line)) == 0
    assert capsys.readouterr().out.strip()


def test_ci_runs_the_test_command_word_for_word():
    (line,) = [line.partition("  #")[0].strip() for line in README.splitlines() if "# the tests" in line]
    assert line in [each.strip() for each in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_the_version_is_the_same_everywhere():
    said = [re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]]
    said += re.findall(r"/prunekit:([\d.]+)", (ROOT / "docs" / "cluster.md").read_text())
    said.append(re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1])
    assert set(said) == {prunekit.__version__}


def test_its_figures_are_those_of_the_pages_that_scripts_write():
    structured, coverage, peers = (
        (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("structured", "coverage", "peers")
    )
    middle = re.findall(r"([\d.]+x) as fast in the middle", structured)
    assert middle == re.findall(r"([\d.]+x) as fast in the middle", README) and len(middle) == 3
    assert middle == re.findall(r"^\|[^|]+\| ([\d.]+x) \|", peers.partition("## Removing channels")[2].partition("\n## ")[0], re.MULTILINE)
    counted = re.findall(r"(\d+ of \d+)", " ".join(README.partition("of all 80 classifiers")[2].split())[:200])
    assert len(counted) == 2 and all(each in coverage for each in ("80 of 80", *counted))


def test_files_that_it_links_to_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links and all((ROOT / link).exists() for link in links)
