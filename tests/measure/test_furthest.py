"""How far can it go: the end of the stretch, against every point of the grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import DataError, PrunekitError
from prunekit.measure import Accuracy, compare
from prunekit.measure.furthest import confirm, furthest

N = 400
DENSE = Accuracy.of(np.arange(N) >= 20)  # 95 %


def losing(wrong):
    """Return an accuracy in which so many more images are wrong."""
    return Accuracy.of(np.arange(N) >= 20 + wrong)


@given(st.integers(1, 989), st.floats(0, 0.3), st.sampled_from([0.001, 0.005, 0.02]))
def test_on_a_falling_curve_the_end_is_found_to_the_resolution(edge, allowed, resolution):
    def wrong(x):  # within up to the edge, far beyond it afterwards
        return int(allowed * N) if x <= edge / 1000 else int(allowed * N) + 40

    asked = []

    def measure(x):
        asked.append(x)
        return losing(wrong(x))

    found = furthest(measure, DENSE, allowed, resolution=resolution)
    assert found.sparsity <= edge / 1000 + 1e-9 and edge / 1000 - found.sparsity < resolution + 1e-9
    assert found.beyond > edge / 1000 and found.beyond - found.sparsity <= resolution + 1e-9
    assert found.evaluations == len(asked) == len(set(asked)) and len(asked) <= 2 + np.log2(1 / resolution)
    assert found.difference == compare(DENSE, losing(wrong(found.sparsity)) if found.sparsity else DENSE)


@given(st.lists(st.integers(0, 60), min_size=12, max_size=12), st.integers(0, 50))
def test_the_stretch_is_unbroken_among_all_measured_points_even_where_the_curve_is_not_monotone(wrongs, allowed):
    seen = {0.0: DENSE}

    def measure(x):
        seen[x] = losing(wrongs[int(x * 12)])
        return seen[x]

    found = furthest(measure, DENSE, allowed / N)
    for x, accuracy in seen.items():
        if x <= found.sparsity:
            assert DENSE.value - accuracy.value <= allowed / N + 1e-12
    if found.beyond is not None:
        assert DENSE.value - seen[found.beyond].value > allowed / N
        later = [x for x in seen if x > found.beyond and DENSE.value - seen[x].value <= allowed / N]
        assert found.again == bool(later) and ("not monotone" in found.sentence()) == found.again


def test_known_points_are_not_measured_again():
    known = {x: losing(int(100 * max(x - 0.5, 0))) for x in (0.3, 0.5, 0.52, 0.9)}

    def measure(x):
        assert x not in known and 0.5 < x < 0.9
        return losing(int(100 * max(x - 0.5, 0)))

    found = furthest(measure, DENSE, 5 / N, known=known)
    assert 0.545 <= found.sparsity < 0.56


def test_a_curve_that_holds_to_the_end_says_so():
    found = furthest(lambda _: DENSE, DENSE, 0.02)
    assert (found.sparsity, found.beyond, found.evaluations, found.confident) == (0.99, None, 1, True)


def test_confidence_is_the_upper_end_of_the_paired_interval():
    within = furthest(lambda x: losing(4 if x < 0.6 else 90), DENSE, 0.02)
    assert within.difference.value == -0.01 and within.confident == (-within.difference.low <= 0.02)
    wide = furthest(lambda x: losing(4 if x < 0.6 else 90), DENSE, 0.0101)
    assert not wide.confident and "leaves it open" in wide.sentence()
    assert furthest(lambda x: losing(4 if x < 0.6 else 90), DENSE, 0.1).confident


def test_other_images_confirm_or_do_not():
    assert confirm(DENSE, losing(2), 0.05).confident
    close = confirm(DENSE, losing(4), 0.0101)
    assert close.confirmed and not close.confident
    worse = confirm(DENSE, losing(40), 0.02)
    assert not worse.confirmed and worse.sentence().startswith("Not confirmed")


@pytest.mark.parametrize("wrong", [{"allowed": -0.1}, {"allowed": 1.0}, {"allowed": 0.1, "high": 1.0}, {"allowed": 0.1, "resolution": 0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(PrunekitError):
        furthest(lambda _: DENSE, DENSE, **wrong)


def test_other_images_cannot_be_paired():
    with pytest.raises(DataError, match="same samples"):
        furthest(lambda _: Accuracy.of(np.ones(N + 1)), DENSE, 0.1)
