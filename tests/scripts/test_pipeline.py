"""Pretrain, fine-tune, evaluate: what each stage leaves behind, and what it may not look at."""

import json
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from closedbook.evaluation.metrics.exact_match.exact_match import is_match
from closedbook.evaluation.results import check_result
from closedbook.evaluation.run_record import read_run
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.question_sets import ask_about_people

MODEL_FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "run.json"}
CODE_FILES = {"modeling_gpt.py", "configuration_gpt.py", "tokenization_char.py"}


@pytest.fixture(scope="session")
def finetuned(tiny, pretrained):
    """Fine-tuned long enough to know something of the twelve people it trains on."""
    folder = pretrained.parent / "finetuned"
    tiny.finetune(folder, pretrained, *tiny.people(), "--max_steps", "60", "--learning_rate", "0.02")
    return folder


@pytest.fixture
def file_model(tiny, files, tmp_path):
    """A model that knows the characters of `files`."""
    folder = tmp_path / "file_model"
    tiny.pretrain(folder, "--corpus", "wiki", "--corpus_path", files["wiki"], "--max_steps", "1")
    return folder


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_leaves_a_model_folder_with_its_code_its_record_and_its_log(pretrained, finetuned):
    for folder in (pretrained, finetuned):
        names = {path.name for path in folder.iterdir()}
        assert names >= MODEL_FILES | CODE_FILES | {"trainer_state.json", "logs"}
        assert not [name for name in names if name.startswith(".")]
        assert list((folder / "logs").rglob("events.out.tfevents.*"))


def test_the_run_file_tells_the_whole_history(pretrained, finetuned):
    before, run = read_run(pretrained).last, read_run(finetuned).last
    assert (before.stage, before.corpus, before.objectives) == (
        "pretrain",
        "biographies",
        ["span_corruption"],
    )
    assert (run.stage, run.protocol, run.training_questions) == ("finetune", "two_stage", 12)
    assert read_run(finetuned).stages == (before, run)
    assert run.excluded_people == []


def test_the_folder_loads_with_the_auto_classes_and_is_ready_to_answer(finetuned):
    model = AutoModelForCausalLM.from_pretrained(finetuned)
    assert isinstance(model, VanillaGPTForCausalLM)
    assert model.config.use_cache
    assert model.dtype == torch.float32
    assert not model.training
    tokenizer = AutoTokenizer.from_pretrained(finetuned)
    prompt = tokenizer("Where was she born?⁇", return_tensors="pt", add_special_tokens=False)
    output = model.generate(prompt["input_ids"], attention_mask=prompt["attention_mask"], max_new_tokens=3)
    assert output.shape[1] > prompt["input_ids"].shape[1]


def test_a_model_that_was_taught_questions_is_saved_with_their_chat_template(pretrained, finetuned):
    chat = [{"role": "user", "content": "Where was she born?"}]
    tokenizer = AutoTokenizer.from_pretrained(finetuned)
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "Where was she born?⁇"
    assert AutoTokenizer.from_pretrained(pretrained).chat_template is None


def test_evaluation_writes_predictions_and_a_result_that_agree(tiny, finetuned, tmp_path):
    returned = tiny.evaluate(finetuned, *tiny.people(), "--split", "train", "--output_dir", tmp_path)
    result = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    predictions = read_lines(tmp_path / "predictions.jsonl")
    assert result == returned
    check_result(result, "results.json")
    assert result["n"] == len(predictions) == 12
    assert [row["correct"] for row in predictions] == [
        is_match(row["prediction"], row["answers"]) for row in predictions
    ]
    assert result["correct"] == sum(row["correct"] for row in predictions)
    confidence = sum(row["confidence"] for row in predictions) / len(predictions)
    assert result["mean_confidence"] == pytest.approx(confidence)


def test_a_result_describes_the_training_that_made_the_model(tiny, pretrained, finetuned, tmp_path):
    result = tiny.evaluate(finetuned, *tiny.people(), "--output_dir", tmp_path)
    before, run = read_run(pretrained).last, read_run(finetuned).last
    assert (result["task"], result["split"], result["model"]) == ("biographies", "test", "vanilla")
    assert (result["protocol"], result["seed"], result["recipe"]) == ("two_stage", 3, "flags then flags")
    assert result["parameters"] == run.parameters
    assert result["train_characters"] == before.train_characters + run.train_characters
    assert result["train_seconds"] == pytest.approx(before.train_seconds + run.train_seconds)
    assert result["train_commands"] == [before.command, run.command]
    majority = result["baselines"]["majority"]
    assert majority["accuracy"] == majority["correct"] / result["n"]


