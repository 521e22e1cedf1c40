"""SparseGPT on one layer: against its definition, column by column, and against the direct solution."""

import pytest
import torch

from prunekit.pruning.unstructured.reconstruction import Goal, reconstruct


def drawn(rows=24, columns=40, n=300, seed=0):
    """Return a weight and inputs that are correlated and of different strength."""
    source = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=source) + torch.eye(columns)
    x = torch.randn(n, columns, generator=source) @ mix * torch.rand(columns, generator=source) * 2
    return torch.randn(rows, columns, generator=source), x


def reference(weight, x, keep, damping=0.01):
    """Go through the columns one by one with the inverse of what is left of X'X, as the paper's equations have it."""
    w, product = weight.double().clone(), (x.t() @ x).double()
    product += damping * product.diagonal().mean() * torch.eye(len(product))
    for j in range(w.shape[1]):
        inverse = torch.linalg.inv(product[j:, j:])
        lost = torch.where(keep[:, j], 0, w[:, j])
        w[:, j:] -= lost[:, None] / inverse[0, 0] * inverse[0]
        w[~keep[:, j], j] = 0
    return w.float()


def error(x, weight, pruned):
    return float((x @ (weight - pruned).t()).square().sum())


def lowest(score, count):
    kept = torch.ones_like(score, dtype=torch.bool)
    kept.view(-1)[score.flatten().topk(count, largest=False).indices] = False
    return kept


@pytest.mark.parametrize("goal", [Goal(480), Goal(480, by_row=True), Goal(pattern=(2, 4)), Goal(pattern=(3, 8))])
@pytest.mark.parametrize("block", [8, 128])
def test_the_update_is_that_of_the_definition_and_beats_wanda_and_magnitude(goal, block):
    weight, x = drawn()
    found, kept = reconstruct(weight, x.t() @ x, goal, block=block)
    assert bool((found[~kept] == 0).all())
    torch.testing.assert_close(found, reference(weight, x, kept), rtol=2e-3, atol=2e-3)
    if goal.pattern:
        n, m = goal.pattern
        assert bool((kept.view(24, -1, m).sum(2) == n).all())
        rivals = []
        for score in (weight.abs(), weight.abs() * x.norm(dim=0)):
            least = score.view(24, -1, m).topk(m - n, dim=2, largest=False).indices
            rivals.append(torch.ones(24, 40 // m, m, dtype=torch.bool).scatter_(2, least, False).view_as(weight))
    else:
        assert int((~kept).sum()) == goal.count
        rivals = [lowest(weight.abs(), goal.count), lowest(weight.abs() * x.norm(dim=0), goal.count)]
    if goal.by_row:
        assert len(set(kept.sum(1).tolist())) == 1
    assert error(x, weight, found) < min(error(x, weight, weight * each) for each in rivals)


def test_one_column_in_front_that_goes_is_made_up_for_as_least_squares_does():
    weight, x = drawn(rows=3, columns=6)
    x = x.clone()
    x[:, 0] *= 0.01  # so weak that its weights are the ones that go
    x[:, 0] += 0.05 * x[:, 1]
    found, kept = reconstruct(weight, x.t() @ x, Goal(3, by_row=True), damping=0)
    assert kept[:, 0].tolist() == [False] * 3 and bool(kept[:, 1:].all())
    direct = torch.linalg.lstsq(x[:, 1:].double(), (x @ weight.t()).double()).solution.t()
    torch.testing.assert_close(found[:, 1:], direct.float(), rtol=1e-3, atol=1e-4)


def test_inputs_that_are_never_there_and_weights_that_are_zero_go_first():
    weight, x = drawn(rows=8, columns=16)
    x[:, 3] = 0
    weight[2, 5:9] = 0
    found, kept = reconstruct(weight, x.t() @ x, Goal(30), block=16)
    assert not kept[:, 3].any() and not kept[2, 5:9].any() and int((~kept).sum()) == 30 and bool(torch.isfinite(found).all())


def test_rows_that_each_meet_one_input_lose_by_how_often_it_comes():
    weight = torch.ones(4, 3)
    found, kept = reconstruct(weight, torch.tensor([5.0, 0.0, 1.0, 9.0]), Goal(6))
    assert kept.all(1).tolist() == [True, False, False, True] and torch.equal(found, weight * kept)
