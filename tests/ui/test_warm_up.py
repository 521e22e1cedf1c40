"""The server's start: a failing warm-up stops nothing, garbage is collected once, and nothing of it is left behind."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from prunekit.ui.shared import warm_up
from prunekit.ui.shared.warm_up import VARIABLE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def frozen(monkeypatch):
    """Count what the collector is told; nothing is frozen in this process."""
    told = []
    monkeypatch.setattr(gc, "freeze", lambda: told.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: told.append("unfreeze"))
    monkeypatch.setattr(gc, "collect", lambda *_: told.append("collect"))
    monkeypatch.setattr(warm_up, "HEAD_START_S", 0.0)
    yield told
    gc.enable()


def test_pages_are_drawn_and_frozen_then_garbage_is_collected_once(frozen, monkeypatch):
    async def visit(page, address):
        frozen.append((page, address))

    monkeypatch.setattr(warm_up, "_visit", visit)
    gc.disable()
    asyncio.run(warm_up.warm_up())
    drawn = [step for visit in warm_up.VISITS for step in (visit, "freeze")]
    assert frozen == ["freeze", *drawn, "unfreeze", "collect", "freeze"]
    assert gc.isenabled()


def test_a_warm_up_that_fails_is_logged_and_stops_nothing(frozen, monkeypatch, caplog):
    async def visit(page, address):
        raise RuntimeError("no page today")

    monkeypatch.setattr(warm_up, "_visit", visit)
    gc.disable()
    asyncio.run(warm_up.warm_up())
    assert "no page today" in caplog.text and gc.isenabled()


def test_it_can_be_left_out(frozen, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    gc.disable()
    asyncio.run(warm_up.warm_up())
    assert frozen == ["freeze"] and gc.isenabled()  # the imports alone


def test_it_lets_a_running_script_go_first_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(warm_up, "PATIENCE_S", 0.3)
    stop = threading.Event()
    script = threading.Thread(target=stop.wait, name=warm_up.SCRIPTS, daemon=True)
    script.start()
    looked = []
    monkeypatch.setattr(warm_up, "LOOK_S", 0.01)
    alive = threading.enumerate
    monkeypatch.setattr(threading, "enumerate", lambda: looked.append(1) or alive())
    asyncio.run(warm_up._calm())
    assert len(looked) == 30
    stop.set()
    script.join()
    looked.clear()
    asyncio.run(warm_up._calm())
    assert len(looked) == 1


def test_imports_without_collection_leave_the_environment_as_it_was(monkeypatch):
    name = "OMP_WAIT_POLICY"
    monkeypatch.delenv(name, raising=False)
    with warm_up.quick_imports():
        assert not gc.isenabled() and os.environ[name] == "PASSIVE"
    gc.enable()
    assert name not in os.environ
    monkeypatch.setenv(name, "ACTIVE")
    with warm_up.quick_imports():
        assert os.environ[name] == "ACTIVE"
    gc.enable()
    assert os.environ[name] == "ACTIVE"


SERVED = """
import asyncio, gc, sqlite3, threading
from starlette.testclient import TestClient
import app
from prunekit.experiments import home
from prunekit.ui.shared import warm_up
from streamlit.runtime import get_instance

with TestClient(app.app):
    runtime = get_instance()
    for _ in range(1200):
        if gc.isenabled():
            break
        threading.Event().wait(0.1)
    assert gc.get_freeze_count() > 100_000 and gc.isenabled()
    assert not runtime._session_mgr.list_sessions()
    assert not [thread for thread in threading.enumerate() if thread.name == warm_up.SCRIPTS]
    with sqlite3.connect(home() / "runs.sqlite") as rows:
        for table in ("runs", "measurements", "points", "jobs", "labels", "sweeps"):
            assert rows.execute(f"select count(*) from {table}").fetchone() == (0,), table
    from prunekit.ui.shared.model_cache import Source, dense
    assert dense.known(Source("digits_cnn")) is not None
print("warm")
"""


@pytest.mark.slow
def test_a_server_that_warmed_up_has_no_visitor_no_script_and_an_empty_store(tmp_path):
    env = {**os.environ, "PRUNEKIT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), VARIABLE: "1"}
    done = subprocess.run([sys.executable, "-c", SERVED], cwd=ROOT, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0 and "warm" in done.stdout, done.stderr[-3000:]