def test_evaluation_defaults_to_a_folder_of_the_split_in_the_models(tiny, finetuned):
    tiny.evaluate(finetuned, *tiny.people(), "--split", "test")
    assert {path.name for path in (finetuned / "test").iterdir()} == {"predictions.jsonl", "results.json"}


def test_the_batch_size_changes_no_answer(tiny, finetuned, tmp_path):
    for size in (1, 5, 64):
        tiny.evaluate(finetuned, *tiny.people(), "--batch_size", size, "--output_dir", tmp_path / str(size))
    one, *others = (
        [row["prediction"] for row in read_lines(tmp_path / str(size) / "predictions.jsonl")]
        for size in (1, 5, 64)
    )
    assert all(one == other for other in others)


def test_plain_predictions_and_a_result_for_the_collection_on_request(tiny, finetuned, tmp_path):
    flags = ["--task", "births", "--results", tmp_path / "results", "--plain_predictions", tmp_path / "plain.txt"]
    result = tiny.evaluate(finetuned, *tiny.people(), *flags, "--output_dir", tmp_path / "out")
    collected = tmp_path / "results" / "births" / "vanilla-two_stage-seed3.json"
    assert json.loads(collected.read_text(encoding="utf-8")) == result
    lines = (tmp_path / "plain.txt").read_text(encoding="utf-8").split("\n")
    predictions = read_lines(tmp_path / "out" / "predictions.jsonl")
    assert lines == [row["prediction"] for row in predictions] + [""]


def test_questions_without_answers_are_answered_and_not_scored(tiny, file_model, files, tmp_path):
    flags = ["--questions", "cs224n", "--output_dir", tmp_path / "out"]
    asked = [*flags, "--question_file", files["inputs"], "--without_answers"]
    assert tiny.evaluate(file_model, *asked, "--plain_predictions", tmp_path / "plain.txt") is None
    predictions = read_lines(tmp_path / "out" / "predictions.jsonl")
    assert [row["correct"] for row in predictions] == [None] * 3
    assert len((tmp_path / "plain.txt").read_text(encoding="utf-8").splitlines()) == 3
    assert not (tmp_path / "out" / "results.json").exists()


def test_from_scratch_keeps_shape_and_vocabulary_but_no_weight_and_no_history(tiny, pretrained, tmp_path):
    flags = [*tiny.people(), "--from_scratch", "--learning_rate", "1e-9", "--max_steps", "1", "--seed", "4"]
    run = tiny.finetune(tmp_path / "scratch", pretrained, *flags)
    assert run.protocol == "no_pretraining" and read_run(tmp_path / "scratch").stages == (run,)
    ours, theirs = load_model_folder(tmp_path / "scratch"), load_model_folder(pretrained)
    assert ours[0].config.hidden_size == theirs[0].config.hidden_size
    assert ours[1].get_vocab() == theirs[1].get_vocab()
    name = "model.layers.0.mlp.up_proj.weight"
    difference = ours[0].state_dict()[name] - theirs[0].state_dict()[name]
    assert difference.abs().mean() > 0.01  # independent draws of a standard deviation of 0.02
    result = tiny.evaluate(tmp_path / "scratch", *tiny.people())
    assert result["protocol"] == "no_pretraining"
    assert result["train_characters"] == run.train_characters
    assert len(result["train_commands"]) == 1


def test_from_scratch_is_the_same_whatever_the_pretrained_weights(tiny, pretrained, tmp_path):
    tiny.pretrain(tmp_path / "other", "--max_steps", "1", "--learning_rate", "0.5")
    for name, model in (("a", pretrained), ("b", tmp_path / "other")):
        tiny.finetune(tmp_path / name, model, *tiny.people(), "--from_scratch")
    tiny.assert_equal(tmp_path / "a", tmp_path / "b")


