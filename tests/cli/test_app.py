"""``prunekit app``: what it hands to the server, and that the server comes and goes with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch

import prunekit
from prunekit.cli.app import command, script
from prunekit.cli.parser import build_parser
from prunekit.config import registered
from prunekit.config.ids import DataId, ModelId
from prunekit.experiments.cluster.client import Cluster
from tests import own_nets
from tests.tables import case


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch):
    """Catch what `prunekit app` would start."""
    from prunekit.cli import app

    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(app, "serve", lambda words, environment: started.append((words, environment)) or 0)
    return started


def test_app_hands_over_models_weights_and_data(run, net: Path, tmp_path: Path, launched, monkeypatch) -> None:
    weights = tmp_path / "w.pt"
    torch.save(prunekit.load_model(f"{net}:make").state_dict(), weights)
    words = [
        "--model",
        f"{net}:make",
        "--weights",
        weights,
        "--model",
        "digits_mlp",
        "--data",
        "digits",
        "--port",
        8600,
        "--host",
        "0.0.0.0",
    ]
    run("app", *words)
    (started, environment), *none = launched
    assert not none
    assert started[:5] == [sys.executable, "-P", "-m", "streamlit", "run"]
    assert Path(started[5]).is_absolute()
    assert started[6:] == ["--server.port", "8600", "--server.address", "0.0.0.0"]
    monkeypatch.setenv(registered.VARIABLE, environment[registered.VARIABLE])
    assert registered.from_environment() == ([ModelId(f"{net}:make", str(weights)), ModelId("digits_mlp")], [DataId("digits")])


def test_data_need_to_fit_one_of_several_models(run, refused, tmp_path: Path, launched) -> None:
    own = own_nets.write(tmp_path)
    run("app", "--model", f"{own}:letters", "--model", f"{own}:net", "--data", f"{own}:data")
    assert launched
    assert "pictures" in refused("app", "--model", f"{own}:letters", "--data", f"{own}:data")


@pytest.mark.slow
def test_workers_of_this_machine_carry_the_jobs(run, launched) -> None:
    pytest.importorskip("distributed")
    run("app", "--workers", 1)
    ((_, environment),) = launched
    address = environment["PRUNEKIT_CLUSTER"]
    assert address.startswith("tcp://127.0.0.1:")
    with pytest.raises(prunekit.PrunekitError, match="no Dask scheduler answers"):  # it went with the server
        Cluster(address)


def test_the_server_lists_what_was_registered(net: Path, monkeypatch) -> None:
    monkeypatch.setattr(registered, "_MODELS", [])
    monkeypatch.setattr(registered, "_DATA", [])
    handed = registered.to_environment([ModelId(f"{net}:make")], [DataId("imagefolder:pictures")])
    monkeypatch.setenv(registered.VARIABLE, handed[registered.VARIABLE])
    registered._from_launch.cache_clear()
    try:
        assert [e.id for e in prunekit.list_models() if e.kind == "own"] == [ModelId(f"{net}:make")]
        assert registered.registered_data() == (DataId("imagefolder:pictures"),)
    finally:
        registered._from_launch.cache_clear()
        monkeypatch.delenv(registered.VARIABLE)
        registered._from_launch()


def test_a_damaged_registration_is_one_sentence(monkeypatch) -> None:
    for text in ("{", "[]", '{"models": []}', '{"models": 1, "data": []}'):
        monkeypatch.setenv(registered.VARIABLE, text)
        with case(text), pytest.raises(prunekit.PrunekitError, match=registered.VARIABLE):
            registered.from_environment()


def test_columns_belong_to_the_data_before_them(refused) -> None:
    own = ["--label-column", "taken", "--time-column", "when"]
    assert "must stand behind the one --data" in refused("app", *own)
    assert "must stand behind the one --data" in refused("app", "--data", "csv:a.csv", *own, *own)
    told = build_parser().parse_args(["app", "--data", "csv:a.csv", *own, "--data", "csv:b.csv", "--text-column", "t"])
    assert [DataId(**each) for each in told.data] == [
        DataId("csv:a.csv", label_column="taken", time_column="when"), DataId("csv:b.csv", text_column="t")
    ]  # fmt: skip


def test_app_without_anything_registers_nothing(run, launched) -> None:
    run("app")
    assert registered.VARIABLE not in launched[0][1]
    assert launched[0][0] == command(script(), None, None)


def test_a_server_that_fails_is_one_line(refused, monkeypatch) -> None:
    from prunekit.cli import app

    monkeypatch.setattr(app, "serve", lambda words, environment: 3)
    assert "exit code 3" in refused("app")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_app_serves_from_any_folder_and_ends_with_its_parent(tmp_path: Path, net: Path) -> None:
    port, env = free_port(), {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1])}
    words = [sys.executable, "-m", "prunekit", "app", "--model", f"{net}:make", "--port", str(port)]
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        body = ""
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                    body = answer.read().decode()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.5)
        assert body == "ok"
        # the address of .streamlit/config.toml holds: the server listens on this machine only
        with socket.socket() as other, pytest.raises(OSError):
            other.settimeout(2)
            other.connect((own_address(), port))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with socket.socket() as gone, pytest.raises(OSError):
        gone.connect(("127.0.0.1", port))


def own_address() -> str:
    """Return an address of this machine other than the loopback's 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only picks the outgoing address
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.2"
