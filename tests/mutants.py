"""Does a test fail when a line is wrong? Faults of one line, one at a time, against the tests that reach them.

    python tests/mutants.py [--only NAME ...] [--package PACKAGE] [--suite fast|slow] [--tree PATH] [--jobs N]
                            [--limit SECONDS] [--out results.json] [--compare old.json] [--check]

The faults stand in ``mutants.toml``. Each is put into a copy of ``tree`` (this one, when left out), and the test files that reach it run
there, the nearest first, until one test fails: ``pytest -x`` in one process, with the examples that CI draws. A fault that no test has
noticed after ``limit`` seconds of processor time survives. A test that fails without any fault proves nothing: what it killed is doubtful.
``out`` is written after each fault; begun again, what stands there for the same suite and fault is not repeated, and with another suite
only what has survived is tried. Exits 1 if a fault survives that ``compare`` does not list as surviving.
``--check`` only looks whether the faults fit the code.
"""

import argparse
import contextlib
import importlib
import json
import os
import re
import reprlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path

import faults
import pytest
from _pytest.assertion import util as comparing
from reach import Reach

HERE = Path(__file__).resolve().parent
SUITES = {"fast": "not slow", "slow": "slow"}
STAGES = (2, 8)  # test files of the first and the second try: collecting all takes longer than most faults live
WARM = (
    "torch", "torchvision", "pandas", "scipy.optimize", "scipy.stats", "plotly.graph_objects", "plotly.subplots", "sklearn.datasets",
    "streamlit", "streamlit.testing.v1", "hypothesis.strategies", "safetensors.torch", "yaml", "_pytest.main",
)  # fmt: skip
ENDED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)
RUNNING = set()  # processes of trials
WALL = 5  # seconds by the clock for each one of processor time: tests wait, and others run