def test_finetuning_goes_on_from_the_pretrained_weights(tiny, pretrained, tmp_path):
    tiny.finetune(tmp_path / "f", pretrained, *tiny.people(), "--learning_rate", "1e-9", "--max_steps", "1")
    before, after = tiny.weights(pretrained), tiny.weights(tmp_path / "f")
    assert all(torch.allclose(weight, after[name], atol=1e-6) for name, weight in before.items())


def test_nobody_is_in_both_splits_of_the_people_and_no_seed_moves_anybody(parse, tiny):
    from closedbook.training.arguments import PopulationArguments

    people, _ = parse((PopulationArguments,), tiny.people())
    train, test = ask_about_people(people, "train"), ask_about_people(people, "test")
    assert (len(train), len(test)) == (12, 8)
    assert set(train["entity"]).isdisjoint(test["entity"])
    with pytest.raises(ValueError, match=r"unknown split 'dev' .*known: train, test"):
        ask_about_people(people, "dev")


def test_people_of_the_held_out_files_leave_the_training_questions(tiny, file_model, files, tmp_path):
    flags = ["--questions", "cs224n", "--train_questions", files["train"]]
    run = tiny.finetune(tmp_path / "all", file_model, *flags)
    assert (run.training_questions, run.excluded_people) == (6, [])
    for held_out in (files["dev"], files["inputs"]):
        output = tmp_path / f"without-{held_out.stem}"
        run = tiny.finetune(output, file_model, *flags, "--exclude_people_of", held_out)
        assert (run.training_questions, run.excluded_people) == (5, ["Flo West"])
    tiny.assert_equal(tmp_path / "without-dev", tmp_path / "without-inputs")


def test_held_out_answers_have_no_influence_on_training(tiny, file_model, files, tmp_path):
    flags = ["--questions", "cs224n", "--train_questions", files["train"]]
    tiny.finetune(tmp_path / "a", file_model, *flags, "--exclude_people_of", files["dev"])
    questions = [line.split("\t")[0] for line in files["dev"].read_text(encoding="utf-8").splitlines()]
    garbage = "".join(f"{question}\t#{number} 垃圾\n" for number, question in enumerate(questions))
    files["dev"].write_text(garbage, encoding="utf-8")
    tiny.finetune(tmp_path / "b", file_model, *flags, "--exclude_people_of", files["dev"])
    tiny.assert_equal(tmp_path / "a", tmp_path / "b")


def test_questions_that_a_model_was_trained_on_are_told_of(tiny, file_model, files, tmp_path, capsys):
    tiny.finetune(tmp_path / "tuned", file_model, "--questions", "cs224n", "--train_questions", files["train"])
    for asked, is_told in (("train", True), ("dev", False)):
        capsys.readouterr()
        tiny.evaluate(
            tmp_path / "tuned", "--questions", "cs224n", "--question_file", files[asked], "--split", asked
        )
        assert ("is what the model was trained on" in capsys.readouterr().err) is is_told


def test_people_are_excluded_by_name(tiny, file_model, files, tmp_path):
    flags = ["--questions", "cs224n", "--train_questions", files["train"]]
    run = tiny.finetune(tmp_path / "by_name", file_model, *flags, "--exclude_people", "Flo West")
    assert (run.training_questions, run.excluded_people) == (5, ["Flo West"])
    with pytest.raises(ValueError, match="no training question asks about flo wset"):
        tiny.finetune(tmp_path / "misspelled", file_model, *flags, "--exclude_people", "Flo Wset")


OPENED: list[str] | None = None


def record_opened(event, arguments):
    if OPENED is not None and event == "open":
        OPENED.append(str(arguments[0]))


