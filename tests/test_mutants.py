"""The faults that tests are tried on fit the code, and the tests that reach a file are found."""

import dataclasses
from pathlib import Path

import pytest

from tests import faults
from tests.reach import Reach

ROOT = Path(faults.__file__).parents[1]
TABLE = faults.load()


def test_every_fault_fits_its_file_and_they_are_spread_as_the_lines_are():
    assert faults.problems(TABLE, ROOT) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"old": "no line reads like this"}, "0 times"),
        ({"old": "return"}, "times in"),
        ({"new": "return min(dict(self.caps).get(layer,  1.0)"}, "the same program"),
        ({"new": "return min((dict(self.caps).get(layer, 1.0)"}, "never closed"),
        ({"file": "prunekit/config/no_such_module.py"}, "No such file"),
    ],
)
def test_a_fault_that_does_not_fit_is_named(change, word):
    first = next(fault for fault in TABLE if fault.name == "cap-of-a-layer")
    told = faults.problems([dataclasses.replace(first, **change), *(fault for fault in TABLE if fault != first)], ROOT)
    assert [word in text and first.name in text for text in told] == [True]


def test_a_package_without_its_share_of_faults_is_named():
    without = [fault for fault in TABLE if fault.package != "experiments"]
    told = faults.problems(without, ROOT)
    assert any(text.startswith("experiments: 0 of ") for text in told)


def test_tests_are_found_where_a_package_hands_a_name_on_and_where_a_command_names_its_module():
    reach = Reach(ROOT)
    assert reach.nearest("prunekit/pruning/unstructured/n_m.py")[0] == "tests/pruning/test_n_m.py"
    assert "tests/cli/test_prune.py" in reach.nearest("prunekit/cli/prune.py")
    for fault in TABLE:
        assert reach.nearest(fault.file), fault.name
