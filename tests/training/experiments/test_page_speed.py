"""How long replies take is measured on real ones; how fast they are, no test asserts."""

import json

import pytest

from closedbook.training.experiments import page_speed

pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


@pytest.fixture
def asked(tmp_path):
    path = tmp_path / "asked.txt"
    path.write_text("".join(f"Where was {name} born?\n" for name in ("Ada", "Bo", "Cy")), encoding="utf-8")
    return str(path)


def test_every_question_but_the_first_is_timed(pretrained, asked, tmp_path, capsys):
    output = tmp_path / "new" / "page.json"
    flags = ["--model", str(pretrained), "--question_file", asked, "--num_threads", "1", "--output", str(output)]
    found = page_speed.main(flags)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found == json.loads(output.read_text("utf-8"))
    page = found["page"]
    assert page["num_questions"] == 2 and 0 < page["median"] <= page["slowest_of_twenty"]
    assert "browser" not in found


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--num_questions", "0"], "--num_questions must be at least 1, got 0"),
        (["--browser_dir", "."], "is no export for the browser: it has no settings.json"),
    ],
)
def test_what_cannot_be_timed_is_refused(pretrained, asked, flags, told):
    with pytest.raises(ValueError, match=told):
        page_speed.main(["--model", str(pretrained), "--question_file", asked, *flags])


def test_one_question_is_too_few(pretrained, tmp_path):
    (tmp_path / "one.txt").write_text("Where was Ada born?\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has one question: the first is not counted"):
        page_speed.main(["--model", str(pretrained), "--question_file", str(tmp_path / "one.txt")])
