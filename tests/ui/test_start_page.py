"""Start: pictures of all that the data hold, and an answer to each upload."""

from __future__ import annotations

import numpy as np

from prunekit.ui.shared.asking import spread


def test_pictures_come_from_the_whole_of_data_that_are_sorted_by_class():
    labels = np.repeat(np.arange(10), 300)
    assert set(labels[spread(np.arange(len(labels)), 24)]) == set(range(10))
    assert list(spread(np.arange(3), 24)) == [0, 1, 2] and not len(spread(np.arange(0), 24))


def test_a_file_without_an_architecture_is_answered(tab):
    page = tab(shelf="own")
    page.app.get("file_uploader")[0].set_value([("half.safetensors", b"0", "application/octet-stream")]).run()
    assert [each.value for each in page.check().app.info if "half.safetensors is here. Choose the architecture" in each.value]
