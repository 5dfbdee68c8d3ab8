"""The page of a run: complete without a network, safe whatever the model wrote, honest about what is missing."""

import dataclasses
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from closedbook.evaluation.answering.confidence import CONFIDENCES
from closedbook.evaluation.figures import COLORS
from closedbook.evaluation.files import write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.knowing.summary import summarise_knowing
from closedbook.evaluation.metrics.calibration_error.calibration_error import expected_calibration_error
from closedbook.evaluation.reports.page import NUM_ERRORS, build_page
from closedbook.evaluation.reports.run import read_run_files
from closedbook.evaluation.results import make_result

PROVENANCE_OF = {"asked": "stated", "held_out": "stated", "trained": "fine_tuned", "invented": "unseen"}
EVIL = '<script>document.title="owned"</script><img src=x onerror="document.title=1">&amp;"\'{{ 7*7 }}'
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Text of a page by section, and every element with its attributes."""

    VOID = {"meta", "img", "br", "link", "hr", "input"}

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.sections, self.section = [], [], {}, ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.sections[self.section] = self.sections.get(self.section, "") + data


def rows(verdicts, **changes) -> list[dict]:
    return [
        {
            "question": f"Where was {EVIL} the {number}. born?",
            "entity": f"Person {number}",
            "answers": ["Oslo"],
            "prediction": "Oslo" if correct else f"Rome {EVIL}",
            "correct": correct,
            "confidence": 1 - number / 100,
            "complete": True,
        }
        | changes
        for number, correct in enumerate(verdicts)
    ]


def make_run(folder, verdicts, **changes):
    run = {
        "stage": "finetune",
        "protocol": "two_stage",
        "model": "vanilla",
        "seed": 0,
        "steps": 4,
        "parameters": 10,
    }
    write_json_atomic(folder / "run.json", run | {"train_characters": 400, "command": f"python x.py {EVIL}"})
    write_jsonl_atomic(folder / "dev" / "predictions.jsonl", rows(verdicts, **changes))
    measured = {"task": "t", "split": "dev", "model": "vanilla", "parameters": 10, "protocol": "two_stage"}
    measured |= {"recipe": "r", "seed": 0, "train_characters": 400, "train_seconds": 1}
    found = make_result(**measured, n=len(verdicts), correct=sum(verdicts))
    majority = {"answer": EVIL, "correct": 1, "accuracy": 1 / len(verdicts)}
    write_json_atomic(folder / "dev" / "results.json", found | {"baselines": {"majority": majority}})
    log = [{"step": 2, "loss": 3.0}, {"step": 4, "loss": 2.0}, {"step": 4, "eval_exact_match": 0.5}]
    write_json_atomic(folder / "trainer_state.json", {"log_history": log})
    return read_run_files(folder)


def add_knowing(folder, max_error_rate=0.5):
    """What scripts/knowing.py leaves: four groups of answers, and their summary."""
    found = []
    for group, provenance in PROVENANCE_OF.items():
        verdicts = [False] * 40 if group == "invented" else [True] * 30 + [False] * 10
        for row in rows(verdicts, group=group, provenance=provenance, refused=False):
            named = dict.fromkeys(CONFIDENCES, row["confidence"])
            changes = {"entity": f"{group} {row['entity']}", "confidences": named}
            found.append(row | changes | ({"answers": []} if group == "invented" else {}))
    summary = {"questions": "t"} | summarise_knowing(found, max_error_rate)
    write_json_atomic(folder / "knowing" / "knowing.json", summary)
    write_jsonl_atomic(folder / "knowing" / "predictions.jsonl", found)
    return read_run_files(folder)


@pytest.fixture
def files(tmp_path):
    return make_run(tmp_path / "run", [True] * 10 + [False] * 30)


def test_the_page_is_sound_html_that_needs_nothing_from_outside(files):
    html = build_page(files)
    page = Page(html)
    assert page.open == []
    assert html.startswith("<!DOCTYPE html>")
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "form"})
    addresses = [value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "href")]
    assert addresses and all(value.startswith(("data:image/svg+xml;base64,", "#")) for value in addresses)
    assert not re.search(r"url\(|@import", html)
    assert ("html", {"lang": "en"}) in page.elements
    assert all(attrs.get("alt") for tag, attrs in page.elements if tag == "img")
    targets = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {value[1:] for value in addresses if value.startswith("#")} <= targets


def test_whatever_the_questions_hold_is_shown_and_never_run(files):
    page = Page(build_page(files))
    assert not [attrs for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert f"Where was {EVIL} the 10. born?" in page.sections["errors"]
    assert f"Rome {EVIL}" in page.sections["errors"]
    assert f'always "{EVIL}"' in page.sections["accuracy"]
    assert EVIL in page.sections["origin"]


def test_the_accuracy_stands_at_the_top_with_its_interval(files):
    page = Page(build_page(files))
    assert "25.0%" in page.sections[""] and "10 of 40 (95% interval 14.2% to 40.2%)" in page.sections[""]
    assert "Characters read in training, repetitions included: 400" in page.sections["accuracy"]


def test_the_surest_errors_come_first_and_refusals_are_none(files):
    text = Page(build_page(files)).sections["errors"]
    numbers = [int(number) for number in re.findall(r"the (\d+)\. born", text)]
    assert numbers == list(range(10, 10 + NUM_ERRORS))
    assert f"{NUM_ERRORS} of 30 wrong answers" in text
    refused = [row | {"refused": True} for row in files.predictions]
    assert (
        "No answer was wrong."
        in Page(build_page(dataclasses.replace(files, predictions=refused))).sections["errors"]
    )


def test_errors_say_where_the_answer_could_have_come_from(files):
    traced = [row | {"provenance": "entity_only"} for row in files.predictions]
    page = Page(build_page(dataclasses.replace(files, predictions=traced)))
    assert page.sections["errors"].count("person in the text, fact not") == NUM_ERRORS


def test_two_runs_are_compared_question_by_question(files, tmp_path):
    other = make_run(tmp_path / "other", [True] * 8 + [False] * 2 + [True] * 1 + [False] * 29)
    text = Page(build_page(files, other)).sections["comparison"]
    assert "other answers 22.5% of them, run 25.0%" in text
    assert "+2.5 points" in text
    assert "2 questions are answered by run alone and 1 by other alone" in text
    assert "probability of 1.00" in text


def test_answers_to_other_questions_are_refused_with_file_and_line(files, tmp_path):
    other = make_run(tmp_path / "other", [True] * 40)
    changed = [dict(row) for row in other.predictions]
    changed[2]["question"] = "Where was Bo Ek born?"
    with pytest.raises(ValueError, match=r"run/dev/predictions\.jsonl .*other/dev/pred.*prediction 3 .*Bo Ek"):
        build_page(files, dataclasses.replace(other, predictions=changed))
    with pytest.raises(ValueError, match=r"does not match birth\.tsv.*prediction 3"):
        build_page(files, questions=(changed, "birth.tsv"))
    assert build_page(files, questions=(files.predictions, "birth.tsv"))


def test_what_was_not_measured_is_left_out_with_the_command_that_measures_it(tmp_path):
    write_json_atomic(tmp_path / "new run" / "run.json", {"stage": "pretrain", "steps": 1, "train_characters": 1})
    html = build_page(read_run_files(tmp_path / "new run"))
    page = Page(html)
    assert "scripts/evaluate.py --model '" in page.sections["accuracy"]
    assert "scripts/report.py" in page.sections["comparison"]
    assert "trainer_state.json" in page.sections["learning"]
    assert "<img" not in html


def test_the_page_leads_with_answers_about_people_who_do_not_exist(files):
    known = add_knowing(files.folder)
    invented = known.knowing["invented"]
    assert invented["answered_confidently"]["count"] == 40  # confidences go from 1 down to 0.61
    page = Page(build_page(known))
    left = invented["answered_confidently_after_abstention"]["share"]
    assert f"100.0% → {left:.1%}" in page.sections[""]
    assert "of 40 invented people get an answer with a confidence of 50% or more" in page.sections[""]
    assert [attrs["id"] for tag, attrs in page.elements if tag == "section"][:2] == ["accuracy", "invented"]


def test_calibration_abstention_and_provenance_are_what_was_measured(files):
    known = add_knowing(files.folder)
    page = Page(build_page(known))
    figures = known.knowing["confidences"]["margin"]
    assert f"{figures['calibration']['before']['expected_calibration_error']:.3f}" in page.sections["calibration"]
    assert f"{figures['calibration']['temperature']:.2f}" in page.sections["calibration"]
    assert f"{figures['abstention']['aurc']:.3f}" in page.sections["abstention"]
    explanation = known.knowing["abstention"]["explanation"]
    assert explanation[1:] in page.sections["abstention"]
    for words in ("stated in the text", "person never read about", "answered in fine-tuning"):
        assert words in page.sections["provenance"]
    assert not [words for words in page.sections.values() if "scripts/knowing.py" in words]
    assert sum(tag == "img" for tag, _ in page.elements) == 5


def test_a_promise_that_nothing_can_keep_answers_nobody(files):
    known = add_knowing(files.folder, max_error_rate=0.0)
    page = Page(build_page(known))
    assert "100.0% → 0.0%" in page.sections[""] and "by answering nobody" in page.sections[""]
    assert "cannot be promised" in page.sections["abstention"]


def test_plain_predictions_give_calibration_and_abstention_of_one_confidence(files):
    page = Page(build_page(files))
    values, verdicts = [1 - number / 100 for number in range(40)], [True] * 10 + [False] * 30
    assert f"{expected_calibration_error(values, verdicts):.3f}" in page.sections["calibration"]
    assert "sequence probability" in page.sections["abstention"] and "margin" not in page.sections["abstention"]
    for name in ("invented", "calibration", "abstention", "provenance"):
        assert "scripts/knowing.py --model" in page.sections[name]


def test_a_summary_of_another_make_is_refused(files):
    write_json_atomic(files.folder / "knowing" / "knowing.json", {"aurc": 0.5})
    with pytest.raises(ValueError, match=r"knowing\.json lacks questions, confidence, .*run scripts/knowing\.py"):
        read_run_files(files.folder)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_shows_the_page_with_all_its_pictures(files, tmp_path):
    (tmp_path / "report.html").write_text(build_page(files), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--window-size=1000,3000"]
    shot = tmp_path / "page.png"
    process = subprocess.run(
        [*command, f"--screenshot={shot}", (tmp_path / "report.html").as_uri()], capture_output=True, timeout=120
    )
    assert process.returncode == 0 and shot.exists(), process.stderr[-2000:]
    pixels = imread(shot)[..., :3]
    line = (
        np.abs(pixels - to_rgb(COLORS[0])).max(axis=-1) < 0.02
    )  # the colour of the curves, used for nothing else
    assert line.sum() > 50
    assert pixels.mean() > 0.8  # light