class Copy:
    """A tree of its own to put faults into."""

    def __init__(self, tree, place):
        self.tree, self.place = tree, place / "tree"
        listed = subprocess.run(
            ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (tree / name).is_file():
                (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, self.place / name)
        self._age = 0

    def put(self, file, text):
        """Write a file; compiled code is told apart by the second in which its source was written, so each gets one of its own."""
        path = self.place / file
        path.write_text(text, encoding="utf-8")
        self._age += 60
        os.utime(path, (self._age, self._age))


class Trial:
    """One fault in one copy, or none: test files, stage by stage, each in a forked process that has the libraries already."""

    def __init__(self, copy, fault, stages, options):
        self.copy, self.fault, self.options, self.stages = copy, fault, options, list(stages)
        self.began, self.cpu, self.passed = time.monotonic(), 0.0, 0
        self.log = copy.place.parent / "log"
        if fault is not None:
            copy.put(fault.file, fault.apply((copy.tree / fault.file).read_text(encoding="utf-8")))
        self.suspect, self.luck = None, []
        self._next()

    def _next(self):
        self.stage = self.stages.pop(0)
        self._run([*self.stage, *self.luck])

    def _run(self, words):
        words = words if self.fault is None else ["-x", *words]
        self.pid = fork(self.copy.place, self.copy.tree, words, self.options.suite, self.log)

    def look(self):
        """Return what came out, or None while it runs."""
        ended, status, used = os.wait4(self.pid, os.WNOHANG)
        spent = self.cpu + (used.ru_utime + used.ru_stime if ended else used_by(self.pid))
        wall = time.monotonic() - self.began
        late = self.fault is not None and (spent > self.options.limit or wall > WALL * self.options.limit)
        if not ended and not late:
            return None
        end_group(self.pid)
        if not ended:
            os.waitpid(self.pid, 0)
        self.cpu, text = spent, self.log.read_text(encoding="utf-8", errors="replace")
        self.passed += text.count(" PASSED")
        failed = ENDED.findall(text)
        code = os.waitstatus_to_exitcode(status) if ended else 0
        if not failed and code not in (0, 5):  # 5: no test of this suite in these files
            raise RuntimeError(f"pytest itself failed ({code}): {text[-2000:]}")
        if not late and self._goes_on(failed):
            return None
        if self.fault is None:
            return failed
        self.copy.put(self.fault.file, (self.copy.tree / self.fault.file).read_text(encoding="utf-8"))
        told = {
            "suite": self.options.suite,
            "passed": self.passed,
            "seconds": round(wall, 1),
            "cpu": round(spent, 1),
            "limit": self.options.limit,
        }
        if failed or self.suspect:
            by, reason = self.suspect or failed[0]
            return {"status": "killed", "by": by, "reason": reason[:200], **told}
        return {"status": "survived", "by": "", "reason": "out of time" if late else "all passed", **told}

    def _goes_on(self, failed):
        """Begin what follows, where something does. A test that fails is asked again, alone: what waits fails on a busy machine by luck."""
        if self.fault is not None and failed and self.suspect is None and "::" in failed[0][0]:
            self.suspect = failed[0]
            self._run([self.suspect[0]])
        elif not failed and self.suspect is not None:
            self.luck += ["--deselect", self.suspect[0]]
            self.suspect = None
            self._run([*self.stage, *self.luck])
        elif not failed and self.stages:
            self._next()
        else:
            return False
        return True


def fork(place, tree, words, suite, log):
    """Run pytest in a process of its own, which has loaded what takes long and nothing of the tree."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        RUNNING.add(pid)
        return pid
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for target, path, how in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
            os.dup2(os.open(path, how, 0o600), target)
        os.dup2(1, 2)
        os.chdir(place)
        sys.path[:] = [str(place), *(entry for entry in sys.path if entry and Path(entry) not in (HERE, HERE.parent))]
        sys.modules["__main__"] = types.ModuleType("__main__")  # children that begin anew would import this script
        nightly = " and not nightly" if '"nightly:' in (place / "pyproject.toml").read_text(encoding="utf-8") else ""
        data = tree.parent / "shared" / "data"
        os.environ |= {"PYTHONPATH": str(place), "CI": "1"} | ({"PRUNEKIT_DATA": str(data)} if data.is_dir() else {})
        plain = ["-v", "--tb=no", "-rfE", "-n", "0", "-p", "no:cacheprovider", "-m", SUITES[suite] + nightly]
        # where two long lists differ takes minutes to find, and is not read here
        comparing.assertrepr_compare = lambda *_, op, left, right, **__: [f"{reprlib.repr(left)} {op} {reprlib.repr(right)}"]
        code = int(pytest.main([*plain, *words]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def used_by(pid):
    """Return the processor time of a process and those of its children that have ended."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, values[11:15])) / os.sysconf("SC_CLK_TCK")


def end_group(pid):
    """End what a trial has left running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    RUNNING.discard(pid)


def carry_out(todo, options, keep, killers):
    """Try faults, in as many copies at a time as there are jobs; return which of the tests that killed fail without any fault."""
    reach, waiting, running = Reach(options.tree), list(todo), {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Copy(options.tree, Path(folder) / str(number)) for number in range(options.jobs)]
        os.chdir(copies[0].place)  # where Streamlit looks for its settings when it is loaded
        for name in WARM:
            importlib.import_module(name)
        while waiting or running:
            for copy in copies if waiting else ():
                if copy not in running and waiting:
                    fault = waiting.pop(0)
                    files = reach.nearest(fault.file)
                    stages = (files[: STAGES[0]], files[STAGES[0] : sum(STAGES)], files[sum(STAGES) :])
                    running[copy] = Trial(copy, fault, filter(None, stages), options)
            time.sleep(0.1)
            for copy, trial in list(running.items()):
                found = trial.look()
                if found is not None:
                    del running[copy]
                    keep(trial.fault, found)
        suspects = sorted(killers())
        proof = Trial(copies[0], None, [suspects], options) if suspects else None
        while proof is not None and (failed := proof.look()) is None:
            time.sleep(0.1)
        return {test for test, _ in failed} if proof is not None else set()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these faults")
    parser.add_argument("--package", help="the faults of one package")
    parser.add_argument("--suite", choices=SUITES, default="fast")
    parser.add_argument("--tree", type=lambda text: Path(text).resolve(), default=HERE.parent, help="whose code and tests")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time")
    parser.add_argument("--limit", type=float, default=60, help="seconds of processor time for one fault")
    parser.add_argument("--out", type=lambda text: Path(text).resolve())
    parser.add_argument("--compare", type=Path, help="what another suite has killed")
    parser.add_argument("--check", action="store_true", help="only look whether the faults fit the code")
    options = parser.parse_args()
    table = faults.load()
    wrong = faults.problems(table, options.tree)
    faults.spread(table, options.tree)
    if wrong or options.check:
        return print("\n".join(wrong)) or bool(wrong)
    before = json.loads(options.compare.read_text(encoding="utf-8")) if options.compare else {}
    found = json.loads(options.out.read_text(encoding="utf-8")) if options.out and options.out.is_file() else {}
    found = {f.name: found[f.name] for f in table if found.get(f.name, {}).get("fault") == f.digest}
    chosen = [f for f in table if (not options.only or f.name in options.only) and options.package in (None, f.package)]

    def write():
        if options.out:
            options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")

    def keep(fault, told):
        found[fault.name] = {"fault": fault.digest, "file": fault.file, "kind": fault.kind, **told}
        print(f"{told['status']:9}{told['seconds']:6.0f} s  {fault.name}: {told['by']} {told['reason']}"[:220], flush=True)
        write()

    def killers():
        return {
            one["by"] for one in found.values() if one["status"] == "killed" and not one.get("proved") and one["suite"] == options.suite
        }

    def open_(fault):
        known = found.get(fault.name, {"status": "doubtful"})
        again = known.get("suite") != options.suite or (known["reason"] == "out of time" and known["limit"] < options.limit)
        return known["status"] == "doubtful" or (known["status"] == "survived" and again)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        failing = carry_out([fault for fault in chosen if open_(fault)], options, keep, killers)
    finally:
        for pid in list(RUNNING):
            end_group(pid)
    for one in found.values():
        if one["status"] == "killed" and one["suite"] == options.suite:
            one["proved"] = one["by"] not in failing
            one["status"] = "killed" if one["proved"] else "doubtful"
    write()
    alive = [fault for fault in chosen if found[fault.name]["status"] != "killed"]
    for fault in alive:
        known = before.get(fault.name, {}).get("status", "unknown")
        told = f", before: {known}" if before else ""
        print(f"{found[fault.name]['status']}{told}: {fault.name} ({fault.kind}) in {fault.file}: {fault.old} -> {fault.new}")
    print(f"{len(chosen) - len(alive)} of {len(chosen)} killed")
    return any(before.get(fault.name, {}).get("status") != "survived" for fault in alive)


if __name__ == "__main__":
    sys.exit(main())
