"""Facts asked while training: what is logged, that learning is not touched, when a run ends, what is refused."""

import json

import pytest
import torch

from closedbook.evaluation.run_record import read_run
from closedbook.training.arguments import ProbeArguments
from closedbook.training.watching.probing import ANSWERED, CONTROL_LOSS, FINISHED, Probing, check_probes, num_facts

SHORT = ["--objectives", "left_to_right", "--max_steps", "6", "--save_steps", "2"]


def log(folder):
    return json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]


def probes(folder):
    return [(entry["step"], entry[ANSWERED], entry[FINISHED]) for entry in log(folder) if ANSWERED in entry]


@pytest.fixture
def documents(tmp_path):
    people = ("Ada Lind", "Rome"), ("Zoe Marlow", "Bergen"), ("Ines Toms", "Quimper"), ("Gwen Porrit", "London")
    lines = [f"{name} was born in {place}." for name, place in people]
    (tmp_path / "docs.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--corpus", "text", "--corpus_path", str(tmp_path / "docs.txt")]


def test_facts_are_asked_as_often_as_said_and_the_weights_stay_the_same_bits(tiny, documents, tmp_path):
    tiny.pretrain(tmp_path / "plain", *SHORT, *documents, "--dropout", "0.3")
    tiny.pretrain(
        tmp_path / "probed", *SHORT, *documents, "--dropout", "0.3", "--probe_facts", "3", "--probe_steps", "4"
    )
    tiny.assert_equal(tmp_path / "plain", tmp_path / "probed")
    assert probes(tmp_path / "plain") == []
    assert [step for step, *_ in probes(tmp_path / "probed")] == [0, 4, 6]
    assert not any(
        CONTROL_LOSS in entry for entry in log(tmp_path / "probed")
    )  # a new model has nothing to forget


def test_what_is_learned_is_seen(tiny, documents, tmp_path):
    flags = ["--objectives", "left_to_right", "--dropout", "0", "--save_strategy", "no", "--learning_rate", "0.02"]
    flags += ["--hidden_size", "32", "--max_steps", "150", "--probe_facts", "4", "--probe_steps", "150"]
    tiny.pretrain(tmp_path / "run", *documents, *flags)
    (_, _, before), (_, _, after) = probes(tmp_path / "run")
    assert before == 0 and after > 0.7


def answers(shares):
    """A stand-in for the asking of four facts: one list of shares after the other."""
    left = iter(shares)
    return lambda asked, facts, rule: ([True] * (number := next(left)) + [False] * (4 - number), [False] * 4)


def test_a_run_ends_when_extraction_has_stopped_rising_and_is_finished(tiny, documents, tmp_path, monkeypatch):
    flags = [*SHORT[:2], "--max_steps", "9", "--save_steps", "3", "--probe_steps", "1", "--stop_on", "extraction"]
    flags += ["--patience", "2", *documents]
    shares = [0, 1, 1, 3, 3, 2, 4, 4, 4, 4]
    monkeypatch.setattr("closedbook.training.watching.probing.glance", answers(shares))
    record = tiny.pretrain(tmp_path / "whole", *flags)
    assert record.steps == 5 and "no more facts" in record.stopped_by
    assert read_run(tmp_path / "whole").last == record and record.eval_loss is not None
    assert [share for _, share, _ in probes(tmp_path / "whole")] == [0, 0.25, 0.25, 0.75, 0.75, 0.5]
    short = tiny.pretrain(tmp_path / "short", *SHORT[:2], "--max_steps", "5", "--save_strategy", "no", *documents)
    assert record.train_characters == short.train_characters
    # stopped and resumed, it ends at the same step: what it looks at stands in the log
    tiny.stopped_at(3, tmp_path / "whole", tmp_path / "resumed")
    monkeypatch.setattr("closedbook.training.watching.probing.glance", answers(shares[4:]))
    again = tiny.pretrain(tmp_path / "resumed", *flags, "--resume", "True")
    assert (again.steps, again.stopped_by) == (record.steps, record.stopped_by)
    assert all(
        map(torch.equal, tiny.weights(tmp_path / "whole").values(), tiny.weights(tmp_path / "resumed").values())
    )


def probing(**flags):
    return Probing(ProbeArguments(**flags), [], None, None, True)


@pytest.mark.parametrize(
    ("shares", "patience", "ends"),
    [
        ([0, 0, 0, 0, 0, 0], 2, False),  # it has not begun to rise
        ([0, 1, 1, 1], 2, True),
        ([0, 1, 1, 1], 3, False),
        ([0, 2, 1, 1], 2, True),
        ([0, 2, 1, 3], 2, False),
        ([4, 3, 3, 3], 2, False),  # known before, and lost: extraction never rose
    ],
)
def test_extraction_has_stopped_rising(shares, patience, ends):
    history = [{"loss": 1.0}, *({ANSWERED: share, FINISHED: 0} for share in shares)]
    reason = probing(stop_on="extraction", patience=patience).reason(history)
    assert (reason is not None) == ends
    assert probing(probe_facts=4).reason(history) is None


def test_forgetting_has_a_limit():
    history = [{ANSWERED: 0, CONTROL_LOSS: loss} for loss in (3.0, 2.9, 3.2)]
    assert probing(forgetting_limit=0.25).reason(history) is None
    assert "risen by 0.20" in probing(forgetting_limit=0.15).reason(history)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"probe_facts": -1}, "--probe_facts must be at least 0, got -1"),
        ({"probe_steps": 0}, "--probe_steps must be at least 1, got 0"),
        ({"patience": 0, "stop_on": "extraction"}, "--patience must be at least 1, got 0"),
        ({"patience": 2}, "--patience has no effect"),
        ({"stop_on": "loss"}, "only extraction is known"),
        ({"forgetting_limit": 0.0}, "must be above 0"),
        ({"probe_facts": 0, "stop_on": "extraction"}, "--stop_on has no effect"),
        ({"probe_facts": 0, "probe_steps": 3}, "--probe_steps has no effect"),
    ],
)
def test_flags_without_effect_or_sense_are_refused(flags, told):
    with pytest.raises(ValueError, match=told):
        check_probes(ProbeArguments(**flags), True)


def test_any_flag_of_probes_asks_for_facts():
    assert [
        num_facts(ProbeArguments(**flags)) for flags in ({}, {"stop_on": "extraction"}, {"probe_facts": 5})
    ] == [0, 32, 5]
    with pytest.raises(ValueError, match="a new model has nothing to forget"):
        check_probes(ProbeArguments(forgetting_limit=0.1), False)


def test_documents_without_facts_are_refused_before_training(tiny, tmp_path):
    (tmp_path / "plain.txt").write_text("it rains and it rains.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="--probe_facts: no fact was found by rule"):
        tiny.pretrain(
            tmp_path / "run",
            "--corpus",
            "text",
            "--corpus_path",
            str(tmp_path / "plain.txt"),
            "--probe_facts",
            "2",
        )