def test_no_training_path_opens_a_file_of_held_out_questions_or_answers(tiny, files, tmp_path, monkeypatch):
    sys.addaudithook(record_opened)  # sees every file that the interpreter opens; cannot be taken away again
    with files["wiki"].open("a", encoding="utf-8") as corpus_file:
        corpus_file.write("Kit Kirk. Kit Kirk was born in Cork.\n")  # "unknown" needs a "k" in the vocabulary
    opened = []
    monkeypatch.setattr(sys.modules[__name__], "OPENED", opened)
    read = ["--questions", "cs224n", "--train_questions", files["train"], "--exclude_people", "Flo West"]
    corpus = ["--corpus", "wiki", "--corpus_path", files["wiki"]]
    mixture = ["--objectives", "place_cue", "span_corruption", "question_answering=1@0.5"]
    run = tiny.pretrain(tmp_path / "mixed", *corpus, *mixture, *read, "--validation_share", "0.4")
    assert run.protocol == "mixed"
    tiny.pretrain(tmp_path / "first", *corpus, "--max_steps", "2")
    run = tiny.finetune(tmp_path / "second", tmp_path / "first", *read, "--num_unknown_people", "2")
    assert run.protocol == "two_stage"
    assert {str(files["wiki"]), str(files["train"])} <= set(opened)
    assert not {str(files["dev"]), str(files["inputs"])} & set(opened)
    files["dev"].read_text(encoding="utf-8")
    assert str(files["dev"]) in opened  # had it been read, this would have seen it


def test_mixed_pretraining_asks_from_its_phase_on_and_logs_the_held_out_people(tiny, files, tmp_path):
    corpus = ["--corpus", "wiki", "--corpus_path", files["wiki"]]
    questions = ["--questions", "cs224n", "--train_questions", files["train"], "--validation_share", "0.4"]
    mixture = ["--objectives", "span_corruption", "question_answering=3@0.5"]
    evaluation = ["--eval_strategy", "steps", "--eval_steps", "4"]
    run = tiny.pretrain(tmp_path / "mixed", *corpus, *mixture, *questions, *evaluation)
    assert (run.protocol, run.training_questions) == ("mixed", 4)
    assert {entry["step"] for entry in tiny.log(tmp_path / "mixed") if "eval_exact_match" in entry} == {4, 8}
    taught = ["--questions", "cs224n", "--train_questions", files["train"]]
    for other in (["--validation_share", "0.2"], ["--validation_share", "0.4", "--seed", "4"]):
        with pytest.raises(ValueError, match="held out whom it was trained on"):
            tiny.finetune(tmp_path / "other", tmp_path / "mixed", *taught, *other)
    again = tiny.finetune(tmp_path / "again", tmp_path / "mixed", *taught, "--validation_share", "0.4")
    assert again.protocol == "mixed" and again.held_out_people == run.held_out_people != []
    part = tiny.finetune(tmp_path / "part", tmp_path / "mixed" / "checkpoint-4", *taught)
    before, _ = read_run(tmp_path / "part").stages
    assert (part.protocol, before.steps) == ("mixed", 4)
    assert before.train_characters == round(run.train_characters / 2)
    plain = tiny.pretrain(tmp_path / "plain", *corpus)
    assert plain.protocol is None
    first, other = tiny.log(tmp_path / "mixed"), tiny.log(tmp_path / "plain")
    losses = [[entry["loss"] for entry in log if "loss" in entry] for log in (first, other)]
    assert losses[0][:4] == losses[1][:4]  # before the questions begin, the mixed run is the plain one
    assert losses[0][4:] != losses[1][4:]


def test_validation_people_are_kept_out_and_their_exact_match_logged(tiny, pretrained, tmp_path):
    flags = [*tiny.people(), "--validation_share", "0.25", "--eval_strategy", "steps", "--eval_steps", "2"]
    run = tiny.finetune(tmp_path / "run", pretrained, *flags)
    assert run.training_questions == 9
    logged = [entry for entry in tiny.log(tmp_path / "run") if "eval_exact_match" in entry]
    assert {entry["step"] for entry in logged} == {2, 4}
    assert all(0 <= entry["eval_exact_match"] <= 1 for entry in logged)


def test_a_perceiver_goes_the_same_way(tiny, tmp_path):
    tiny.pretrain(tmp_path / "p", "--architecture", "perceiver", "--num_latents", "16", "--max_steps", "2")
    tiny.finetune(tmp_path / "f", tmp_path / "p", *tiny.people(), "--max_steps", "2")
    assert tiny.evaluate(tmp_path / "f", *tiny.people())["model"] == "perceiver-spread"


def test_evaluation_refuses_a_recipe(tiny, finetuned, tmp_path):
    (tmp_path / "r.yaml").write_text("model: x\n", encoding="utf-8")
    with pytest.raises(ValueError, match="flags only"):
        tiny.evaluate(finetuned, "--recipe", tmp_path / "r.yaml")
