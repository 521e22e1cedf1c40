"""What SIGKILL costs: processes that sweep, sense, fine-tune, export and import on one home are killed at random moments.

    python tests/benchmarks/held.py [--kills 100] [--seed 0] [--home DIR]

Each process takes up the work of the one before, says what is committed the moment it is, and is killed without a last word: at a random
moment up to one and a half times as late as the piece of work that it begins with usually takes, each of the five kinds in turn. After
each kill all that was ever said to be committed must still be there, as it was, and no file may be half. In the end the work is finished
undisturbed, done once more in a second home without any kill, and every row and every file of the two are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import random
import select
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from safetensors import safe_open

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.experiments.archive.exporting import export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.experiments.sources import use_loader
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import sweep_through
from prunekit.models.drafts import clear
from prunekit.models.load import load_model

KINDS = ("sweep", "sensitivity", "fine-tuning", "export", "import")
MODEL, DATA = ModelId("digits_cnn"), DataId("digits")
AHEAD, ENDLESS = 3, 10_000
"""Rounds of the five kinds that may be under way at a time."""
TABLES = {
    "runs": "id, kind, title, model, weights, spec, recovery, trained_on, parent, identity, info",
    "measurements": "id, run, what, data, data_hash, split, n, runtime, machine, versions, identity, value, observations, metric",
    "sweeps": "id, request, weights",
    "points": "sweep, position, requested, run, measurement",
    "labels": "run, saved, tags, note",
}
Say = Callable[[str, str], None]


def spec_of(number: int) -> PruneSpec:
    """Return another setting for each round."""
    modes = ("unstructured", "structured")
    return PruneSpec(mode=modes[number % 2], criterion="random", sparsity=0.5, seed=number)  # type: ignore[arg-type]


def recovery_of(number: int) -> AccuracyRequest:
    """Return what is fine-tuned in a round."""
    return AccuracyRequest(MODEL, DATA, spec_of(number), Recovery(recalibrate=True, epochs=1, train_images=200, seed=number), "validation")


def work(kind: str, number: int, store: RunStore, home: Path, say: Say) -> None:
    """Do one piece of work, and say of each part that it is committed."""
    if kind == "sweep":
        request = SweepRequest(MODEL, DATA, spec_of(number), sparsities=tuple(i / 10 for i in range(1, 10)))
        sweep_through(request, store, report=lambda point: say("runs", str(point.run)))
    elif kind == "sensitivity":
        sense(SensitivityRequest(MODEL, DATA, spec_of(number), images=150, sparsities=(0.3, 0.6, 0.9)), store)
    elif kind == "fine-tuning":
        for stage in recover_through(recovery_of(number), store):
            say("runs", stage.run)
        say("folder", stage.run)
    elif kind == "export":
        run = recover_through(recovery_of(number), store)[-1].run
        say("archive", export_run(run, archive_of(home, number), store).path.name)
    else:
        store.relabel(import_archive(archive_of(home, number), store).id, note=f"round {number}", saved=True)
        taken = import_archive(archive_of(home, number), store).id  # again: what is there must not suffer
        say("runs", taken)
        say("folder", taken)


def archive_of(home: Path, number: int) -> Path:
    """Return where the archive of a round lies."""
    return home / "archives" / f"round{number}.zip"


def live(home: Path, first: str, rng: random.Random, done: set[str], most: int, pipe: int) -> None:
    """Be one process: take up work until killed, or until so many rounds are done."""
    os.setsid()
    os.environ["PRUNEKIT_HOME"] = str(home)
    store = RunStore(home / "runs.sqlite")

    def say(what: str, name: str) -> None:
        os.write(pipe, (json.dumps([what, name]) + "\n").encode())

    say("ready", "")
    while True:
        chosen = next_of(rng, done, most, first)
        first = ""
        if chosen is None:
            say("finished", "")
            return
        kind, number = chosen
        say("begun", kind)
        work(kind, number, store, home, say)
        done.add(f"{kind} {number}")
        say("done", f"{kind} {number}")


def next_of(rng: random.Random, done: set[str], most: int, first: str = "") -> tuple[str, int] | None:
    """Return what to do next: anything of the first rounds that are not through, of a certain kind where that can be had."""
    open_ = [n for n in range(most) if any(f"{kind} {n}" not in done for kind in KINDS)][:AHEAD]
    able = [(kind, n) for n in open_ for kind in KINDS if f"{kind} {n}" not in done and (kind != "import" or f"export {n}" in done)]
    return rng.choice([each for each in able if each[0] == first] or able) if able else None


@dataclass
class Seen:
    """What was found so far."""

    committed: set[tuple[str, str]] = field(default_factory=set)
    rows: dict[tuple[str, str], str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    under_way: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    took: dict[str, list[float]] = field(default_factory=dict)
    longest: dict[str, float] = field(default_factory=dict)

    def usual(self, kind: str) -> float:
        """Return how many seconds a piece of work of a kind takes: longer, where none was ever finished, than any was given."""
        return sum(self.took[kind]) / len(self.took[kind]) if self.took.get(kind) else max(2.0, 2 * self.longest.get(kind, 0.0))


def life(home: Path, seen: Seen, number: int, seed: int, most: int = ENDLESS) -> None:
    """Let one process live for a random time, or with ``most`` rounds until all of them are done."""
    rng = random.Random(f"{seed} {number}")
    first, share = KINDS[number % len(KINDS)], rng.uniform(0, 1.5)
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ours)
        try:
            live(home, first, rng, set(seen.done), most, theirs)
        except BaseException:
            traceback.print_exc()
            os.write(theirs, (json.dumps(["fault", traceback.format_exc(limit=-3)]) + "\n").encode())
        os._exit(0)
    os.close(theirs)
    seen.sessions.append(pid)
    now, begun, finished, over = "opening the store", time.monotonic(), False, [None if most < ENDLESS else math.inf]
    for line in _lines(ours, over):
        what, name = json.loads(line)
        finished |= what == "finished"
        if what == "begun":
            now, begun = name, time.monotonic()
            over[0] = begun + share * seen.usual(now) if over[0] == math.inf else over[0]
        elif what == "done":
            seen.took.setdefault(now, []).append(time.monotonic() - begun)
            now = "between two pieces of work"
            seen.done.add(name)
        elif what == "fault":
            seen.faults.append(f"the work raised: {name}")
        elif what in ("runs", "folder", "archive"):
            seen.committed.add((what, name))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.close(ours)
    os.waitpid(pid, 0)
    if not finished:
        seen.under_way[now] += 1
        seen.longest[now] = max(seen.longest.get(now, 0.0), time.monotonic() - begun)


def _lines(pipe: int, over: list[float | None]) -> Iterator[str]:
    """Yield what a process says until it ends or its time is over, which its listener sets; None for never."""
    left = b""
    while True:
        wait = None if over[0] in (None, math.inf) else max(0.0, (over[0] or 0.0) - time.monotonic())
        if not select.select([pipe], [], [], wait)[0]:
            return
        read = os.read(pipe, 65536)
        if not read:
            return
        *lines, left = (left + read).split(b"\n")
        yield from (line.decode() for line in lines)


def rows_of(home: Path) -> dict[tuple[str, str], str]:
    """Return the digest of every row, without times; of a run's info only what it was made with."""
    found = {}
    with closing(sqlite3.connect(home / "runs.sqlite")) as connection:
        for table, names in TABLES.items():
            for row in connection.execute(f"SELECT {names} FROM {table}"):
                plain = [_timeless(value) for value in row]
                key = "/".join(map(str, row[:2])) if table == "points" else str(row[0])
                found[table, key] = hashlib.sha256(repr(plain).encode()).hexdigest()
    return found


