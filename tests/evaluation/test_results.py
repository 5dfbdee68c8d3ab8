"""Result files: a result is complete, true to itself, and at the place that its name says."""

import pytest

from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.results import (
    FORMAT,
    PROTOCOLS,
    check_result,
    load_results,
    make_result,
    result_path,
    where_it_is,
)
from closedbook.evaluation.statistics.intervals import wilson_interval

MEASURED = {
    "task": "cs224n",
    "split": "dev",
    "model": "vanilla",
    "parameters": 3_323_392,
    "protocol": "two_stage",
    "recipe": "reference",
    "seed": 3,
    "n": 500,
    "correct": 100,
    "train_characters": 1000,
    "train_seconds": 12.5,
}


def test_a_result_holds_what_was_measured_and_what_follows_from_it(tmp_path):
    result = make_result(**MEASURED)
    assert MEASURED.items() <= result.items()
    assert result["accuracy"] == 0.2
    assert result["interval"] == list(wilson_interval(100, 500))
    assert {"versions", "hardware", "command", "commit"} <= result.keys()
    path = result_path(tmp_path, "cs224n", "vanilla", "two_stage", 3)
    assert path == tmp_path / "cs224n" / "vanilla-two_stage-seed3.json"
    write_json_atomic(path, result)
    assert load_results(tmp_path) == [result]


@pytest.mark.parametrize("field", sorted(set(make_result(**MEASURED)) - {"format"}))
def test_every_field_is_required(field):
    result = make_result(**MEASURED)
    del result[field]
    with pytest.raises(ValueError, match=f"this file lacks the fields {field};"):
        check_result(result, "this file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "one_stage"}, "one_stage.*majority, no_pretraining, two_stage, mixed"),
        ({"n": 0}, "contradicts itself"),
        ({"correct": 501}, "contradicts itself"),
        ({"accuracy": 0.3}, "contradicts itself"),
        ({"seed": "3"}, "unusable value for seed: '3'"),
        ({"seed": True}, "unusable value for seed"),
        ({"parameters": -1}, "negative parameters"),
        ({"interval": [0.1]}, "not .low, high."),
    ],
)
def test_results_that_cannot_be_true_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_result(make_result(**MEASURED) | change, "this file")


def test_impossible_counts_are_refused_before_a_result_is_made():
    with pytest.raises(ValueError, match="correct must be"):
        make_result(**MEASURED | {"correct": 501})


def test_an_unreadable_result_is_named(tmp_path):
    (tmp_path / "cs224n").mkdir()
    bad = tmp_path / "cs224n" / "bad-seed0.json"
    bad.write_text("{")
    with pytest.raises(ValueError, match=r"bad-seed0\.json, line 1 is not JSON"):
        load_results(tmp_path)
    bad.write_text('{"task": "cs224n"}')
    with pytest.raises(ValueError, match=r"bad-seed0\.json lacks the fields split, model"):
        load_results(tmp_path)
    bad.write_text("[]")
    with pytest.raises(ValueError, match=r"bad-seed0\.json, line 1 has to be a JSON object"):
        load_results(tmp_path)


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no results in"):
        load_results(tmp_path)


def test_every_protocol_makes_its_own_path_and_names_cannot_leave_the_folder(tmp_path):
    paths = {result_path(tmp_path, "t", "m", protocol, 0) for protocol in PROTOCOLS}
    assert len(paths) == len(PROTOCOLS)
    for task, model, protocol in (("../t", "m", "mixed"), ("t", "a/b", "mixed"), ("t", "m", "other")):
        with pytest.raises(ValueError, match=r"file name|unknown protocol"):
            result_path(tmp_path, task, model, protocol, 0)


def test_a_result_without_a_number_is_of_the_first_format_and_one_of_a_later_format_is_refused():
    result = make_result(**MEASURED)
    assert result.pop("format") == FORMAT
    check_result(result, "an old one")
    with pytest.raises(ValueError, match=f"new.json is a result of format {FORMAT + 1}"):
        check_result(result | {"format": FORMAT + 1}, "new.json")


def test_a_file_of_the_former_layout_is_gone_on_from_and_said_so(tmp_path, capsys):
    path = tmp_path / "probes" / "copy.json"
    assert where_it_is(path) == path and capsys.readouterr().err == ""
    former = tmp_path / "probe-copy.json"
    former.write_text("{}", encoding="utf-8")
    assert where_it_is(path) == former and f"going on from {former}" in capsys.readouterr().err
    assert where_it_is(tmp_path / "curves" / "copy.json") == tmp_path / "curves" / "copy.json"
    path.parent.mkdir()
    path.write_text("{}", encoding="utf-8")
    assert where_it_is(path) == path and capsys.readouterr().err == ""


def test_files_of_other_subjects_beside_results_are_none(tmp_path):
    result = make_result(**MEASURED)
    write_json_atomic(result_path(tmp_path, "cs224n", "vanilla", "two_stage", 3), result)
    write_json_atomic(tmp_path / "probes" / "copy.json", {"runs": []})
    assert load_results(tmp_path) == [result]
