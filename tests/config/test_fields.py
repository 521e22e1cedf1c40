"""The table of fields: what a row says is what is checked, and an error can call its fields as the screen does."""

import pickle

import pytest

from prunekit.config.field_table import PruneFields
from prunekit.config.fields import table
from prunekit.config.recovery import Recovery, Training
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from tests.tables import case


def test_every_field_has_a_row_with_a_label_a_help_and_a_default_that_it_takes():
    for cls in (PruneSpec, Recovery, Training):
        for name, row in table(cls).items():
            with case(cls.__name__, name):
                assert row.label[:1].isupper() and row.help and not row.help.endswith(".")
                assert row.default in (None, "") or row.kind(name, row.default) == row.default
        assert list(table(cls)) == list(cls.__dataclass_fields__)
        assert all(f"    {name} : " in cls.__doc__ for name in table(cls))


def test_a_base_and_its_heirs_have_the_same_rows():
    assert table(PruneFields) == table(PruneSpec)


def test_an_error_calls_its_fields_by_their_names_or_as_the_screen_does():
    with pytest.raises(SpecError) as told:
        Recovery(epochs=4, schedule="agp")
    error = pickle.loads(pickle.dumps(told.value))
    assert "set steps to at least 2" in str(error)
    assert "set Steps! to at least 2" in error.said(lambda name: f"{name.capitalize()}!")
    with pytest.raises(SpecError) as told:
        PruneSpec(caps={"steps": 2})
    assert str(told.value).startswith("caps[steps] must be")
    assert told.value.said(str.upper).startswith("CAPS[steps] must be")


def test_a_setting_has_an_effect_where_its_condition_holds():
    rows = table(PruneSpec)
    assert rows["round_to"].applies({"mode": "structured"}) and not rows["round_to"].applies(PruneSpec())
    augment = table(Recovery)["augment"]
    assert [augment.applies({"epochs": e, "recalibrate": r}) for e, r in ((0, False), (0, True), (1, False))] == [False, True, True]
