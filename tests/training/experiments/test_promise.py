"""The simulation knows the truth about every law, and finds broken promises where a rule breaks them."""

import json

import numpy as np
import pytest

from closedbook.training.experiments import promise


def test_every_law_has_its_figures_for_both_rules(monkeypatch, capsys, tmp_path):
    few = {name: promise.LAWS[name] for name in ("always right", "always wrong", "smooth, ties")}
    monkeypatch.setattr(promise, "LAWS", few)
    output = tmp_path / "new" / "promise.json"
    returned = promise.main(["--draws", "20", "--output", str(output)])
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1]) == returned == json.loads(output.read_text("utf-8"))
    )
    assert returned["laws"].keys() == few.keys()
    for rule in promise.RULES:
        assert returned["laws"]["always right"][rule]["answered"] == 1
        assert returned["laws"]["always wrong"][rule]["without_threshold"] == 1
        assert 0 < returned["laws"]["smooth, ties"][rule]["answered"] < 1


@pytest.mark.parametrize("name", promise.LAWS)
def test_a_rule_that_always_answers_breaks_the_promises_that_all_answers_break(name, monkeypatch):
    monkeypatch.setattr(promise, "RULES", {"everything": lambda *_: 0.0})
    law = promise.LAWS[name]
    found = promise.simulate(law, promise.PromiseArguments(draws=2))["everything"]
    wrong = 1 - np.mean(law.right(np.linspace(0, 1, 100_001)))
    assert found["answered"] == 1
    assert found["broken"] == (1.0 if wrong > 0.1 + 1e-4 else 0.0 if wrong < 0.1 - 1e-4 else found["broken"])


def test_the_former_rule_takes_the_lowest_of_its_proven_thresholds():
    """400 people, all right but the least sure quarter: 20 wrong of 320 would prove 10%, but not 19 times over."""
    confidences = np.linspace(1, 0.0025, 400)
    correct = confidences > 0.25
    found = promise.bonferroni(confidences, correct, 0.1, 0.05)
    assert np.sum(confidences >= found) == 300


def test_no_draw_at_all_is_refused():
    with pytest.raises(ValueError, match="--draws must be at least 1, got 0"):
        promise.main(["--draws", "0"])
