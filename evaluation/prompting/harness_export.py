"""In-context question answering as a task of lm-evaluation-harness: the same prompts and verdicts.

The harness (`pip install closedbook[harness]`; Gao et al. 2024) asks models of many more kinds by one command. Its
own sampler draws demonstrations at random; a task exported from here shows those of `select_demonstrations`.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from closedbook.evaluation.files import write_jsonl_atomic, write_text_atomic
from closedbook.evaluation.metrics.answer_match import normalisation
from closedbook.evaluation.prompting.demonstrations import select_demonstrations
from closedbook.evaluation.prompting.embedders import Embedder
from closedbook.evaluation.prompting.incontext import PromptFormat

CODE = "task.py"


class _Function(str):
    """The name of a function or class in the task's folder, as the harness reads it from YAML."""


class _Dumper(yaml.SafeDumper):
    pass


def _write_function(dumper: yaml.Dumper, name: _Function) -> yaml.Node:
    return dumper.represent_scalar("!function", str(name))


def _write_text(dumper: yaml.Dumper, text: str) -> yaml.Node:
    # Line breaks as \n: what YAML writes by itself is hard to read, and the delimiters are line breaks.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_Dumper.add_representer(_Function, _write_function)
_Dumper.add_representer(str, _write_text)


def export_harness_task(
    folder: str | Path,
    task_name: str,
    pool: Dataset,
    asked: Dataset,
    num_shots: int,
    *,
    selection: str,
    order: str = "near_last",
    seed: int = 0,
    order_seed: int = 0,
    embedder: Embedder | None = None,
    prompt_format: PromptFormat | None = None,
    max_new_tokens: int = 16,
    about: dict[str, Any] | None = None,
) -> Path:
    """Write a folder that `lm_eval --include_path FOLDER --tasks NAME` can run, here or anywhere else.

    It holds `<task_name>.yaml`, `task.py` (the sampler and the score), `normalisation.py` (of answers),
    `questions.jsonl` (with the rows of the demonstrations of each) and `pool.jsonl`. Nothing in it depends on
    where it lies, or on this package. Demonstrations are stored for every number up to `num_shots`, so that
    `--num_fewshot` may also be smaller.

    What the harness does by itself: it cuts a prompt that is too long at its beginning, in the middle of a
    demonstration, where `build_prompts` drops whole ones.

    Args:
        folder: Where to write; made if it is not there.
        task_name: How the harness calls the task: letters, digits, `_`, `-` and `.`.
        pool: Where demonstrations come from: columns `question` and `answers`.
        asked: What is asked: the same columns.
        num_shots: Demonstrations of a question, at most and by default.
        selection: As for `select_demonstrations`, like `order`, `seed`, `order_seed` and `embedder`.
        prompt_format: How prompts are written; by default as the exercise writes them.
        max_new_tokens: Longest answer in tokens.
        about: What else the task's metadata shall say, such as the name of the encoder.

    Returns:
        The path of the YAML file.

    Raises:
        ValueError: For a name that the harness cannot take, a folder with another task in it, a question without
            an accepted answer, a template that cannot be said in the harness's terms, or as
            `select_demonstrations` says. Nothing is written then.
    """
    folder, prompt_format = Path(folder), prompt_format or PromptFormat()
    choice = {"selection": selection, "order": order, "seed": seed, "order_seed": order_seed}
    config = _config(task_name, num_shots, prompt_format, max_new_tokens, choice | (about or {}))
    others = sorted(path.name for path in folder.glob("*.yaml") if path.stem != task_name)
    if others:
        raise ValueError(
            f"{folder} holds another task, {others[0]}, which would lose its files: give another folder"
        )
    if not len(asked):
        raise ValueError("there are no questions to ask: give a file with some")
    questions, answers = asked["question"][:], asked["answers"][:]
    for row, accepted in enumerate(answers):
        if not accepted:
            raise ValueError(f"question {row} has no accepted answer, so it cannot be scored: {questions[row]!r}")
    if num_shots < 0:
        raise ValueError(f"num_shots is {num_shots}: ask for 0 demonstrations or more")
    by_number = [  # the largest number first: if the pool is too small, that is known at once
        select_demonstrations(pool, questions, number, **choice, embedder=embedder)
        for number in range(num_shots, 0, -1)
    ]
    rows = [
        {"question": question, "answers": accepted, "demonstrations": [chosen[row] for chosen in by_number[::-1]]}
        for row, (question, accepted) in enumerate(zip(questions, answers, strict=True))
    ]
    write_jsonl_atomic(folder / "questions.jsonl", rows)
    write_jsonl_atomic(folder / "pool.jsonl", pool.select_columns(["question", "answers"]))
    for name, source in (
        (CODE, Path(__file__).with_name("harness_task.py")),
        ("normalisation.py", normalisation.__file__),
    ):
        write_text_atomic(folder / name, Path(source).read_text(encoding="utf-8"))
    path = folder / f"{task_name}.yaml"
    head = f"# lm_eval --include_path FOLDER_OF_THIS_FILE --tasks {task_name} --num_fewshot {num_shots} ...\n"
    write_text_atomic(path, head + yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    return path


def _config(
    task_name: str, num_shots: int, prompt_format: PromptFormat, max_new_tokens: int, about: dict[str, Any]
) -> dict[str, Any]:
    if not re.fullmatch(r"[\w.-]+", task_name):
        raise ValueError(f"task name {task_name!r}: use letters, digits, '_', '-' and '.' only")
    before, _, after = prompt_format.template.partition("{answer}")
    delimiter = before[len(before.rstrip()) :]
    query = before.rstrip().replace("{question}", "")
    if re.search(r"\{[{%#]|\r", query):
        raise ValueError(
            f"template {prompt_format.template!r} holds what the harness reads as a command: leave out {{{{"
        )
    return {
        "task": task_name,
        "custom_dataset": _Function("task.load_questions"),
        "test_split": "test",
        "fewshot_split": "test",  # else the sampler is not told which question is asked
        "fewshot_config": {"sampler": _Function("task.ExportedSampler")},
        "num_fewshot": num_shots,
        "output_type": "generate_until",
        "doc_to_text": prompt_format.query("{{question}}"),
        "doc_to_target": "answers",  # of which the harness shows the first
        "target_delimiter": delimiter,
        "fewshot_delimiter": after + prompt_format.separator,
        "generation_kwargs": {"until": [prompt_format.end], "do_sample": False, "max_gen_toks": max_new_tokens},
        "process_results": _Function("task.process_results"),
        "metric_list": [{"metric": "answer_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0, **about},
    }
