"""Warnings on the Prune page: there before anything is measured, and gone by the button that stands with them."""


def warned(page):
    return [each.value for each in page.app.warning if "is left with" in each.value]


def test_a_layer_that_is_left_with_one_channel_is_said_and_one_click_keeps_more(tab):
    page = tab("prune", model="digits_cnn", mode="structured", sparsity=96)
    assert warned(page)
    page.click("avoid_thin_0")
    assert not warned(page) and "caps" in page.app.query_params


def test_a_target_that_caps_do_not_let_through_is_said_and_lifting_them_reaches_it(tab):
    page = tab("prune", model="digits_cnn", mode="structured", sparsity=60, cap_all=30)
    assert any("can go" in each.value for each in page.app.warning)
    page.click("avoid_short_0")
    assert not any("can go" in each.value for each in page.app.warning)
