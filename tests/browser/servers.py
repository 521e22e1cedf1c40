"""Servers of the dashboard, each a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server, that answers."""

    def __init__(self, tmp, **environment):
        self.port, self.log = free_port(), tmp / "server.log"
        words = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(ROOT / "app.py"),
            "--server.port",
            str(self.port),
            "--server.headless",
            "true",
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        self.base = f"http://127.0.0.1:{self.port}/"
        self.wait()

    def wait(self):
        start = time.monotonic()
        while time.monotonic() - start < 90:
            try:
                urllib.request.urlopen(self.base + "_stcore/health")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
        pytest.fail("the server did not start: " + self.log.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def kill(self):
        self.process.kill()
        self.process.wait(20)
