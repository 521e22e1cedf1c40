"""How many images, and which: what a page asks for stands in every key and request that leaves it."""

from dataclasses import replace

import pytest

from prunekit.config.recovery import Recovery
from prunekit.ui.recover import options
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Images
from prunekit.ui.state import codecs
from prunekit.ui.state.settings import Settings


@pytest.mark.parametrize("limit", [0, 100])
def test_the_limit_of_the_data_is_part_of_what_is_asked_for(limit):
    now = Settings(limit=limit)
    loaded = model_cache.load(source_of(now))
    data = data_cache.data_of(now, loaded)
    assert data_cache.images_of(now, loaded, data) == Images("digits", limit)
    model, images = measuring.names(now, loaded)
    assert (model.name, images.name, images.limit) == ("digits_cnn", "digits", limit or None)
    assert len(data_cache.data_at(data_cache.images_of(now, loaded, data), loaded.source).test) == (limit or 360)


def test_epochs_are_chosen_on_validation_images_where_there_are_any():
    now = Settings(limit=100)
    loaded = model_cache.load(source_of(now))
    data = data_cache.data_of(now, loaded)
    split = [options.request_of(now, loaded, part, Recovery(epochs=1)).split for part in (data, replace(data, validation=None))]
    assert split == ["validation", "test"]


@pytest.mark.parametrize(("places", "text"), [((0,), "0"), ((0, 1, 2), "0-2"), ((0, 5), "0_5"), ((7, 0, 1, 3, 4), "0-1_3-4_7")])
def test_layers_in_an_address_leave_out_what_lies_between_them(places, text):
    assert codecs.ranges(places) == text
    assert codecs.places(text) == tuple(sorted(places))


@pytest.mark.parametrize(("name", "part"), [("movielens", "ml-latest-small/ratings.csv.gz"), ("camvid", "camvid-small")])
def test_data_that_are_not_here_are_said_to_be_fetched_or_brought(tmp_path, monkeypatch, name, part):
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    told = [data_cache.has_to_be_brought(name), data_cache.at_hand(name)]
    assert told == ([True, True] if name == "camvid" else [False, False]), "what nobody can download is not offered for download"
    (tmp_path / part).mkdir(parents=True)
    assert not data_cache.has_to_be_brought(name) and data_cache.at_hand(name)
