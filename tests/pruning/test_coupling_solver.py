"""Classes of variables: by the equalities alone, and with what cannot go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunekit.pruning.structured.coupling_solver import Variables, components

SIZE = 12
pairs = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=14)


def least(count, links):
    """Return the least member of each one's class, by walking."""
    label = list(range(count))
    changed = True
    while changed:
        changed = False
        for a, b in links:
            low = min(label[a], label[b])
            changed |= label[a] != low or label[b] != low
            label[a] = label[b] = low
    return label


@given(pairs)
def test_a_class_is_named_by_its_least_member(links):
    left, right = (np.array([link[side] for link in links], np.int64) for side in (0, 1))
    assert components(SIZE, left, right).tolist() == least(SIZE, links)


@given(pairs, st.lists(st.integers(0, SIZE - 1), max_size=3))
def test_what_is_tied_to_something_immovable_is_immovable_and_the_equalities_alone_stay_known(links, frozen):
    variables = Variables(SIZE)
    for a, b in links:
        variables.tie(np.array([a]), np.array([b]))
    for one in frozen:
        variables.freeze(np.array([one]), "held")
    found = variables.solve()
    assert found.loose.tolist() == least(SIZE, links)
    assert found.label.tolist() == least(SIZE, [*links, *((one, 0) for one in frozen)])


@given(pairs, st.lists(st.tuples(*[st.integers(1, SIZE - 1)] * 2), min_size=1, max_size=4), st.lists(st.integers(0, SIZE - 1), max_size=2))
def test_the_order_of_the_facts_does_not_matter(links, ors, frozen):
    found = []
    for turn in (1, -1):
        variables = Variables(SIZE)
        made = [variables.either(np.array([a]), np.array([b])) for a, b in ors]
        for a, b in links[::turn]:
            variables.tie(np.array([a]), np.array([b]))
        for one in frozen[::turn]:
            variables.freeze(np.array([one]), "held")
        variables.tie(made[0], made[-1])
        found.append(variables.solve())
    assert np.array_equal(found[0].label, found[1].label) and np.array_equal(found[0].ors, found[1].ors)


def test_copies_of_what_goes_in_groups_tie_no_group_to_another():
    """Falcon's keys: one for each group, spread over its queries, which are sliced from the same rows."""
    variables = Variables()
    groups, copies = variables.fresh(3), variables.fresh(2)
    variables.tie(variables.outer(groups, copies), np.repeat(groups, 2))
    found = variables.solve()
    assert found.label[groups].tolist() == groups.tolist() and not found.label[copies].any()
