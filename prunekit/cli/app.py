"""``prunekit app``: start the dashboard's server, for one person or for a class."""

from __future__ import annotations

import argparse
import errno
import importlib
import importlib.util
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prunekit
from prunekit.errors import PrunekitError

if TYPE_CHECKING:
    from prunekit.experiments.classroom import Classroom

# what needs torch is imported where it is used: the server is a process of its own, and would wait for a second import of it

ALONE = "127.0.0.1"
FIRST_PORT, PORTS = 8501, 100
TAKEN = (errno.EADDRINUSE, errno.EACCES)
ELSEWHERE = ("192.0.2.1", "10.0.0.1", "172.16.0.1", "192.168.0.1")
"""An address set aside for documentation, and one of each private network: a way there is looked up, nobody is asked."""


@dataclass(frozen=True)
class Room:
    """A classroom that is about to open."""

    classroom: Classroom  # what the server has to know
    flags: list[str]  # what the server is started with
    folder: Path  # where the runs of the class live


def lan_address() -> str | None:
    """Return this machine's address on its network, or None where it has none.

    A datagram socket is pointed elsewhere and asked which of this machine's addresses it would use: nothing is sent.
    """
    for there in ELSEWHERE:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((there, 9))
                found = str(probe.getsockname()[0])
            except OSError:
                continue
        if not ipaddress.ip_address(found).is_loopback and found != "0.0.0.0":
            return found
    return None


def port_of(host: str, port: int | None) -> int:
    """Return the port to listen on: the given one, or the first free one from 8501 on."""
    if port is not None:
        if _free(host, port):
            return port
        raise PrunekitError(f"something listens on port {port} of {host} already: stop that, or name another with --port")
    for number in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _free(host, number):
            return number
    raise PrunekitError(f"none of the ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} of {host} is free: name one with --port")


def _free(host: str, port: int) -> bool:
    """Whether a port can be listened on."""
    try:
        family, kind, number, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise PrunekitError(f"there is no address {host!r}: --host takes one of this machine's own, or 0.0.0.0 for all of them") from None
    with socket.socket(family, kind, number) as probe:
        if os.name == "posix":  # a port that a server has just left may be taken again, as the server will
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as error:
            if error.errno in TAKEN:
                return False
            raise PrunekitError(
                f"this machine cannot listen on {host} ({error.strerror or error}): name one of its own with --host"
            ) from None
    return True


def shown_host(host: str) -> str:
    """Return what stands in an address for what the server listens on: all of this machine's are shown by the one on the network."""
    if host in ("0.0.0.0", "::"):
        return lan_address() or ALONE
    return f"[{host}]" if ":" in host else host


