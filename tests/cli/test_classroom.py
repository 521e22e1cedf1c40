"""`prunekit app --classroom`: what is printed, what the server is told, and that nobody outside is asked."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

import prunekit
from prunekit.cli import app, main
from prunekit.experiments.classroom import KEY, MARK, VARIABLE, Classroom, from_environment
from prunekit.lessons.lesson import LESSONS


@pytest.fixture
def launched(monkeypatch):
    """Catch what would be started, and what lies in its folder at that time."""
    started = []

    def serve(words, environment):
        started.append((words, environment, sorted(path.name for path in Path(environment["PRUNEKIT_HOME"]).iterdir())))
        return 0

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(app, "local_workers", lambda number: nullcontext({"workers": str(number)}))
    return started


def flags(words):
    """The flags of a command with their values, the later of two."""
    return dict(zip(words[6::2], words[7::2], strict=True))


def test_it_prints_the_addresses_of_the_class_of_the_lessons_and_how_to_reset(launched, capsys):
    assert main(["app", "--classroom", "--host", "127.0.0.1", "--port", str(free())]) == 0
    said, (words, environment, _) = capsys.readouterr().err, launched[0]
    told = flags(words)
    address = f"http://127.0.0.1:{told['--server.port']}"
    assert re.search(rf"For the class: +{re.escape(address)}\n", said)
    for lesson in LESSONS:
        assert f"{address}/learn?lesson={lesson.number}  {lesson.title}" in said
    assert len(re.findall(r"learn\?lesson=\d", said)) == len(LESSONS)
    assert f"{address}/?teacher={environment[KEY]}" in said and "Reset for the next class" in said
    assert "Only this machine can open these" in said


def test_the_server_is_told_by_the_environment_and_serves_runs_from_a_folder_that_goes(launched, monkeypatch):
    for _ in "ab":
        main(["app", "--classroom", "--host", "127.0.0.1"])
    (words, environment, found), (_, other, _) = launched
    assert from_environment(environment) == Classroom(f"http://127.0.0.1:{flags(words)['--server.port']}", environment[KEY])
    assert found == [MARK] and not Path(environment["PRUNEKIT_HOME"]).exists()
    assert environment["PRUNEKIT_HOME"] not in (os.environ["PRUNEKIT_HOME"], other["PRUNEKIT_HOME"])
    assert len(environment[KEY]) >= 16 and environment[KEY] != other[KEY]


def test_the_host_is_what_the_server_listens_on(launched, monkeypatch):
    main(["app", "--classroom", "--host", "127.0.0.1"])
    told = flags(launched[0][0])
    assert told["--server.address"] == told["--browser.serverAddress"] == "127.0.0.1" and told["--server.maxUploadSize"] == "1"
    monkeypatch.setattr(app, "lan_address", lambda: "192.0.2.44")
    main(["app", "--classroom", "--host", "0.0.0.0"])
    told = flags(launched[1][0])
    assert (told["--server.address"], told["--browser.serverAddress"]) == ("0.0.0.0", "192.0.2.44"), "nobody can open 0.0.0.0"
    assert launched[1][1][VARIABLE].startswith("http://192.0.2.44:")


def test_without_a_host_the_address_on_the_network_is_taken(launched, monkeypatch):
    monkeypatch.setattr(app, "lan_address", lambda: "127.0.0.2")
    main(["app", "--classroom"])
    assert flags(launched[0][0])["--server.address"] == "127.0.0.2"
    monkeypatch.setattr(app, "lan_address", lambda: None)
    main(["app", "--classroom"])
    assert flags(launched[1][0])["--server.address"] == "127.0.0.1"


def test_finding_the_address_sends_nothing_and_asks_no_name_server(monkeypatch):
    asked = []

    class Probe(socket.socket):
        def send(self, *args):
            asked.append("send")

        sendto = sendmsg = sendall = send

        def connect(self, address):
            asked.extend(["stream"] * (self.type != socket.SOCK_DGRAM))
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Probe)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getfqdn", "create_connection"):
        monkeypatch.setattr(socket, name, lambda *_, name=name: asked.append(name))
    found = app.lan_address()
    assert not asked and (found is None or re.fullmatch(r"\d+(\.\d+){3}", found)) and found != "127.0.0.1"


def test_a_machine_without_a_network_has_no_address(monkeypatch):
    def refuse(*_):
        raise OSError(101, "Network is unreachable")

    class Cut(socket.socket):
        connect = refuse

    monkeypatch.setattr(socket, "socket", Cut)
    assert app.lan_address() is None


def test_a_port_in_use_is_passed_over_or_said(launched, capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--classroom", "--host", "127.0.0.1", "--port", str(port)]) == 2
        assert "another with --port" in capsys.readouterr().err and not launched
        monkeypatch.setattr(app, "FIRST_PORT", port)
        main(["app", "--classroom", "--host", "127.0.0.1"])
    assert int(flags(launched[0][0])["--server.port"]) > port


@pytest.mark.parametrize("host", ["192.0.2.1", "no such machine"])
def test_an_address_that_is_not_this_machines_is_said_in_one_line(launched, capsys, host):
    assert main(["app", "--classroom", "--host", host]) == 2
    said = capsys.readouterr().err
    assert "--host" in said and said.count("\n") == 1 and not launched


def test_an_address_with_colons_stands_in_brackets():
    assert app.shown_host("fe80::1") == "[fe80::1]" and app.shown_host("host.local") == "host.local"


def test_without_the_flag_nothing_of_it_reaches_the_server(monkeypatch):
    started = []
    monkeypatch.setattr(app, "serve", lambda words, environment: started.append((words, environment)) or 0)
    main(["app", "--host", "127.0.0.1", "--port", "8600"])
    words, environment = started[0]
    assert words[6:] == ["--server.port", "8600", "--server.address", "127.0.0.1"]
    assert from_environment(environment) is None and environment["PRUNEKIT_HOME"] == os.environ["PRUNEKIT_HOME"]


@pytest.mark.parametrize(("told", "classroom_"), [("", None), ("1", Classroom()), ("http://h:1/", Classroom("http://h:1"))])
def test_what_the_environment_says(told, classroom_):
    assert from_environment({VARIABLE: told}) == classroom_


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(("flags", "installed", "number"), [([], True, "1"), ([], False, "0"), (["--workers", "0"], True, "0")])
def test_a_process_of_its_own_carries_the_jobs_of_a_class(flags, installed, number, launched, monkeypatch):
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: installed or name != "distributed" or None)
    main(["app", "--classroom", "--host", "127.0.0.1", *flags])
    assert launched[0][1]["workers"] == number


@pytest.mark.slow
def test_a_server_for_a_class_gives_each_browser_a_cookie_and_leaves_nothing(tmp_path):
    port, env = free(), {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1]), "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-m", "prunekit", "app", "--classroom", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        cookies = [cookie_of(process, port) for _ in "ab"]
        assert all(re.match(r"prunekit_seat=[0-9a-f]{32};", cookie) for cookie in cookies) and len(set(cookies)) == 2
        assert list(tmp_path.glob("prunekit-class-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not list(tmp_path.glob("prunekit-class-*"))


def cookie_of(process, port):
    """The cookie of a page, asked for until the server answers."""
    for _ in range(240):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/learn?lesson=1", headers={"Accept": "text/html"})
            return connection.getresponse().getheader("set-cookie", "")
        except OSError:
            assert process.poll() is None
            time.sleep(0.5)
        finally:
            connection.close()
    raise AssertionError("no answer")
