"""The race of a search, against ways whose true edges are known."""

from hypothesis import given
from hypothesis import strategies as st

from prunekit.experiments.search.race import EDGE, LEAST, Race
from prunekit.experiments.search.request import Trial

ALLOWED = 0.01
RACE = Race(("global", "uniform", "measured"), ("l2", "taylor"), ("sgd", "adam"), (2, 4, 8), ALLOWED)
factors = st.floats(1.2, 2.0)


def loss(edge, size, steep=1):
    """Lose what is allowed at the edge, and more below it."""
    return ALLOWED * (edge / size) ** steep


def run(needs, left=float("inf"), failing="", steep=1):
    """Race to the end; return what was seen. ``needs``: the least size of a look that holds."""
    seen = {}
    for number in range(100):
        look = RACE.following(seen, left)
        if look is None:
            return seen
        assert look not in seen
        lost = loss(needs(look), look.size, steep)
        state = "holds" if lost <= ALLOWED else "falls"
        seen[look] = (
            Trial(number, "failed") if look.way == failing else Trial(number, state, cost=look.size, loss=lost, seconds=0.5 * look.epochs)
        )
    raise AssertionError("it does not end")


@given(edge=st.floats(0.003, 0.25), best=st.permutations(RACE.ways), way=factors, optimizer=factors, criterion=factors, short=factors)
def test_the_best_way_is_found_and_its_edge_is_known(edge, best, way, optimizer, criterion, short):
    def needs(look):
        worse = way ** best.index(look.way) * optimizer ** (look.optimizer != "adam") * criterion ** (look.criterion != "taylor")
        return edge * worse * short ** (look.epochs < RACE.epochs[-1])

    seen = run(needs)
    smallest = min((look.size for look, trial in seen.items() if trial.state == "holds"), default=1.0)
    assert smallest <= max(edge * EDGE, LEAST) + 1e-3
    assert len(seen) <= 25


def test_other_ways_are_left_out_where_a_look_takes_too_much_of_the_time():
    seen = run(lambda _: 0.2, left=10.0)
    assert {look.way for look in seen} == {"global"}
    assert {look.way for look in run(lambda _: 0.2, left=15.0)} == {"global", "uniform"}, "the first other look of a round may take longer"
    assert {look.way for look in run(lambda _: 0.2, left=30.0)} == set(RACE.ways)
    assert {look.epochs for look in seen} == {2, 8}
    for left, most in ((3.9, 4), (1.9, 2)):  # seconds, where an epoch takes half a one
        assert {look.epochs for look in run(lambda _: 0.2, left=left)} == {2, most}


def test_looks_of_one_round_are_out_together_and_the_next_round_waits():
    first = RACE.following({})
    assert RACE.following({first: None}) is None
    seen = {first: Trial(0, "falls", loss=0.5)}
    others = []
    while (look := RACE.following(seen)) is not None:
        others.append(look)
        seen[look] = None
    assert [look.optimizer for look in others] == ["adam"]
    seen |= {look: Trial(0, "falls", loss=0.15) for look in others}
    others = []
    while (look := RACE.following(seen)) is not None:
        others.append(look)
        seen[look] = None
    assert {look.way for look in others} == set(RACE.ways[1:]) and {look.optimizer for look in others} == {"adam"}


def test_what_cannot_be_made_is_never_the_best():
    seen = run(lambda look: 0.05, failing="uniform")
    assert {look.way for look in seen} == set(RACE.ways)
    assert {look.way for look in seen if look.epochs == RACE.epochs[-1]} <= {"global", "measured"}


def test_where_all_are_far_from_holding_the_edge_of_the_shares_from_sensitivity_is_found():
    seen = run(lambda look: 0.8 if look.way == "global" else 0.7, steep=5)
    assert {look.way for look in seen} == {"global", "measured"} and len(seen) <= 12
    assert min(look.size for look, trial in seen.items() if trial.state == "holds") <= 0.7 * EDGE + 1e-3