@contextmanager
def opened(host: str | None, port: int | None) -> Iterator[Room]:
    """Have a folder for the runs of a class, which goes in the end, and all that its server is told."""
    from prunekit.experiments.classroom import Classroom, mark, new_key  # noqa: PLC0415

    listen = host or lan_address() or ALONE
    number, shown = port_of(listen, port), shown_host(listen)
    classroom = Classroom(f"http://{shown}:{number}", new_key())
    # 1 MB is the least that can be said; nothing on the page takes a file
    flags = ["--server.address", listen, "--server.port", str(number), "--browser.serverAddress", shown, "--server.maxUploadSize", "1"]
    with tempfile.TemporaryDirectory(prefix="prunekit-class-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        mark(folder)
        yield Room(classroom, flags, folder)


def announcement(room: Room) -> str:
    """Return what the teacher reads: addresses for the class, the teacher's own, and how to begin again."""
    classroom = room.classroom
    lines = [f"For the class:   {classroom.address}", "", "Its lessons:"]
    lines += [f"  {number}  {address}  {title}" for number, (title, address) in enumerate(classroom.lessons, 1)]
    lines += ["", f"For you alone:   {classroom.teacher}", ""]
    if f"//{ALONE}:" in classroom.address:
        lines += ["Only this machine can open these: no network was found. Name this machine's address with --host.", ""]
    lines += [
        "Uploads and deletion are off, and each browser sees the runs that it made itself.",
        'The next class: open your own address and press "Reset for the next class" in the sidebar. It removes all runs of the class',
        "and tells every tab that is open.",
        "Runs of a class are kept apart from your own, and go when this server stops (Ctrl-C): export what is to stay.",
    ]
    return "\n".join(lines)


def script() -> Path:
    """Return the dashboard's ``app.py``: inside an installed package, or beside the package in a source checkout."""
    package = Path(prunekit.__file__).resolve().parent
    for home in (package / "dashboard", package.parent):
        if (home / "app.py").is_file() and (home / "pages").is_dir():
            return home / "app.py"
    raise PrunekitError("the dashboard's files are missing: install prunekit again")


def registered(args: argparse.Namespace) -> dict[str, str]:
    """Load every model and all data once, so that a mistake is said here and not in the browser; return what tells the server of them."""
    if not args.models and not args.data:
        return {}
    from prunekit.config.ids import DataId, ModelId  # noqa: PLC0415
    from prunekit.config.registered import to_environment  # noqa: PLC0415
    from prunekit.data.load import load_data  # noqa: PLC0415
    from prunekit.models.load import load_model  # noqa: PLC0415
    from prunekit.tasks.resolver import resolve  # noqa: PLC0415

    models = [ModelId(**told) for told in args.models or []]
    data = [DataId(**told) for told in args.data or []]
    loaded = [load_model(model_id) for model_id in models]

    def check(data_id: DataId, model: Any) -> PrunekitError | None:
        try:
            found = load_data(data_id, model=model)
            if model is not None:
                resolve(model, found)
        except PrunekitError as error:
            return error
        return None

    for place, data_id in enumerate(data):
        theirs = [loaded[place]] if len(loaded) == len(data) else [*loaded, *([] if loaded and not place else [None])]
        faults = [check(data_id, model) for model in theirs]
        if None not in faults:
            raise next(filter(None, faults))
    return to_environment(models, data)


def command(app: Path, port: int | None, host: str | None) -> list[str]:
    """Return the command that serves the dashboard.

    Streamlit reads ``.streamlit/config.toml`` beside ``app.py`` from wherever it is started, so that address, protection and theme hold.
    """
    if port is not None and not 1 <= port <= 65535:
        raise PrunekitError(f"--port must be from 1 to 65535; got {port}")
    flags = [("--server.port", port), ("--server.address", host)]
    # -P: the current folder is no place to import from
    words = [sys.executable, "-P", "-m", "streamlit", "run", str(app)]
    return words + [word for name, value in flags if value is not None for word in (name, str(value))]


def app(args: argparse.Namespace) -> str:
    """Start the server and stay with it until it ends."""
    if importlib.util.find_spec("streamlit") is None:
        raise PrunekitError("streamlit is not installed: pip install streamlit")
    words = command(script(), args.port, args.host)
    told = registered(args)
    home = str(Path(prunekit.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH")) if part)
    environment = {**os.environ, **told, "PYTHONPATH": path}
    with local_workers(workers_for(args)) as cluster:
        environment |= cluster
        code = for_a_class(args, environment) if args.classroom else serve(words, environment)
    if code:
        raise PrunekitError(f"the dashboard's server ended with exit code {code}: what it said stands above")
    return ""


def workers_for(args: argparse.Namespace) -> int:
    """Return how many workers are wanted: a class has one where it can, so that no job takes the turn of thirty visitors."""
    if args.workers is not None:
        return int(args.workers)
    return int(args.classroom and "PRUNEKIT_CLUSTER" not in os.environ and importlib.util.find_spec("distributed") is not None)


@contextmanager
def local_workers(number: int) -> Iterator[dict[str, str]]:
    """Have so many worker processes of one thread each, which only this machine reaches and which go in the end; return their address."""
    if not number:
        yield {}
        return
    if number < 0:
        raise PrunekitError(f"--workers must be at least 0; got {number}")
    if importlib.util.find_spec("distributed") is None:
        raise PrunekitError("--workers needs the package distributed: pip install 'prunekit[dask]'")
    made: Any = importlib.import_module("distributed").LocalCluster
    one_thread = {"threads_per_worker": 1, "memory_limit": None}
    with made(n_workers=0, host=ALONE, dashboard_address=None, silence_logs=logging.CRITICAL, **one_thread) as cluster:
        cluster.scale(number)  # the server need not wait for them
        yield {"PRUNEKIT_CLUSTER": cluster.scheduler_address}


def for_a_class(args: argparse.Namespace, environment: dict[str, str]) -> int:
    """Start the server for a class, after saying where it will be; its runs are gone when it ends."""
    with opened(args.host, args.port) as room:
        print(announcement(room), end="\n\n", flush=True)
        told = room.classroom.to_environment(room.folder)
        return serve([*command(script(), None, None), *room.flags], {**environment, **told})


def serve(words: list[str], environment: dict[str, str]) -> int:
    """Run the server; what ends this process ends the server as well. Ctrl-C is a normal end."""
    process = subprocess.Popen(words, env=environment)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()
        return 0
    finally:
        if process.poll() is None:
            process.kill()
    return 0 if code in (-signal.SIGTERM, -signal.SIGINT) else code
