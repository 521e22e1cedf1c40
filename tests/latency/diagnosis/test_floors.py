"""The least time of a layer by the machine's own figures: milliseconds, as its measured times are."""

import pytest

from prunekit.latency.diagnosis.evidence import Machine

MACHINE = Machine(((1e6, 1e9), (1e8, 1e9)), ((1e6, 5e8), (1e8, 5e8)), 2e9, (("Conv2d", 3e-6), ("Linear", 1e-6)))


def test_floors_are_in_milliseconds():
    assert MACHINE.compute_ms(2e9) == pytest.approx(1000)  # as many multiply-accumulates as a second holds
    assert MACHINE.memory_ms(1e7) == pytest.approx(10)  # at a gigabyte a second
    assert MACHINE.memory_ms(1e7, 5e6) == pytest.approx(5 + 10)  # half of it new, at half of that speed
    assert MACHINE.call_ms("Conv2d") == pytest.approx(0.003)
    assert MACHINE.call_ms("Conv3d") == pytest.approx(0.001)  # of a kind that was not timed the least
