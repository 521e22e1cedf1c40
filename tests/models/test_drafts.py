"""What a killed process leaves of a folder that it writes, replaces or removes: nothing half, nothing lost, nothing for good."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prunekit.models import drafts
from prunekit.models.folder import is_folder
from prunekit.models.saved_values import WEIGHTS


def killed(work) -> None:
    """Do something in a process that ends without a last word."""
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    os.waitpid(pid, 0)


def filled(folder: Path, text: str) -> Path:
    """Return a folder that holds what prunekit writes, as far as its names go."""
    folder.mkdir()
    for name in (WEIGHTS, "recipe.yaml"):
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> str:
    return (folder / WEIGHTS).read_text()


def write(target: Path, text: str, *, die: str = "") -> None:
    """Write a folder; die before it is in place, or between the two steps of its taking the place of another."""
    with drafts.draft(target) as beside:
        made = filled(beside / "new", text)
        if die == "writing":
            os._exit(1)
        if die == "replacing":
            target.rename(beside / drafts.OLD)
            os._exit(1)
        drafts.put(made, target)


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


def test_a_half_written_folder_is_hidden_and_goes_with_the_next(tmp_path, monkeypatch):
    target = tmp_path / "model"
    killed(lambda: write(target, "one", die="writing"))
    assert not is_folder(target) and len(hidden(tmp_path)) == 1
    write(target, "two")
    assert len(hidden(tmp_path)) == 1, "it is young: its process might be about to lock it"
    monkeypatch.setattr(drafts.clear, "__defaults__", (0.0,))
    write(tmp_path / "other", "three")
    assert content(target) == "two" and not hidden(tmp_path)


@pytest.mark.parametrize("asked", [is_folder, lambda target: write(target, "two")], ids=["read", "written"])
def test_a_folder_whose_process_died_while_it_replaced_it_comes_back(tmp_path, asked):
    target = filled(tmp_path / "model", "one")
    killed(lambda: write(target, "half", die="replacing"))
    drafts.clear(tmp_path, 0.0)
    assert not target.exists()
    asked(target)
    assert is_folder(target) and content(target) in ("one", "two")
    drafts.clear(tmp_path, 0.0)
    assert not hidden(tmp_path)


def test_a_draft_in_work_and_what_somebody_else_made_are_left_alone(tmp_path):
    own = tmp_path / ".notes.draft"
    own.mkdir()
    with drafts.draft(tmp_path / "model") as beside:
        drafts.clear(tmp_path, 0.0)
        assert beside.is_dir() and own.is_dir()
        (beside / drafts.OLD).mkdir()
        drafts.bring_back(tmp_path / "model")
        assert not (tmp_path / "model").exists()
    assert hidden(tmp_path) == [own]
