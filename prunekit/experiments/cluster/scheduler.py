"""`Scheduler`: the scheduler of a Dask cluster, found again when it went, and those of its workers that can be used."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.experiments.cluster.worker import TOPIC
from prunekit.experiments.identity import PACKAGES, installed

LOOK_S = 0.5
"""Between two looks at which workers are there, and at whether the work is still wanted; results come at once."""
CONNECT_S = 15.0
GONE = (OSError, TimeoutError, ValueError)
TLS = "DASK_DISTRIBUTED__COMM__TLS__"


class Scheduler:
    """The scheduler at an address. ``hear`` gets what workers tell of their work; `standing` says so after ``patience_s`` without any."""

    def __init__(self, address: str, patience_s: float, hear: Callable[[Any], None]) -> None:
        try:
            import distributed  # noqa: PLC0415 (an extra)

            self.dask: Any = distributed
        except ImportError:
            raise PrunekitError("a cluster needs the package distributed: pip install 'prunekit[dask]'") from None
        self.address, self._patience_s, self._hear = address, patience_s, hear
        self.workers = list[str]()  # with the versions of this process
        self.refused = dict[str, str]()  # why others are not used, by their addresses
        self._versions: dict[str, dict[str, str]] = {}
        self._looked, self._well = 0.0, time.monotonic()
        try:
            self.client = self._connected()
        except GONE as error:
            raise PrunekitError(
                f"no Dask scheduler answers at {address}: start one with `dask scheduler`, and name its address ({error})"
            ) from None

    def _connected(self) -> Any:
        """Return a client of the scheduler; where nothing listens, it is said before one is made, which would go on trying."""
        with socket.create_connection(self.dask.comm.get_address_host_port(self.address), timeout=CONNECT_S):
            pass
        if self.address.startswith("tls:") and self.dask.Security().get_connection_args("client")["ssl_context"] is None:
            names = f"{TLS}CA_FILE, {TLS}CLIENT__CERT and {TLS}CLIENT__KEY"
            raise PrunekitError(f"the scheduler at {self.address} wants a certificate: name yours in {names}")
        client = self.dask.Client(self.address, timeout=CONNECT_S, set_as_default=False, direct_to_workers=False)
        client.subscribe_topic(TOPIC, self._hear)
        return client

    @property
    def standing(self) -> str:
        """Which workers there are, in words."""
        workers, idle_s = len(self.workers), time.monotonic() - self._well
        if workers:
            return f"{workers} worker{'s' if workers > 1 else ''} of the cluster"
        return f"no workers at {self.address} for {idle_s:.0f} s: start some" if idle_s >= self._patience_s else "waiting for workers"

    def wanted(self) -> None:
        """Count the time without workers from now: nobody missed one before."""
        self._well = time.monotonic()

    def look(self, *, anew: bool = False) -> None:
        """See which workers are there: none where the scheduler does not answer; one that is back is found again."""
        now = time.monotonic()
        if not anew and now - self._looked < LOOK_S and self.client.status == "running":
            return
        self._looked = now
        try:
            if self.client.status == "closed":
                self.client = self._connected()
            self.workers = self._fit() if self.client.status == "running" else []
        except GONE:
            self.workers = []
        if self.workers:
            self._well = time.monotonic()

    def _fit(self) -> list[str]:
        """Return the workers with the versions of this process."""
        there = list(self.client.scheduler_info(n_workers=-1)["workers"])
        if set(there) - set(self._versions):
            for worker, found in self.client.get_versions(packages=PACKAGES)["workers"].items():
                if found and worker not in self._versions:
                    self._versions[worker] = dict(found["packages"])
        told = {worker: differences(self._versions[worker]) for worker in there if worker in self._versions}
        self.refused = {worker: why for worker, why in told.items() if why}
        return [worker for worker, why in told.items() if not why]


def differences(versions: Mapping[str, str | None]) -> str:
    """Say which packages of a worker have other versions than here; "" for none."""
    here = installed()
    other = [name for name in PACKAGES if (versions.get(name) or "") != here[name]]
    return ", ".join(f"{name} {versions.get(name) or 'is missing'} there, {here[name] or 'not installed'} here" for name in other)
