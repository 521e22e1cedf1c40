"""``prunekit doctor``: what is installed, which runtimes work here, where things lie, and what is missing for what."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import prunekit
from prunekit.cli import REFUSED, Refusal
from prunekit.cli.app import script
from prunekit.cli.installation import Extra, Package, extras, packages, places
from prunekit.errors import PrunekitError
from prunekit.formatting import ordinary, plural, size
from prunekit.runtimes.backends import RUNTIMES

LOW = 2**30
"""Bytes that should be free on a disk: an archive of a large model takes as much."""
NEEDED, COMPILED = "eager", "compile"
UNTRIED = "a C++ compiler is here; --compile tries it, which takes up to minutes"
TRIED = "digits_mlp"


class Steps:
    """Says each step on stderr as a line, in a terminal and elsewhere: it takes minutes on a slow machine."""

    last = ""

    def __call__(self, _: float, text: str) -> None:
        """Say a step, unless it only says more of the last one."""
        if text and not (self.last and text.startswith(self.last)):
            self.last = text
            print(f"prunekit: {text}", file=sys.stderr, flush=True)


def doctor(args: argparse.Namespace) -> str | Refusal:
    """Look at everything; end with another exit code than 0 where something that is needed is broken."""
    core, more = packages(), extras()
    problems = [_lack(package) for package in core if not package.fits]
    home, runtimes, dashboard = dict[str, Any](), list[dict[str, Any]](), ""
    if not problems:  # else none of what follows could be imported
        home = _home(problems)
        runtimes = [] if args.quick else _runtimes(problems, args.compile)
    try:
        dashboard = str(script())
    except PrunekitError as error:
        problems.append(str(error))
    found: dict[str, Any] = {"prunekit": prunekit.__version__, "python": platform.python_version(), "machine": _machine(bool(problems))}
    found |= {"packages": [each.to_dict() for each in core], "extras": [each.to_dict() for each in more], "runtimes": runtimes, **home}
    notes = [f"only {size(p['free'])} are free on the disk of {p['path']} ({p['name']})" for p in home.get("places", ()) if p["free"] < LOW]
    notes += [
        f"{row['title']} does not work here: {row['sentence']}"
        for row in runtimes
        if row["tried"] and not (row["works"] or row["name"] == NEEDED)
    ]
    found |= {"dashboard": dashboard, "healthy": not problems, "problems": problems, "notes": [ordinary(note) for note in notes]}
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) if args.json else _page(found, core, more)
    return Refusal(text, REFUSED, tuple(f"broken: {problem}" for problem in problems)) if problems else text


def _lack(package: Package) -> str:
    """Say which package is missing, or of a version that will not do."""
    here = "not installed" if package.version is None else f"{package.version} here"
    return f"{package.name} is {here}: pip install '{package.needs}'"


def _machine(broken: bool) -> dict[str, Any]:
    """Return what this machine is."""
    found: dict[str, Any] = {"system": platform.platform(), "cores": os.cpu_count() or 1, "memory": None, "cuda": None}
    with suppress(ImportError):
        import psutil  # noqa: PLC0415

        found["memory"] = psutil.virtual_memory().total
    if not broken:
        import torch  # noqa: PLC0415

        found["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return found


def _home(problems: list[str]) -> dict[str, Any]:
    """Return the folders, and how many runs are kept."""
    from prunekit.experiments.home import home, store  # noqa: PLC0415 (it needs numpy, which may be what is missing)

    there = places(home())
    if not there[0].writable:
        problems.append(f"nothing can be kept in {there[0].path}: make it writable, or name another folder in {there[0].variable}")
        return {"places": [place.to_dict() for place in there], "runs": None}
    try:
        runs = len(store().runs(limit=sys.maxsize)) if (home() / "runs.sqlite").exists() else 0
    except (PrunekitError, OSError) as error:
        problems.append(str(error))
        runs = None
    return {"places": [place.to_dict() for place in there], "runs": runs}


def _runtimes(problems: list[str], compiled: bool) -> list[dict[str, Any]]:
    """Run a small sample with zeros in the runtimes that are installed, each in a process of its own, and compare it with eager mode.

    ``compiled``: also where the model is compiled first, which takes longer than all others together.
    """
    from prunekit.config.spec import PruneSpec  # noqa: PLC0415
    from prunekit.data.load import load_data  # noqa: PLC0415
    from prunekit.latency.measure import measure_latency  # noqa: PLC0415
    from prunekit.latency.report import Candidate  # noqa: PLC0415
    from prunekit.models.info import info, remember  # noqa: PLC0415
    from prunekit.models.load import load_model  # noqa: PLC0415
    from prunekit.pruning.api import prune  # noqa: PLC0415

    missing = {name: runtime.missing() for name, runtime in RUNTIMES.items()}
    names = [name for name, why in missing.items() if not why and (compiled or name != COMPILED)]
    said, tell = dict(missing), Steps()
    longest = f"; {RUNTIMES[COMPILED].title} takes up to minutes" if COMPILED in names else ""
    tell(0.0, f"trying {plural(len(names), 'runtime')} on a small model{longest}; --quick leaves all of them out")
    try:
        data = load_data("digits")
        dense = load_model(TRIED)
        model = remember(prune(dense, PruneSpec(sparsity=0.95)).model, info(dense))  # built again as the dense one, with zeros for CSR
        short: dict[str, Any] = {"budget_s": 0.1, "min_rounds": 1, "progress": tell}
        seen = measure_latency([Candidate(TRIED, model)], input_shape=(1, 8, 8), runtimes=names, data=data, **short)
        said |= {row.runtime: row.error or "" for row in seen.candidates}
        checked = {row.runtime: row.check.sentence for row in seen.candidates if row.check is not None}
        checked |= {NEEDED: "what the others are compared with", COMPILED: checked.get(COMPILED, UNTRIED)}
    except (PrunekitError, OSError) as error:  # not one of them ran
        said |= dict.fromkeys(names, str(error))
        checked = {COMPILED: UNTRIED}
    if said[NEEDED]:
        problems.append(f"{RUNTIMES[NEEDED].title} does not run {TRIED}: {said[NEEDED]}")
    return [
        {
            "name": name, "title": runtime.title, "version": runtime.version(), "works": name in names and not said[name],
            "missing": bool(missing[name]), "tried": name in names, "sentence": said[name] or checked.get(name, ""),
        }
        for name, runtime in RUNTIMES.items()
    ]  # fmt: skip


def _page(found: dict[str, Any], core: list[Package], more: list[Extra]) -> str:
    """Return everything as text, what is wrong at the end."""
    machine = found["machine"]
    memory = f", {size(machine['memory'])} of memory" if machine["memory"] else ""
    rows: dict[str, Sequence[tuple[str, str, str]]] = {
        "packages": [(each.name, each.version or "missing", "" if each.fits else f"needs {each.needs}") for each in core],
        "extras": [(each.name, "missing" if each.lacks else "installed", _extra(each)) for each in more],
        "runtimes, tried here on a small model": [(row["title"], _word(row), row["sentence"]) for row in found["runtimes"]],
        "folders": [(each["name"], _free(each), f"{each['path']}  ({each['variable']})") for each in found.get("places", ())],
    }
    lines = [
        f"prunekit {found['prunekit']}, Python {found['python']}, {machine['system']}",
        f"{plural(machine['cores'], 'core')}{memory}, {machine['cuda'] or 'no CUDA device'}",
        *(line for title, some in rows.items() for line in _titled(title, some)),
        *([] if found.get("runs") is None else [f"  {plural(found['runs'], 'run')} kept"]),
        "",
        *(f"! {note}" for note in found["notes"]),
        *(f"broken: {problem}" for problem in found["problems"]),
        *([] if found["problems"] else ["all that is needed works"]),
    ]
    return ordinary("\n".join(lines))


def _word(row: dict[str, Any]) -> str:
    """Return what became of a runtime in one word."""
    return "works" if row["works"] else "missing" if row["missing"] else "fails" if row["tried"] else "not tried"


def _free(place: dict[str, Any]) -> str:
    """Return what is free on a folder's disk, and whether it can be written to."""
    return f"{size(place['free'])} free{'' if place['writable'] else ', not writable'}"


def _extra(extra: Extra) -> str:
    """Return what an extra is for, and what installs it where it is missing."""
    return extra.about if not extra.lacks else f"{extra.about}: {extra.install}"


def _titled(title: str, rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return rows under a title, in columns; nothing of none."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return (
        ["", title, *("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)]
        if rows
        else []
    )
