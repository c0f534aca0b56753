"""What is given up when time is short: first settings, then the classifier, then images."""

import dataclasses
import math

import pytest

from pipeline.classifiers import SUITE, find
from pipeline.search.budget import FEWEST_ROWS, Budget, Planner, Share, Sizes, place_by_cost
from pipeline.search.fitting import Cost

SIZES = Sizes(train=40_000, validation=10_000, rest=50_000, rounds=1, repeats=1)
RBF, FALLBACKS = find("rbf-svm"), find("rbf-svm").fallbacks


def planner(seconds=1.0, tune=True, fallback_seconds=None, sizes=SIZES):
    """A planner by which 1,000 rows take so many seconds; a fallback may take others."""

    def cost_of(classifier):
        own = seconds if classifier is RBF or fallback_seconds is None else fallback_seconds
        return Cost(1000, own, 0.0)

    return Planner(sizes, tune, cost_of)


def first(planner, own, requested=RBF, fallbacks=FALLBACKS):
    return next(iter(planner.plans(requested, fallbacks, lambda: Share(own, own))))


def test_with_enough_time_everything_is_searched():
    plan = first(planner(), 1e9)
    assert (plan.classifier, plan.settings, plan.share, plan.reason) == (RBF, RBF.space, 1.0, "")


def test_without_a_budget_or_a_measurement_everything_is_searched():
    share = Budget(None).share([math.inf] * 3)
    assert next(iter(planner(1e9).plans(RBF, FALLBACKS, lambda: share))).settings == RBF.space
    assert share == (math.inf, math.inf)
    unmeasured = Planner(SIZES, True, lambda classifier: None)
    assert first(unmeasured, 1.0).settings == RBF.space


def test_with_less_time_fewer_settings_around_the_default_are_searched():
    planning = planner()
    everything = planning.seconds(RBF)
    plan = first(planning, 1.1 * everything)
    assert plan.classifier is RBF
    assert 1 <= len(plan.settings) < len(RBF.space)
    assert RBF.default in plan.settings
    assert f"{len(plan.settings)} of 9 settings" in plan.reason
    assert planning.seconds(RBF, len(plan.settings)) <= plan.seconds < everything


def test_with_still_less_a_cheaper_relative_is_taken():
    plan = first(planner(seconds=10, fallback_seconds=0.01), 1000.0)
    assert plan.classifier is FALLBACKS[0]
    assert "RBF SVM would take longer" in plan.reason


def test_with_hardly_any_fewer_images_are_learned_from():
    planning = planner(seconds=10)
    plan = first(planning, 1000.0)
    assert plan.classifier is FALLBACKS[-1]
    assert FEWEST_ROWS / SIZES.rest <= plan.share < 1
    assert plan.settings == (FALLBACKS[-1].default,)
    assert "of 50,000 images" in plan.reason
    assert planning.seconds(FALLBACKS[-1], 1, plan.share) <= 1000
    assert first(planner(seconds=1e6), 1.0).share == FEWEST_ROWS / SIZES.rest


def test_after_a_plan_that_did_not_end_the_next_gives_up_more():
    plans = list(planner().plans(RBF, FALLBACKS, lambda: Share(1e9, 1e9)))
    assert [plan.classifier for plan in plans] == [RBF, *FALLBACKS, FALLBACKS[-1]]
    assert [plan.share for plan in plans] == [1.0, 1.0, 0.5]


def test_a_reason_names_the_error_where_it_was_not_time():
    plans = planner().plans(RBF, FALLBACKS, lambda: Share(1e9, 1e9), lambda: "ValueError: no luck")
    reasons = [plan.reason for plan in plans]
    assert reasons[1] == "RBF SVM failed: ValueError: no luck"
    assert reasons[2].endswith("25,000 of 50,000 images, because the fit before failed: "
                               "ValueError: no luck")  # fmt: skip
    few = planner(1e9, sizes=Sizes(train=40, validation=10, rest=50, rounds=1, repeats=1))
    assert first(few, 1.0).reason == "one setting, as time was short"


def test_every_classifier_has_a_place_by_cost():
    places = [place_by_cost(c) for member in SUITE for c in (member, *member.fallbacks)]
    assert sorted(places) == list(range(len(places)))
    assert place_by_cost(dataclasses.replace(RBF, name="my-own")) == len(places)


def test_a_budget_is_over_when_hardly_a_second_is_left():
    assert Budget(0.5).over
    assert not Budget(60.0).over
    assert not Budget(None).over


def test_what_keeps_its_rows_takes_longer_to_predict_the_more_it_learned_from():
    cost = Cost(1000, 0.0, 1.0)
    knn, ridge = (Planner(SIZES, True, lambda classifier: cost).seconds(find(name), 1)
                  for name in ("knn-cosine", "ridge"))  # fmt: skip
    assert knn == pytest.approx(40 * ridge)


def test_untuned_the_default_is_all_there_is():
    assert first(planner(tune=False), 1e9).settings == (RBF.default,)


def test_candidates_of_unknown_cost_share_what_is_left():
    own, left = Budget(100.0).share([math.inf] * 4)
    assert own == pytest.approx(25, abs=0.1)
    assert left == pytest.approx(100, abs=0.4)
    assert Budget(1e-9).share([math.inf] * 2) == (0, 0)


def test_what_others_do_not_need_goes_to_those_that_need_more():
    assert Budget(100.0).share([60, 8, 8]).own == pytest.approx(76, abs=0.1)  # 12 for each other
    assert Budget(100.0).share([8, 60, 60]).own == pytest.approx(100 / 3, abs=0.1)
    assert Budget(100.0).share([60, 60, 8]).own == pytest.approx(44, abs=0.1)
    assert Budget(100.0).share([8, 8]).own == pytest.approx(88, abs=0.1)


def test_what_is_predicted_to_fit_is_planned_whole():
    planning = planner()
    needs = [planning.seconds(RBF)] * 2
    share = Budget(3.01 * needs[0]).share(needs)
    assert next(iter(planning.plans(RBF, FALLBACKS, lambda: share))).settings == RBF.space


def test_what_any_number_of_rows_costs_is_not_multiplied():
    costs = Cost(1000, 1.0, 0.0), Cost(1000, 0.0, 0.0, fixed=1.0)
    grows, stays = (Planner(SIZES, True, lambda classifier, cost=cost: cost).seconds(find("ridge"), 1)
                    for cost in costs)  # fmt: skip
    assert stays == pytest.approx(2.0)  # a trial and the last fit
    assert grows == pytest.approx(40 + 50)