def _timeless(value: Any) -> Any:
    """Return a value without times, keys of JSON in order."""
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(_without(json.loads(value)), sort_keys=True)
    return value


def _without(value: Any) -> Any:
    """Return plain values without when something was made."""
    if isinstance(value, dict):
        return {name: _without(each) for name, each in value.items() if name not in ("created", "seconds")}
    return [_without(each) for each in value] if isinstance(value, list) else value


def check(home: Path, seen: Seen) -> None:
    """Look for what is lost, changed or half."""
    with closing(sqlite3.connect(home / "runs.sqlite")) as connection:
        told = [str(row) for row in connection.execute("PRAGMA integrity_check") if row != ("ok",)]
        told += [f"a row without what it belongs to: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    seen.faults += told
    rows = rows_of(home)
    for key, value in seen.rows.items():
        if key not in rows:
            seen.faults.append(f"lost: {key}")
        elif rows[key] != value and key[0] not in ("labels", "measurements"):  # a sensitivity grows with its images
            seen.faults.append(f"changed: {key}")
    seen.rows = rows
    for what, name in seen.committed:
        there = {
            "runs": ("runs", name) in rows,
            "folder": (home / "models" / name).is_dir(),
            "archive": (home / "archives" / name).is_file(),
        }
        if not there[what]:
            seen.faults.append(f"lost: {what} {name}")
    for path in whole(home):
        try:
            opened(path)
        except Exception as error:
            seen.faults.append(f"half a file: {path.relative_to(home)}: {error}")


def whole(home: Path) -> list[Path]:
    """Return what stands under its own name: drafts are hidden until they are whole."""
    places = [home / "models", home / "archives", home / "checkpoints"]
    return [path for place in places if place.is_dir() for path in sorted(place.iterdir()) if not path.name.startswith(".")]


def opened(path: Path) -> dict[str, str]:
    """Open a folder or an archive and return the digest of what it holds, by name; times and what is told of them are left out."""
    if path.is_dir():
        load_model(path)
        return {file.name: _digest(_content(file)) for file in path.iterdir() if not file.name.endswith(".json")}
    with ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError("it is damaged")
        return {name: _digest(archive.read(name)) for name in archive.namelist() if not name.endswith((".json", ".md"))}


def _content(file: Path) -> bytes:
    """Return what a file holds; safetensors writes its metadata in another order each time."""
    if file.suffix != ".safetensors":
        return file.read_bytes()
    with safe_open(str(file), framework="pt") as opened:
        tensors = {name: opened.get_tensor(name).numpy().tobytes() for name in sorted(opened.keys())}
        return repr((sorted((opened.metadata() or {}).items()), tensors)).encode()


def _digest(content: bytes) -> str:
    """Return a hash."""
    return hashlib.sha256(content).hexdigest()


def drafts(home: Path) -> list[Path]:
    """Return what lies hidden: drafts of processes that were killed."""
    return [
        path for place in (home / "models", home / "archives") if place.is_dir() for path in place.iterdir() if path.name.startswith(".")
    ]


def left_running(sessions: list[int]) -> int:
    """Return how many processes live that killed ones had started."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            values = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            found += int(values[3]) in sessions and values[0] not in ("Z", "X")
    return found


def compared(home: Path, other: Path, seen: Seen) -> None:
    """Compare two homes, row by row and file by file."""
    ours, theirs = rows_of(home), rows_of(other)
    seen.faults += [f"a wrong row: {key}" for key in ours if key in theirs and ours[key] != theirs[key]]
    seen.faults += [f"a row too many: {key}" for key in ours.keys() - theirs.keys()]
    seen.faults += [f"a row is missing: {key}" for key in theirs.keys() - ours.keys()]
    files, others = ({path.relative_to(place): opened(path) for path in whole(place)} for place in (home, other))
    seen.faults += [f"a file is missing: {name}" for name in others.keys() - files.keys()]
    seen.faults += [f"a wrong file: {name}" for name, held in files.items() if held != others.get(name)]


def main() -> int:
    """Kill, finish, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", help="an empty folder (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prunekit-held-") as private:
        place = Path(args.home or private)
        home, other, temporary = place / "killed", place / "undisturbed", place / "temporary"
        for folder in (home, other, temporary):
            folder.mkdir(parents=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
        return run(home, other, args)


def run(home: Path, other: Path, args: argparse.Namespace) -> int:
    """Do it in these homes."""
    torch.set_num_threads(1)
    model = load_model(MODEL)
    data = load_data(DATA, model=model)
    use_loader(lambda _model, _data: (model, data))
    seen, calm, began = Seen(), Seen(), time.monotonic()
    for kill in range(args.kills):
        life(home, seen, kill, args.seed)
        check(home, seen)
        print(f"kill {kill + 1}: {len(seen.committed)} committed, {len(seen.faults)} faults", file=sys.stderr, flush=True)
    hidden = drafts(home)
    rounds = 1 + max((int(name.split()[1]) for name in seen.done), default=0)
    life(home, seen, args.kills, args.seed, rounds)
    check(home, seen)
    for folder in {path.parent for path in hidden}:
        clear(folder, 0.0)  # as whoever writes there next does, a minute later
    life(other, calm, 0, args.seed, rounds)
    compared(home, other, seen)
    for fault in [*seen.faults, *calm.faults]:
        print(fault)
    kinds = ", ".join(f"{number} in {name}" for name, number in seen.under_way.most_common())
    print(f"{args.kills} kills (seed {args.seed}, {platform.machine()}, {os.cpu_count()} cores, {time.monotonic() - began:.0f} s): {kinds}")
    counted = Counter(table for table, _ in seen.rows)
    print(f"committed and told before a kill or after: {len(seen.committed)}; rows: {dict(counted)}; files: {len(whole(home))}")
    words = {"lost": "lost", "half": "half a file", "wrong": "a wrong", "changed": "changed", "missing": "missing", "raised": "raised"}
    print(", ".join(f"{name}: {sum(word in fault for fault in seen.faults)}" for name, word in words.items()))
    print(f"drafts left hidden by kills: {len(hidden)}, and after the next work there: {len(drafts(home))}")
    print(f"processes that killed ones had started and that still run: {left_running(seen.sessions)}")
    return 1 if seen.faults or calm.faults else 0


if __name__ == "__main__":
    sys.exit(main())
