"""The command that exports a task: its flags choose what `evaluate_incontext.py` would ask and show."""

import json
from pathlib import Path

import pytest
import yaml

from closedbook.data.questions import load_question_file
from closedbook.evaluation.prompting.demonstrations import select_demonstrations
from closedbook.training.asking.harness import main


@pytest.fixture
def question_file(tmp_path) -> Path:
    path = tmp_path / "questions.jsonl"
    rows = [
        {"question": f"Who won race {n} of {n % 5}?", "answer": f"Ada {n}", "aliases": ["A."]} for n in range(20)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(*words) -> Path:
    return main([str(word) for word in words])


def test_the_first_questions_are_asked_and_the_rest_is_shown(question_file, tmp_path, capsys):
    output = tmp_path / "exported"
    path = run(
        *("--question_file", question_file, "--num_questions", 6, "--num_shots", 3, "--selection", "nearest"),
        *("--order", "near_first", "--task_name", "races", "--output_dir", output),
    )
    assert path == output / "races.yaml"
    assert "6 questions, up to 3 demonstrations each out of 14" in capsys.readouterr().out
    rows = load_question_file(question_file)
    asked, pool = rows.select(range(6)), rows.select(range(6, 20))
    expected = select_demonstrations(pool, asked["question"][:], 3, selection="nearest", order="near_first")
    exported = read_lines(output / "questions.jsonl")
    assert [row["demonstrations"][-1] for row in exported] == expected
    assert [row["question"] for row in exported] == asked["question"][:]
    assert [row["answers"] for row in exported] == asked["answers"][:]
    assert [row["question"] for row in read_lines(output / "pool.jsonl")] == pool["question"][:]


def test_a_pool_of_its_own_may_hold_the_questions_themselves(question_file, tmp_path):
    output = tmp_path / "exported"
    run(
        *("--question_file", question_file, "--pool_file", question_file, "--num_shots", 19, "--seed", 2),
        *("--task_name", "races", "--output_dir", output),
    )
    for row, exported in enumerate(read_lines(output / "questions.jsonl")):
        assert sorted(exported["demonstrations"][-1]) == [other for other in range(20) if other != row]


def test_the_format_of_prompts_comes_from_flags_with_line_breaks_as_one_types_them(question_file, tmp_path):
    path = run(
        *("--question_file", question_file, "--num_questions", 3, "--num_shots", 1, "--task_name", "races"),
        *("--template", r"Q: {question}\nA: {answer}", "--separator", r"\n---\n", "--end", ";"),
        *("--max_new_tokens", 5, "--output_dir", tmp_path / "exported"),
    )
    task = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert (task["doc_to_text"], task["target_delimiter"]) == ("Q: {{question}}\nA:", " ")
    assert (task["fewshot_delimiter"], task["generation_kwargs"]["until"]) == ("\n---\n", [";"])
    assert (task["num_fewshot"], task["generation_kwargs"]["max_gen_toks"]) == ("1", "5")


def test_mistakes_are_refused_before_anything_is_written(question_file, tmp_path):
    flags = ["--question_file", question_file, "--task_name", "races", "--output_dir", tmp_path / "exported"]
    with pytest.raises(ValueError, match="--max_new_tokens must be at least 1, got 0"):
        run(*flags, "--max_new_tokens", 0)
    with pytest.raises(ValueError, match="--num_questions must be at least 1, got 0"):
        run(*flags, "--num_questions", 0)
    with pytest.raises(ValueError, match="selection 'closest' is unknown"):
        run(*flags, "--num_questions", 5, "--selection", "closest")
    with pytest.raises(ValueError, match="8 demonstrations were asked for, but the pool of 2 rows has 2"):
        run(*flags, "--num_questions", 18)
    with pytest.raises(FileNotFoundError, match="is no encoder"):
        run(*flags, "--num_questions", 5, "--encoder", tmp_path / "nothing")
    assert not (tmp_path / "exported").exists()
