"""Charts as plotly takes them."""

from types import SimpleNamespace

import pytest

from pipeline.reports import charts


def comparison(*costs, best, recommended):
    """Candidates of these costs, of which each is better than the cheaper ones up to the best."""
    accuracy = [0.5 + 0.01 * (place if place <= best else -place) for place in range(len(costs))]
    ranks = sorted(range(len(costs)), key=lambda place: -accuracy[place])
    rows = [
        {
            "candidate": f"c{place}", "title": f"title {place}", "rank": 1 + ranks.index(place),
            "fit_seconds": cost, "accuracy": accuracy[place], "accuracy_low": 0.4,
            "accuracy_high": 0.6, "could_be_best": True, "recommended": place == recommended,
        }
        for place, cost in enumerate(costs)
    ]  # fmt: skip
    return SimpleNamespace(rows=rows, ranking=SimpleNamespace(is_floor=lambda rank: False))


@pytest.mark.parametrize(
    ("best", "recommended", "sides"),
    [
        (0, 0, {"title 0": "top right"}),  # at the left edge
        (3, 3, {"title 3": "top left"}),
        (3, 1, {"title 1": "bottom right", "title 3": "top left"}),
        (3, 2, {"title 2": "bottom left", "title 3": "top left"}),
    ],
)
def test_labels_reach_towards_the_middle_of_the_axis(best, recommended, sides):
    costs = (0.1, 1, 200, 1000)
    compared = comparison(*costs, best=best, recommended=recommended)
    front = charts.cost(compared, "fit_seconds")["data"][0]
    labelled = zip(front["text"], front["textposition"], strict=True)
    assert {text.strip("\u2002"): side for text, side in labelled if text} == sides


def test_candidates_of_equal_cost_have_labels():
    front = charts.cost(comparison(2, 2, best=0, recommended=0), "fit_seconds")["data"][0]
    assert front["textposition"] == ["top right"]
