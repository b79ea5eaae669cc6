from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from plait.core.errors import ConfigError, DataError
from plait.evaluation.cause.aipw import aipw, e_value, told_of
from plait.evaluation.cause.claim import Claim, claim_of
from plait.evaluation.intervals import Units


def world(seed=0, *, effect=0.0, tied=0.0, kept=1.0, speakers=20, each=20):
    """Speakers of two dialects, which act on treatment and outcome as far as ``tied``; ``kept``: of items with
    neither, the share that is in the corpus."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), each)
    side = tied * (speaker % 2 - 0.5)
    loud = rng.random(len(speaker)) < special.expit(side)
    yes = rng.random(len(speaker)) < special.expit(side + effect * (loud - 0.5))
    share = np.where(loud | yes, 1.0, kept)
    (there,) = np.nonzero(rng.random(len(speaker)) < share)
    facts = {
        str(i): {
            "loud": bool(loud[i]),
            "class": "yes" if yes[i] else "no",
            "dialect": "ab"[speaker[i] % 2],
            "speaker": f"g{speaker[i]}",
            "share": float(share[i]),
            "chosen": "loud or yes",
            "coin": bool(rng.random() < special.expit(side[i])),
        }
        for i in there
    }
    return facts, {i: own["speaker"] for i, own in facts.items()}


CLAIM = Claim("loud", "class", ("dialect",))


def test_the_e_value_is_that_of_the_paper() -> None:
    """VanderWeele & Ding 2017: maternal smoking, 3.9 (1.8 to 8.7)."""
    assert round(e_value(3.9), 2) == 7.26
    assert round(e_value(1.8), 1) == 3.0


def test_it_is_what_scikit_learn_and_naive_sums_give() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    columns, folds, weights = rng.normal(size=(48, 2)), np.arange(48) % 3, rng.uniform(0.5, 2, 48)
    treated = rng.random(48) < special.expit(columns[:, 0])
    outcome = columns.sum(1) + treated + rng.normal(size=48)
    found = aipw(treated, outcome, columns, folds, weights)
    for i in range(48):
        rest = folds != folds[i]
        own = columns[i : i + 1]
        model = linear.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
        e = model.fit(columns[rest], treated[rest], weights[rest]).predict_proba(own)[0, 1]
        assert found.propensity[i] == pytest.approx(e, abs=1e-4)
        for k, arm in enumerate((treated, ~treated)):
            fitted = linear.Ridge(alpha=1.0).fit(columns[rest & arm], outcome[rest & arm], weights[rest & arm])
            m, chance = fitted.predict(own)[0], (e, 1 - e)[k]
            expected = m + (outcome[i] - m) / chance if arm[i] else m
            assert found.scores[i, k] == pytest.approx(expected, abs=5e-3)
    told = told_of(found, Units.of(np.arange(48) % 12))
    naive = [(w * (a - b), w) for (a, b), w in zip(found.scores, weights)]
    assert told.effect == pytest.approx(sum(x for x, _ in naive) / sum(w for _, w in naive))


def test_either_model_alone_is_enough() -> None:
    """Doubly robust: a treatment that depends on what the outcome does not need, and the other way round."""
    rng = np.random.default_rng(0)
    x, folds = rng.normal(size=4000), np.arange(4000) % 5
    treated = rng.random(4000) < special.expit(x)
    for outcome, columns in ((np.exp(x) + treated, x), (x + treated, x + rng.normal(0, 1e-3, 4000))):
        found = told_of(aipw(treated, outcome, columns[:, None], folds), Units.of(np.arange(4000) % 40))
        assert found.interval.low < 1 < found.interval.high
        assert abs(outcome[treated].mean() - outcome[~treated].mean() - 1) > 0.5


def test_an_effect_is_found_and_a_confounder_is_none() -> None:
    found = claim_of(CLAIM, *world(effect=1.5))
    truth = special.expit(0.75) - special.expit(-0.75)
    assert found["verdict"] == "effect"
    assert found["interval"]["low"] < truth < found["interval"]["high"]
    assert found["e_value"] > found["e_value_interval"] > 1
    tied = claim_of(CLAIM, *world(tied=3.0))
    assert tied["verdict"] == "no effect found"
    assert abs(tied["unadjusted"]) > 0.2 > abs(tied["effect"])
    assert tied["e_value_interval"] == 1.0


def test_a_confounder_that_is_left_out_is_noticed_between_groups() -> None:
    found = claim_of(CLAIM._replace(adjust=("none",)), *world(tied=3.0))
    assert found["verdict"] == "cannot be told"
    assert "what they share is not adjusted for" in found["reason"]


def test_a_negative_control_notices_it_within_groups() -> None:
    facts, groups = world(tied=3.0)
    alone = {item: str(int(item) % 10) for item in groups}  # groups of both dialects: nothing differs between them
    claim = CLAIM._replace(adjust=("none",))
    assert claim_of(claim, facts, alone)["verdict"] == "effect"  # wrong, as what the user named is
    found = claim_of(claim._replace(placebo="coin"), facts, alone)
    assert found["verdict"] == "cannot be told"
    assert "negative control" in found["reason"]
    assert claim_of(CLAIM._replace(placebo="coin"), facts, alone)["verdict"] == "no effect found"


def test_a_corpus_that_was_chosen_tells_nothing_unless_it_is_known_how() -> None:
    facts, groups = world(kept=0.1, speakers=40)
    assert claim_of(CLAIM, facts, groups)["verdict"] == "effect"  # there is none: so it is said what it rests on
    found = claim_of(CLAIM._replace(selection="chosen"), facts, groups)
    assert found["verdict"] == "cannot be told"
    assert "chosen" in found["reason"]
    weighted = claim_of(CLAIM._replace(selection="share"), facts, groups)
    assert weighted["verdict"] == "no effect found"
    with pytest.raises(ConfigError, match="share that was chosen"):
        claim_of(CLAIM._replace(selection="speaker"), facts, groups)


def test_without_overlap_it_cannot_be_told() -> None:
    facts, groups = world(effect=1.0)
    for own in facts.values():
        own["loud"] = own["dialect"] == "a"
    found = claim_of(CLAIM, facts, groups)
    assert found["verdict"] == "cannot be told"
    assert "overlap" in found["reason"]
    assert found["outside"] > 0.9


@pytest.mark.parametrize("lacking", ["treatment", "outcome", "adjust"])
def test_without_the_three_names_it_cannot_be_told(lacking) -> None:
    found = claim_of(CLAIM._replace(**{lacking: () if lacking == "adjust" else ""}), *world())
    assert found["verdict"] == "cannot be told"
    assert lacking in found["reason"]
    assert "effect" not in found


def test_few_groups_or_items_tell_nothing() -> None:
    facts, groups = world(effect=3.0)
    assert "groups" in claim_of(CLAIM, facts, dict.fromkeys(groups, "g"))["reason"]
    some = dict(list(facts.items())[:30])
    assert "items of one treatment" in claim_of(CLAIM, some, groups | {i: i for i in some})["reason"]
    facts["0"]["loud"] = None
    assert claim_of(CLAIM, facts, groups)["left_out"] == 1


def test_a_treatment_of_whole_groups_is_compared_between_groups() -> None:
    rng, (facts, groups) = np.random.default_rng(1), world(speakers=40)
    of_group = {f"g{i}": rng.normal() for i in range(40)}
    for own in facts.values():
        own |= {"device": int(own["speaker"][1:]) // 2 % 2 == 0, "value": of_group[own["speaker"]] + rng.normal()}
    found = claim_of(Claim("device", "value", ("dialect",)), facts, groups)
    assert "within_groups" not in found
    assert found["verdict"] == "no effect found"
    assert found["placebo_alarms"] < 0.15


def test_the_group_itself_can_be_adjusted_for() -> None:
    assert claim_of(CLAIM._replace(adjust=("speaker",)), *world(effect=1.5))["verdict"] == "effect"


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (CLAIM._replace(treatment="lout"), "Did you mean 'loud'"),
        (CLAIM._replace(treatment="speaker"), "Write NAME=VALUE"),
        (CLAIM._replace(adjust=("name",)), "more than 30 names"),
    ],
)
def test_a_wrong_name_is_told(claim, told) -> None:
    facts, groups = world()
    for item, own in facts.items():
        own["name"] = item
    with pytest.raises(ConfigError, match=told):
        claim_of(claim, facts, groups)
    assert claim_of(CLAIM._replace(treatment="loud=true"), facts, groups)["effect"] == pytest.approx(
        claim_of(CLAIM, facts, groups)["effect"]
    )


def test_one_treatment_alone_is_no_comparison() -> None:
    with pytest.raises(DataError, match="only one of the two"):
        aipw(np.arange(4) < 2, np.ones(4), np.zeros((4, 0)), np.arange(4) // 2)
