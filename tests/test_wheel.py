"""A wheel installed elsewhere is the whole product: the dashboard with its pages and theme, samples and command line."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


def run(*args, **kwargs):
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=600, check=False, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder / "dist"), str(ROOT))
    (wheel,) = (folder / "dist").glob("*.whl")
    run("-m", "pip", "install", "-q", "--no-deps", "--target", str(folder / "site"), str(wheel))
    # the installed copy comes first on the path, so that this checkout cannot stand in for it
    return folder, {**os.environ, "PYTHONPATH": str(folder / "site")}


def test_it_is_the_installed_one_and_prunes_a_sample(elsewhere):
    folder, env = elsewhere
    assert str(folder / "site") in run("-c", "import prunekit; print(prunekit.__file__)", env=env, cwd=folder)
    assert (folder / "site" / "prunekit" / "py.typed").is_file()
    out = run("-m", "prunekit", "prune", "digits_cnn", "--mode", "structured", "--sparsity", "0.5", env=env, cwd=folder)
    assert "proved" in out
    assert "when it was trained: r2 0.491" in run("-m", "prunekit", "inspect", "diabetes_mlp", env=env, cwd=folder)
    imports = "from prunekit.reports.table import TEMPLATES; from prunekit.lessons import LESSONS"
    files = f"{imports}; print(*TEMPLATES.list_templates(), len(LESSONS))"
    assert run("-c", files, env=env, cwd=folder).split() == ["page.html", "table.html", "12"]


def test_prunekit_app_serves_the_dashboard(elsewhere):
    folder, env = elsewhere
    assert (folder / "site" / "prunekit" / "dashboard" / "pages" / "prune.py").is_file()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prunekit", "app", "--port", str(port)], env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            for _ in range(240):
                assert server.poll() is None, (folder / "log").read_text()
                try:
                    body = urllib.request.urlopen(f"http://127.0.0.1:{port}/prune", timeout=5).read().decode()
                    break
                except OSError:
                    time.sleep(0.5)
            assert "<title>" in body
        finally:
            server.terminate()
            server.wait(30)
