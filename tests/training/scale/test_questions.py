"""What questions take is measured in processes of their own; how much that is, no test asserts."""

import pytest

from closedbook.data.questions import load_question_file
from closedbook.training.scale.questions import main, write_questions


def test_questions_are_read_and_checked_by_this_build_and_by_another(tiny, capsys):
    found = main(["--num_questions", "50", "--rounds", "1", "--former", str(tiny.checkout)])
    units = [
        f"{build}questions_{unit}" for build in ("", "former_") for unit in ("seconds", "cpu_seconds", "peak_mib")
    ]
    assert all(found[name] > 0 for name in (*units, "questions_speedup"))
    assert found["num_questions"] == 50


def test_the_questions_are_the_same_and_each_is_another_one(tmp_path):
    for name in ("one", "two"):
        write_questions(tmp_path / name, 200)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len(set(load_question_file(tmp_path / "one")["question"])) == 200


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num_questions", "0"], "--num_questions must be at least 1"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--former", "nowhere"], "--former nowhere is no checkout"),
    ],
)
def test_what_cannot_be_measured_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        main(flags)
