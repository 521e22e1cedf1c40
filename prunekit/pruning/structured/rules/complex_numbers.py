"""Rules of complex numbers and Fourier transforms."""

from __future__ import annotations

from typing import Any

from prunekit.pruning.structured.axis_tracker import Tracker, rule


@rule("view_as_real")
def view_as_real(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Real and imaginary parts stand along a new axis, which stays."""
    tracker.put(out, [*tracker.axes(args[0]), None])


@rule("view_as_complex")
def view_as_complex(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep the last axis, which holds real and imaginary parts."""
    tracker.freeze(args[0], "real and imaginary parts", [args[0].dim() - 1])
    tracker.put(out, tracker.axes(args[0])[:-1])


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r")
def spectrum(tracker: Tracker, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Keep the axes that are transformed; the others pass."""
    dims = {d % args[0].dim() for d in args[1]}
    tracker.freeze(args[0], "a Fourier transform along this axis", sorted(dims))
    tracker.put(out, [None if a in dims else found for a, found in enumerate(tracker.axes(args[0]))])
