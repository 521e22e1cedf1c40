"""``prunekit app``: start the dashboard's server."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import prunekit
from prunekit.errors import PrunekitError

# what needs torch is imported where it is used: the server is a process of its own, and would wait for a second import of it


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
    data = [DataId(name) for name in args.data or []]
    loaded = [load_model(model_id) for model_id in models]
    for place, data_id in enumerate(data):
        model = loaded[place] if len(loaded) == len(data) else loaded[0] if loaded and not place else None
        found = load_data(data_id, model=model)
        if model is not None:
            resolve(model, found)
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
    code = for_a_class(args, environment) if args.classroom else serve(words, environment)
    if code:
        raise PrunekitError(f"the dashboard's server ended with exit code {code}: what it said stands above")
    return ""


def for_a_class(args: argparse.Namespace, environment: dict[str, str]) -> int:
    """Start the server for a class, after saying where it will be; its runs are gone when it ends."""
    from prunekit.cli import classroom  # noqa: PLC0415

    with classroom.opened(args.host, args.port) as room:
        print(classroom.announcement(room), end="\n\n", flush=True)
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
