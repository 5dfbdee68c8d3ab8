"""The model card: what the Hub's library reads in it, whose it is, and that what it promises works."""

import re
import shutil
from dataclasses import replace

import pytest
import warm
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.reports.card.text import cell, fenced, public, public_command
from closedbook.evaluation.results import make_result
from closedbook.evaluation.run_record import Run, Stage, read_run, write_run
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.training import model_card, pretraining
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.model_card import is_unchanged, record_evaluation, record_run, write_card

TITLE = "a|b `c` <i>*x* {{ 7*7 }} \"q\" 'r' $y$ --- #1 Ω"


@pytest.fixture(scope="module")
def run(tiny, pretrained):
    """A fine-tuned folder; tests only read it."""
    folder = pretrained.parent / "carded"
    tiny.finetune(folder, pretrained, *tiny.people(), "--license", "cc-by-4.0")
    return folder


@pytest.fixture
def folder(run, tmp_path):
    """A copy of the fine-tuned folder, to change."""
    return shutil.copytree(run, tmp_path / "model")


def result(task="births", split="dev", n=40, correct=11) -> dict:
    return make_result(
        task=task,
        split=split,
        model="vanilla",
        parameters=1,
        protocol="two_stage",
        recipe="flags",
        seed=3,
        n=n,
        correct=correct,
        train_characters=1,
        train_seconds=1,
    )


def read(folder) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


def rows(card: str) -> list[list[str]]:
    """The rows of the table of results, split at the pipes that are not escaped."""
    lines = card.split("## Results")[1].split("\n## ")[0].splitlines()
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line[:1] == "|"][2:]


