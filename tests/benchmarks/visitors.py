"""A class at the dashboard: one visitor, thirty, and thirty who arrive at once, on a server that warmed up and on one that did not.

Clients speak Streamlit's own protocol over its websocket, all in one asyncio process, and draw nothing: what is timed is the server, from a
message sent to "script finished" received. Each client moves the slider of the Prune page to shares that are its own, and every answer must
be about the share that was asked for: a server that mixed up its visitors would fail here, not be slow. Both servers start anew in every
turn with an empty home, `prunekit app` and all, so that the time to the first page is that of a machine with no work.

    python tests/benchmarks/visitors.py                      # one turn of each server, about two minutes
    python tests/benchmarks/visitors.py --turns 3            # medians of three
    python tests/benchmarks/visitors.py --memory             # and 2,000 moves: memory after 200 and in the end
    python tests/benchmarks/visitors.py --job                # while a fine-tuning of 200 epochs runs as a job
    python tests/benchmarks/visitors.py --job --workers 1    # and a process of its own carries the job
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
WARM = "PRUNEKIT_WARM_UP"
ALONE, CLASS = 40, 30
PAUSE_S = 3.0
LONG = "mode=structured&sparsity=50&epochs=200"  # of digits_cnn: minutes
KEPT_RUNS = 2  # a browser forgets a message that was not sent again for so many runs
QUIET_S = 1.0  # a server that did nothing for so long has warmed up
MOST_S = 120.0


class Visitor:
    """One browser tab, without the browser."""

    def __init__(self, socket: ClientConnection, page: str, query: str = "") -> None:
        self._socket, self._page, self._query = socket, page, query
        self._hash = self._slider = self.progress = ""
        self._buttons: dict[str, str] = {}
        self._kept: dict[str, tuple[Delta, int]] = {}
        self._runs = 0
        self.share, self.said, self.bytes = 0.0, "", 0

    async def open(self) -> float:
        """Open the page; return the seconds until it stood."""
        return await self._run(0.0)

    async def move(self, share: float) -> float:
        """Move the slider; return the seconds until the page stood, which must be about that share."""
        seconds = await self._run(share)
        assert self.share == share, f"the slider was moved to {share} and stands at {self.share}"
        assert f"asked {share:g}\u202f%;" in self.said, f"asked for {share} %, was told: {self.said}"
        return seconds

    async def press(self, label: str) -> float:
        """Press a button; return the seconds until the page stood."""
        return await self._run(0.0, self._buttons[label])

    async def _run(self, share: float, button: str = "") -> float:
        message = BackMsg()
        run = message.rerun_script
        run.query_string, run.page_script_hash, run.page_name = self._query, self._hash, "" if self._hash else self._page
        run.context_info.color_scheme, run.context_info.timezone = "light", "UTC"
        run.cached_message_hashes.extend(self._kept)
        if share:
            state = run.widget_states.widgets.add(id=self._slider)
            state.double_array_value.data.append(share)
        if button:
            run.widget_states.widgets.add(id=button, trigger_value=True)
        payload = message.SerializeToString()
        self._runs += 1
        start = time.perf_counter()
        await self._socket.send(payload)
        self.bytes = 0
        arrived: list[bytes] = []
        while True:
            data = await asyncio.wait_for(self._socket.recv(), MOST_S)
            assert isinstance(data, bytes)
            arrived.append(data)
            if len(data) < 200 and ForwardMsg.FromString(data).WhichOneof("type") == "script_finished":
                break
        seconds = time.perf_counter() - start
        for data in arrived:
            self._take(ForwardMsg.FromString(data), len(data))
        self._kept = {name: (delta, run) for name, (delta, run) in self._kept.items() if run > self._runs - KEPT_RUNS}
        return seconds

    def _take(self, message: ForwardMsg, size: int) -> None:
        """Remember what a browser would: where it is, the slider, what the first big number says, messages that may be sent again."""
        self.bytes += size
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self._hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "script_finished":
            assert message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY, message
        elif kind in ("delta", "ref_hash"):
            delta = message.delta if kind == "delta" else self._kept[message.ref_hash][0]
            if message.metadata.cacheable or kind == "ref_hash":
                self._kept[message.hash or message.ref_hash] = (delta, self._runs)
            self._look(delta)

    def _look(self, delta: Delta) -> None:
        """Read what the page shows."""
        shown = delta.new_element
        assert shown.WhichOneof("type") != "exception", shown.exception
        if shown.slider.label.startswith("Remove this share"):
            self._slider, self.share = shown.slider.id, next(iter(shown.slider.value or shown.slider.default))
        elif " removed" in shown.metric.label:
            self.said = shown.metric.delta
        elif shown.button.label:
            self._buttons[shown.button.label] = shown.button.id
        elif shown.progress.text:
            self.progress = shown.progress.text


def shares(place: int) -> Iterator[float]:
    """Return what one visitor moves the slider to: no two of thirty ever ask for the same at the same time."""
    return (0.5 + 0.5 * ((place + 31 * step) % 199) for step in itertools.count())


class Server:
    """A server of its own, as `prunekit app` starts it, and what it costs."""

    def __init__(self, warm: bool, home: str, workers: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.start, self.home = time.perf_counter(), home
        self._log = Path(home, "server.log").open("w+")  # noqa: SIM115 (open as long as the server)
        self.idle = 0.02 + 0.1 * workers  # seconds of a processor in a second; workers tell the scheduler that they live
        apart = ["--workers", str(workers)] if workers else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "prunekit", "app", "--port", str(self.port), *apart],
            cwd=ROOT, stdout=self._log, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PRUNEKIT_HOME": str(Path(home, "runs")), WARM: "1" if warm else "0"},
        )  # fmt: skip

    @asynccontextmanager
    async def visitor(self, page: str, query: str = "") -> AsyncIterator[Visitor]:
        """Have a visitor on one page, as soon as the server answers."""
        while True:
            try:
                line = await connect(f"ws://127.0.0.1:{self.port}/_stcore/stream", max_size=None, compression=None, open_timeout=MOST_S)
                break
            except OSError:
                assert self.process.poll() is None, self.said()
                assert time.perf_counter() - self.start < MOST_S, self.said()
                await asyncio.sleep(0.02)
        async with line:
            yield Visitor(line, page, query)

    async def quiet(self) -> float:
        """Wait until the server does nothing; return the seconds since its start."""
        done, since = self.cpu(), time.perf_counter()
        while time.perf_counter() - since < QUIET_S:
            await asyncio.sleep(0.1)
            if self.cpu() > done + self.idle:
                done, since = self.cpu(), time.perf_counter()
        return since - self.start

    def _every(self) -> list[Path]:
        """Return this server's processes."""
        found = [Path(f"/proc/{self.process.pid}")]
        for place in found:
            found += [Path(f"/proc/{pid}") for task in place.glob("task/*/children") for pid in task.read_text().split()]
        return found

    def cpu(self) -> float:
        """Return the seconds of a processor that it has used."""
        ticks = [place.joinpath("stat").read_text().rpartition(")")[2].split()[11:13] for place in self._every()]
        return sum(int(tick) for pair in ticks for tick in pair) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Return the megabytes that it holds."""
        lines = [place.joinpath("status").read_text().partition("VmRSS:")[2].split()[0] for place in self._every()]
        return sum(map(int, lines)) / 1000

    def said(self) -> str:
        """Return what it wrote."""
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._log.close()


@contextmanager
def served(warm: bool, workers: int) -> Iterator[Server]:
    """Have a server with an empty home."""
    with tempfile.TemporaryDirectory(prefix="visitors-", ignore_cleanup_errors=True) as home:
        server = Server(warm, home, workers)
        try:
            yield server
        finally:
            server.stop()


async def alone(server: Server, moves: int) -> list[float]:
    """Let one visitor move the slider, one move after the other."""
    async with server.visitor("prune") as visitor:
        await visitor.open()
        return [await visitor.move(share) for share in itertools.islice(shares(0), moves)]


async def together(server: Server, moves: int, pause: float) -> tuple[list[float], list[float]]:
    """Let a class arrive at once, then move with pauses; return both their times."""

    async def one(place: int) -> tuple[float, list[float]]:
        async with server.visitor("prune") as visitor:
            opened = await visitor.open()
            arrived.append(place)
            while len(arrived) < CLASS:
                await asyncio.sleep(0.05)
            await asyncio.sleep(pause * place / CLASS)
            times = []
            for share in itertools.islice(shares(place), moves):
                times.append(await visitor.move(share))
                await asyncio.sleep(pause)
            return opened, times

    arrived: list[int] = []
    found = await asyncio.gather(*(one(place) for place in range(CLASS)))
    return [opened for opened, _ in found], [seconds for _, times in found for seconds in times]


async def watched(server: Server) -> tuple[float, float]:
    """Return the memory after 200 moves and after 2,000 of a class without pauses, four at a time."""

    async def one(place: int, moves: int) -> None:
        async with server.visitor("prune") as visitor:
            await visitor.open()
            for share in itertools.islice(shares(place), moves):
                await visitor.move(share)

    async def some(moves: int) -> float:
        for first in range(0, 20, 4):
            await asyncio.gather(*(one(place, moves // 20) for place in range(first, first + 4)))
        await server.quiet()
        return server.memory()

    return await some(200), await some(1800)


@asynccontextmanager
async def working(server: Server, job: bool) -> AsyncIterator[None]:
    """Have a job run on the server meanwhile, where one is wanted: it must be under way at the end, too."""
    if not job:
        yield
        return
    async with server.visitor("recover", LONG) as other:
        await other.open()
        await other.press("Prune and fine-tune")
        yield
        other.progress = ""
        await other.open()
        assert other.progress, "the job is over: give it more epochs"


async def turn(warm: bool, args: argparse.Namespace) -> dict[str, float]:
    """Start a server, measure, and stop it."""
    found: dict[str, float] = {}
    with served(warm, args.workers) as server:
        async with server.visitor("") as first:
            await first.open()
            found["first page, from the command (s)"] = time.perf_counter() - server.start
        found["quiet, from the command (s)"] = await server.quiet()
        times = (await alone(server, ALONE))[5:]
        found["one visitor: median (s)"], found["one visitor: 95 % (s)"] = statistics.median(times), tail(times)
        before, spent = server.cpu(), time.process_time()
        async with working(server, args.job):
            opened, times = await together(server, args.moves, args.pause)
        found["thirty arrive: worst (s)"] = max(opened)
        if times:
            found["thirty move: median (s)"], found["thirty move: 95 % (s)"] = statistics.median(times), tail(times)
            found["thirty move: worst (s)"] = max(times)
            found["processor time, server (s)"], found["processor time, clients (s)"] = server.cpu() - before, time.process_time() - spent
        if args.memory:
            found["memory after 200 moves (MB)"], found["memory after 2,000 moves (MB)"] = await watched(server)
    return found


def tail(times: Iterable[float]) -> float:
    """Return the time that 95 % stay below."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main() -> None:
    """Print both servers side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--moves", type=int, default=10, help="of each of the thirty")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--job", action="store_true")
    parser.add_argument("--workers", type=int, default=0, help="processes that carry the job; 0: the server itself")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="seconds between the moves of each of the thirty")
    parser.add_argument("--only", choices=["warm", "cold"])
    args = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _, name in itertools.product(range(args.turns), [args.only] if args.only else ["cold", "warm"]):
        for what, value in asyncio.run(turn(name == "warm", args)).items():
            found[what][name].append(value)
    for what, by_server in found.items():
        figures = (f"{name} {statistics.median(values):8.3f}" for name, values in by_server.items())
        print(f"{what:36}", *figures, sep="   ")


if __name__ == "__main__":
    main()
