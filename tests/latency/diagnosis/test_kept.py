"""The table of this machine is measured once and kept; whatever is wrong with the file, it is measured again."""

import json
from pathlib import Path

import pytest

from prunekit.experiments import latency_run
from tests.latency.diagnosis.test_breakeven import table


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A home of its own, and a count of measurements; nothing is really measured."""
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    calls = []

    def pretend(threads, budget_s, **_):
        calls.append(threads)
        made = table(lambda *_: 0.1)
        return type(made)(made.cells, threads, made.machine, len(calls))

    monkeypatch.setattr(latency_run, "break_even", pretend)
    return calls


def test_it_is_measured_once_and_again_at_will(measured):
    assert latency_run.kept() is None
    first = latency_run.break_even_here()
    assert latency_run.break_even_here() == latency_run.kept() == first and measured == [1]
    assert latency_run.break_even_here(again=True) == latency_run.kept() != first and measured == [1, 1]


def test_another_number_of_threads_has_a_table_of_its_own(measured):
    latency_run.break_even_here(1)
    assert latency_run.kept(2) is None
    assert latency_run.break_even_here(2).threads == 2 and latency_run.kept(1).threads == 1


def test_another_machine_has_a_table_of_its_own(measured, monkeypatch):
    latency_run.break_even_here()
    monkeypatch.setattr(latency_run, "this_machine", lambda: {"cpu": "another"})
    assert latency_run.kept() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"here": {}}', "\x00", '{"here": 1, "table": 2}', "[" * 100_000])
def test_a_broken_file_is_measured_again(measured, content):
    latency_run.break_even_here()
    latency_run.where().write_text(content)
    assert latency_run.kept() is None
    latency_run.break_even_here()
    assert measured == [1, 1] and latency_run.kept() is not None


def test_bytes_that_are_no_text_are_measured_again(measured):
    latency_run.break_even_here()
    latency_run.where().write_bytes(b"\xff\xfe\x80")
    assert latency_run.kept() is None


def test_a_file_from_elsewhere_under_our_name_is_measured_again(measured):
    latency_run.break_even_here()
    told = json.loads(latency_run.where().read_text())
    told["here"]["torch"] = "0.1"
    latency_run.where().write_text(json.dumps(told))
    assert latency_run.kept() is None


def test_a_home_that_cannot_be_written_is_no_error(measured, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "file"))  # a folder cannot be made below a file, whoever asks
    assert latency_run.break_even_here().threads == 1 and latency_run.kept() is None


def test_a_full_disk_leaves_no_half_written_file(measured, monkeypatch):
    first = latency_run.break_even_here()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    latency_run.break_even_here(again=True)
    assert latency_run.kept() == first and list(latency_run.where().parent.iterdir()) == [latency_run.where()]
