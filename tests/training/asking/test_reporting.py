"""scripts/report.py over the files that the other scripts leave."""

import json
import shutil

import pytest

from closedbook.evaluation.files import write_json_atomic
from closedbook.training.asking import reporting


@pytest.fixture(scope="module")
def run(tiny, pretrained, tmp_path_factory):
    """A fine-tuned folder with an evaluation, and the results folder it wrote to; tests only read them."""
    folder = tmp_path_factory.mktemp("report")
    tiny.finetune(
        folder / "tuned", pretrained, *tiny.people(), "--validation_share", "0.4", "--eval_strategy", "epoch"
    )
    tiny.evaluate(folder / "tuned", *tiny.people(), "--results", folder / "results")
    return folder


def call(*flags) -> None:
    reporting.main([str(flag) for flag in flags])


def test_a_run_becomes_a_page(run, tmp_path, capsys):
    call("--run", run / "tuned", "--html", tmp_path / "page.html", "--compare", run / "tuned")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    result = json.loads((run / "tuned" / "test" / "results.json").read_text(encoding="utf-8"))
    assert f"{result['correct']:,} of {result['n']:,}" in page
    assert "The difference is +0.0 points" in page
    assert page.count("data:image/svg+xml;base64,") >= 1
    assert "page.html" in capsys.readouterr().out


def test_predictions_are_held_against_the_question_file(run, tmp_path):
    rows = [json.loads(line) for line in (run / "tuned" / "test" / "predictions.jsonl").open(encoding="utf-8")]
    questions = tmp_path / "asked.tsv"
    questions.write_text("".join(f"{row['question']}\t{row['answers'][0]}\n" for row in rows), encoding="utf-8")
    flags = ["--run", run / "tuned", "--html", tmp_path / "page.html", "--questions", "cs224n"]
    call(*flags, "--question_file", questions)
    assert (tmp_path / "page.html").exists()
    other = tmp_path / "other.tsv"
    other.write_text("Where was Bo Ek born?\tOslo\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"predictions\.jsonl does not match .*other\.tsv.*prediction 1 .*Bo Ek"):
        call(*flags, "--question_file", other)


def test_recorded_runs_and_results_become_pictures(run, tmp_path):
    results = tmp_path / "results"
    for path in (run / "results").glob("*/*.json"):
        write_json_atomic(results / path.parent.name / path.name, json.loads(path.read_text(encoding="utf-8")))
    call("--results", results, "--record", run / "tuned", "--figures", tmp_path / "figures")
    curve = json.loads((results / "curves" / "tuned.json").read_text(encoding="utf-8"))
    assert curve["accuracy"] and curve["loss"]
    assert (tmp_path / "figures" / "learning-curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "accuracy-biographies-test.png").exists()
    assert "vanilla" in (tmp_path / "figures" / "results.md").read_text(encoding="utf-8")


def test_a_run_with_several_evaluations_is_recorded_like_any_other(run, tmp_path):
    folder = shutil.copytree(run / "tuned", tmp_path / "tuned")
    shutil.copytree(folder / "test", folder / "dev")
    call("--results", tmp_path / "results", "--record", folder)
    assert json.loads((tmp_path / "results" / "curves" / "tuned.json").read_text(encoding="utf-8"))["accuracy"]


def test_a_readme_is_filled_and_then_up_to_date(run, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- report:biographies -->\n<!-- /report -->\nend\n", encoding="utf-8")
    flags = ["--results", run / "results", "--readme", readme]
    with pytest.raises(ValueError, match=r"README\.md, line 2, is not what the results say"):
        call(*flags, "--check")
    call(*flags)
    assert "vanilla, two stages" in readme.read_text(encoding="utf-8")
    call(*flags, "--check")


def test_several_pages_are_filled_and_the_one_that_is_out_of_date_is_named(run, tmp_path):
    pages = [tmp_path / name for name in ("first.md", "second.md")]
    for page in pages:
        page.write_text("<!-- report:biographies -->\n<!-- /report -->\n", encoding="utf-8")
    flags = ["--results", run / "results", "--readme", *pages]
    call(*flags)
    call(*flags, "--check")
    assert all("vanilla, two stages" in page.read_text(encoding="utf-8") for page in pages)
    pages[1].write_text(pages[1].read_text(encoding="utf-8").replace("two stages", "one stage"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"second\.md, line .*, is not what the results say"):
        call(*flags, "--check")


def test_the_list_of_files_is_written_and_then_up_to_date(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.checkout)
    page = tmp_path / "tree.md"
    call("--tree", page)
    call("--tree", page, "--check")
    assert "reporting.py" in page.read_text(encoding="utf-8")
    page.write_text(page.read_text(encoding="utf-8") + "- one more\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tree\.md, line .*, is not what the files say: '- one more'"):
        call("--tree", page, "--check")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "nothing to do"),
        (["--run", "x"], "belong together"),
        (["--html", "x", "--readme", "y"], "belong together"),
        (["--figures", "x", "--check"], "--check is about --readme"),
        (["--readme", "x", "--compare", "y"], "are about --run"),
        (["--run", "nowhere", "--html", "x"], "not the folder of a run"),
    ],
)
def test_half_a_command_is_refused(flags, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        call(*flags)


def test_only_a_run_is_recorded(tmp_path):
    with pytest.raises(ValueError, match="--record .*: not the folder of a run"):
        reporting.main(["--record", str(tmp_path / "none"), "--results", str(tmp_path / "results")])
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("flag", ["--readme", "--tree", "--results_index"])
def test_a_folder_is_no_page(flag, tmp_path):
    with pytest.raises(ValueError, match="it is a folder"):
        call(flag, tmp_path)


def test_a_page_is_not_written_over_a_folder(run, tmp_path):
    with pytest.raises(ValueError, match=f"cannot write {tmp_path}: it is a folder"):
        call("--run", run / "tuned", "--html", tmp_path)
