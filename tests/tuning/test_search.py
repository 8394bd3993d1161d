"""The search by itself, on scores that are formulas."""

import pytest

from cellflax.tuning.search import Axis, coordinate_search, rank, settings_at

AXES = [
    Axis.of("threshold", [round(0.1 * i, 1) for i in range(1, 10)], 0.5),
    Axis.of("area", [0, 10, 20, 30], 10),
    Axis.of("kind", ["edge", "interior"], "interior"),
]


def scores(formula, log=None):
    def score(positions):
        if log is not None:
            log.extend(positions)
        return [formula(**settings_at(AXES, position)) for position in positions]

    return score


def best_of(trials):
    return settings_at(AXES, max(trials, key=lambda trial: rank(AXES, trial.position, trial.score)).position)


def hill(threshold, area, kind):
    """Its top is at (0.8, 30, edge), and the best threshold depends on the area."""
    x, y = (threshold - 0.8) / 0.3, (area - 30) / 30
    return 1 - x**2 - y**2 + 0.6 * x * y - 0.1 * (kind == "interior")


def test_it_finds_the_top_where_settings_depend_on_each_other():
    log = []
    trials = coordinate_search(AXES, scores(hill, log), 200)
    assert best_of(trials) == {"threshold": 0.8, "area": 30, "kind": "edge"}
    assert [trial.position for trial in trials] == log
    assert len(set(log)) == len(log) < 9 * 4 * 2
    accepted = [trial for trial in trials if trial.accepted]
    assert accepted[0].position == (4, 1, 1)
    assert trials[0] == accepted[0]
    assert max(trials, key=lambda trial: trial.score).accepted


def test_equal_scores_stay_at_the_start():
    trials = coordinate_search(AXES, scores(lambda threshold, area, kind: 0.3), 200)
    assert [trial.position for trial in trials if trial.accepted] == [(4, 1, 1)]
    assert best_of(trials) == {"threshold": 0.5, "area": 10, "kind": "interior"}


def test_of_equal_ones_the_nearest_is_taken():
    """Everything from 0.7 on is as good."""
    trials = coordinate_search(AXES, scores(lambda threshold, area, kind: float(threshold >= 0.7)), 200)
    assert best_of(trials) == {"threshold": 0.7, "area": 10, "kind": "interior"}


@pytest.mark.parametrize("evaluations", [1, 2, 7, 12])
def test_the_limit_holds(evaluations):
    trials = coordinate_search(AXES, scores(hill), evaluations)
    assert len(trials) == evaluations
    assert trials[0].position == (4, 1, 1)


def test_settings_that_make_no_sense_are_passed_by():
    trials = coordinate_search(AXES, scores(lambda **at: float("-inf") if at["area"] == 30 else hill(**at)), 200)
    assert best_of(trials)["area"] == 20


def test_long_lists_are_searched_coarsely_first():
    axes = [Axis.of("x", list(range(20)), 3)]
    seen = []
    coordinate_search(axes, lambda ps: [-abs(float(p[0]) - 12) for p in ps if not seen.append(p[0])], 100)
    assert seen == [3, 1, 5, 7, 9, 11, 13, 15, 17, 19, 10, 12]


def test_the_start_takes_its_place_among_the_candidates():
    assert Axis.of("x", [1.0, 2.0], 1.5) == Axis("x", (1.0, 1.5, 2.0), 1)
    assert Axis.of("x", [1.0, 2.0], 2.0) == Axis("x", (1.0, 2.0), 1)
    assert Axis.of("x", ["b", "a"], "c") == Axis("x", ("b", "a", "c"), 2)


def test_nothing_to_search():
    assert len(coordinate_search([], lambda positions: [0.5], 10)) == 1