def test_a_run_leaves_a_card_that_the_hubs_library_reads(pretrained, run):
    card = ModelCard.load(run / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-generation")
    assert card.data.tags == ["closedbook", "vanilla_gpt"]
    assert (card.data.license, card.data.language) == ("cc-by-4.0", "en")
    assert card.data.eval_results is None
    assert "Not evaluated yet" in card.text
    assert f"{read_run(run).last.parameters:,} parameters" in card.text
    assert is_unchanged(read(run))  # in other words, the library's trainer wrote none of its own over it
    assert ModelCard.load(pretrained / "README.md").data.license is None


def test_a_card_tells_data_conditions_and_commands_of_both_stages(pretrained, run):
    text = read(run)
    for facts in (read_run(pretrained).last, read_run(run).last):
        assert f"{facts.train_characters:,}" in text
        assert cell(facts.commit or "") in text
    assert "documents: 40; " in text  # one sentence in two wordings about twenty people
    assert "training questions: 12; " in text
    assert "started from pretrained" in text
    assert "torch 2." in text
    assert len(blocks(text, "bash")) == 2


def test_the_recipe_on_a_card_is_a_recipe(pretrained, parse, tmp_path):
    (block,) = blocks(read(pretrained), "yaml")
    (tmp_path / "recipe.yaml").write_text(block, encoding="utf-8")
    flags = ["--recipe", str(tmp_path / "recipe.yaml"), "--output_dir", str(tmp_path / "out")]
    *parsed, _ = parse(pretraining.ARGUMENTS, flags)
    values = {name: value for arguments in parsed for name, value in vars(arguments).items()}
    for name, value in yaml.safe_load(block).items():
        assert values[name] == value
    assert (values["hidden_size"], values["max_steps"], values["seed"]) == (16, 8, 3)


def test_the_snippets_run_where_the_package_is_absent(pretrained, run, tiny, tmp_path):
    program = "import sys\nsys.modules['closedbook'] = None\n"  # any import of the package now fails
    for number, stage in enumerate((pretrained, run)):
        folder = shutil.copytree(stage, tmp_path / f"{number} {TITLE}")
        write_card(folder)  # with the new name
        (snippet,) = blocks(read(folder), "python")
        program += snippet + "print('answered')\n"
    modules = tiny.environment(HF_MODULES_CACHE=str(tmp_path / "modules"))
    process = warm.run(["-c", program], cwd=tmp_path, env=modules)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.count("answered") == 2


def test_the_snippet_runs_without_remote_code_where_the_package_is_imported(run, monkeypatch, capsys):
    (snippet,) = blocks(read(run), "python")
    monkeypatch.chdir(run.parent)
    exec(snippet.replace(", trust_remote_code=True", ""), {})
    assert capsys.readouterr().out.strip()


def test_an_evaluation_enters_the_table_and_the_metadata(tiny, folder):
    scored = tiny.evaluate(folder, *tiny.people(), "--split", "test")
    card = ModelCard.load(folder / "README.md")
    (entry,) = card.data.eval_results
    assert (entry.dataset_name, entry.dataset_split, entry.metric_type) == ("biographies", "test", "exact_match")
    assert entry.metric_value == scored["accuracy"]
    assert entry.metric_args["num_questions"] == scored["n"]
    low, high = wilson_interval(scored["correct"], scored["n"])
    assert entry.metric_args["wilson_interval_95"] == [low, high]
    ((*names, seed, right, asked, accuracy, interval, confidence, majority),) = rows(read(folder))
    assert names == ["biographies", "test", "two stage"]
    assert (seed, right, asked) == ("3", str(scored["correct"]), str(scored["n"]))
    assert (accuracy, interval) == (f"{scored['accuracy']:.1%}", f"{low:.1%} to {high:.1%}")
    assert confidence == f"{scored['mean_confidence']:.1%}"
    assert majority.startswith(f"{scored['baselines']['majority']['accuracy']:.1%}")
    assert is_unchanged(read(folder))


def test_a_model_that_was_only_pretrained_is_not_told_of_as_fine_tuned(pretrained, tmp_path):
    folder = shutil.copytree(pretrained, tmp_path / "model")
    record_evaluation(folder, result())
    assert [row[2] for row in rows(read(folder))] == ["pretrain"]
    assert ModelCard.load(folder / "README.md").data.eval_results[0].metric_args["protocol"] == "pretrain"


def test_another_evaluation_is_added_and_the_same_one_replaced(folder):
    record_evaluation(folder, result(split="dev", correct=11))
    record_evaluation(folder, result(split="test", correct=5))
    record_evaluation(folder, result(split="dev", correct=12))
    assert [(row[1], row[4]) for row in rows(read(folder))] == [("dev", "12"), ("test", "5")]
    entries = ModelCard.load(folder / "README.md").data.eval_results
    assert [entry.metric_value for entry in entries] == [12 / 40, 5 / 40]


def test_new_weights_forget_the_evaluations_of_the_old(folder):
    record_evaluation(folder, result())
    record_run(folder, read_run(folder))
    assert "Not evaluated yet" in read(folder)
    assert not (folder / "evaluations.json").exists()


@pytest.mark.parametrize("change", [lambda text: text + "\nMine.\n", lambda text: text.replace("Hub", "hub"), ""])
def test_a_card_that_a_person_changed_or_wrote_is_left_alone(folder, caplog, change):
    text = change(read(folder)) if change else "# Mine\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    record_evaluation(folder, result())
    record_run(folder, read_run(folder))
    assert read(folder) == text
    assert caplog.text.count("left alone") == 2


def test_an_evaluation_is_recorded_while_the_card_is_a_persons_and_told_once_it_is_moved_away(folder):
    (folder / "README.md").write_text("# Mine\n", encoding="utf-8")
    record_evaluation(folder, result(split="dev"))
    (folder / "README.md").unlink()
    record_evaluation(folder, result(split="test"))
    assert [row[1] for row in rows(read(folder))] == ["dev", "test"]


def test_line_ends_of_another_system_do_not_make_a_card_a_persons(folder):
    (folder / "README.md").write_bytes(read(folder).replace("\n", "\r\n").encode())
    record_evaluation(folder, result())
    assert len(rows(read(folder))) == 1


def test_the_card_survives_saving_the_model_again_and_the_hubs_library(folder):
    text = read(folder)
    model, tokenizer = load_model_folder(folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert read(folder) == text
    ModelCard.load(folder / "README.md").save(folder / "README.md")  # as pushing a model to its repository does
    assert is_unchanged(read(folder))


@pytest.mark.parametrize("content", ["{", "[1]", '{"task": "x"}', "[{}]"])
def test_a_damaged_record_costs_a_warning_and_not_the_evaluation(tiny, folder, caplog, content):
    (folder / "evaluations.json").write_text(content, encoding="utf-8")
    before = read(folder)
    record_evaluation(folder, result())
    assert "evaluations.json is damaged: remove it" in caplog.text
    assert read(folder) == before


def test_a_folder_that_cannot_be_written_to_costs_a_warning_and_not_the_evaluation(
    tiny, folder, tmp_path, caplog, monkeypatch
):
    def refuse(*arguments):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(model_card, "write_json_atomic", refuse)
    scored = tiny.evaluate(folder, *tiny.people(), "--output_dir", tmp_path / "out")
    assert scored["n"] > 0
    assert "read-only file system" in caplog.text


def test_a_model_without_a_run_file_gets_no_card(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (folder / "run.json").unlink()
    (folder / "README.md").unlink()
    record_evaluation(folder, result())
    record_evaluation("somebody/small-gpt", result())
    assert not (folder / "README.md").exists()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_odd_names_stay_text(folder):
    odd = folder.rename(folder.parent / TITLE)
    record_evaluation(odd, result(task="x|y\n---\n# z", split="`d`"))
    text = read(odd)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert "{{ 7\\*7 }}" in text  # nothing that a user names is a template
    ((task, split, *others),) = rows(text)
    assert (task, split, len(others)) == (r"x\|y --- \# z", r"\`d\`", 8)
    card = ModelCard.load(odd / "README.md")
    assert card.data.model_name == TITLE
    (entry,) = card.data.eval_results
    assert entry.dataset_name == "x|y\n---\n# z"
    assert re.fullmatch(r"[\w.-]+", entry.dataset_type)
    assert is_unchanged(text)


def test_no_path_of_the_machine_and_no_token_is_published(pretrained, run, folder):
    command = (
        "python /home/ann/closedbook/scripts/finetune.py --hub_token hf_abc --model_token=hf_def --model ../m/x "
        "--train_questions='/data/my people/q.tsv'"
    )
    record_run(folder, read_run(folder).with_last(recipe="/home/ann/r.yaml"))
    write_run(folder, read_run(folder).with_last(command=command))
    write_card(folder)
    text = read(folder)
    assert blocks(text, "bash")[-1].split(" \\\n    ") == [
        "python scripts/finetune.py",
        "--hub_token ...",
        "--model_token=...",
        "--model x",
        "--train_questions=q.tsv\n",
    ]
    assert "r.yaml" in text
    for private in ("hf_", "/home", "/data", str(pretrained.parent), str(folder.parent)):
        assert private not in text


def test_names_on_the_hub_stay_whole_and_enter_the_metadata(folder):
    first, second = read_run(folder).stages
    read = first.arguments | {"corpus": "hub", "corpus_path": "org/people"}
    first = replace(first, corpus="hub", dataset="org/people", arguments=read)
    arguments = second.arguments | {"model": "org/small-gpt"}
    record_run(folder, Run((first, replace(second, base_model="org/small-gpt", arguments=arguments))))
    card = ModelCard.load(folder / "README.md")
    assert (card.data.base_model, card.data.datasets) == ("org/small-gpt", ["org/people"])
    assert card.data.language is None  # what a data set on the Hub is written in is not known here
    assert "corpus_path: org/people" in card.text
    assert "model: org/small-gpt" in card.text


def test_a_run_that_recorded_little_still_has_a_card(folder):
    record_run(folder, Run((Stage(stage="converted", model="vanilla", checkpoint="a*b.params"),)))
    text = read(folder)
    assert "converted from a checkpoint of another program" in text
    assert r"checkpoint a\*b.params" in text
    assert "no arguments were recorded" in text
    assert "None" not in text


@given(st.text())
def test_a_cell_is_one_line_whose_pipes_and_tags_are_escaped(text):
    shown = cell(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<`]", shown)
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())


@given(st.text(alphabet="`a\n~ "))
def test_a_fence_is_closed_by_its_own_end_alone(text):
    first, *inner, last = fenced(text, "yaml").split("\n")
    fence = first.removesuffix("yaml")
    assert last == fence
    assert not any(fence in line for line in inner)


@given(st.lists(st.text(alphabet="ab1_.-", min_size=1), min_size=1, max_size=5))
def test_of_a_path_only_the_last_part_is_published(parts):
    for path in ("/".join(parts), "/" + "/".join(parts) + "/", "C:\\" + "\\".join(parts)):
        assert public(path, set()) == parts[-1]
        assert public([path], {path}) == [path]
    assert public_command("x --out=" + "/".join(parts), set()).endswith(parts[-1])
