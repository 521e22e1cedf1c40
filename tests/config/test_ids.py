"""`ModelId` and `DataId`: one canonical form, round trips, errors that name the field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, ModelError
from tests.tables import case

names = st.text(min_size=1).filter(str.strip)
channels = st.integers(1, 4).flatmap(
    lambda n: st.tuples(st.lists(st.floats(-10, 10), min_size=n, max_size=n), st.lists(st.floats(0.01, 10), min_size=n, max_size=n))
)
data_ids = st.builds(
    lambda name, limit, size, pair: DataId(name, limit, size, *(pair or (None, None))),
    names,
    st.none() | st.integers(1, 10**6),
    st.none() | st.integers(1, 1000),
    st.none() | channels,
)


@given(names, st.none() | names)
def test_a_model_id_survives_json(name, weights):
    model_id = ModelId(name, weights)
    again = ModelId.from_dict(json.loads(json.dumps(model_id.to_dict())))
    assert again == model_id and hash(again) == hash(model_id)


@given(data_ids)
def test_a_data_id_survives_json(data_id):
    again = DataId.from_dict(json.loads(json.dumps(data_id.to_dict())))
    assert again == data_id and hash(again) == hash(data_id)


def test_a_wrong_model_id_is_named():
    for values, named in [
        ({"name": "a", "weight": "b"}, "weight"),
        ({"weights": "b"}, "no name"),
        ({"name": ""}, "model must be a name"),
        ({"name": 3}, "model must be a name"),
        ({"name": "a", "weights": ""}, "weights"),
        ({"name": "a", "pretrained": "yes"}, "pretrained"),
        ({"name": "a", "weights": "b", "pretrained": True}, "not both"),
        ("digits", "mapping"),
    ]:
        with case(values, named), pytest.raises(ModelError, match=named):
            ModelId.from_dict(values)


def test_a_wrong_data_id_is_named():
    for values, named in [
        ({"name": "a", "limits": 3}, "limits"),
        ({"name": None}, "data must be a name"),
        ({"name": "a", "limit": 0}, "limit"),
        ({"name": "a", "limit": 1.5}, "limit"),
        ({"name": "a", "limit": True}, "limit"),
        ({"name": "a", "size": -8}, "size"),
        ({"name": "a", "mean": "0.5"}, "mean"),
        ({"name": "a", "mean": []}, "mean"),
        ({"name": "a", "mean": [float("nan")]}, "mean"),
        ({"name": "a", "std": [0.0]}, "std must be above 0"),
        ({"name": "a", "mean": [0, 0, 0], "std": [1]}, "as many values"),
    ]:
        with case(values, named), pytest.raises(DataError, match=named):
            DataId.from_dict(values)


def test_lists_become_tuples_and_so_one_cache_key():
    assert DataId("digits", mean=[0.5], std=[1]) == DataId("digits", mean=(0.5,), std=(1.0,))
