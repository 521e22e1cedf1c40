"""The sample that the lessons look at, loaded on its own."""

import pytest

import prunekit


@pytest.fixture(scope="module")
def cnn():
    return prunekit.load_model("digits_cnn")


@pytest.fixture(scope="module")
def data():
    return prunekit.load_data("digits")
