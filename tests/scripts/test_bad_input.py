"""What is wrong is said before training begins, by its name, and nothing is written."""

import json
import shutil

import pytest
from huggingface_hub.errors import StrictDataclassError

from closedbook.training.arguments import ClosedbookTrainingArguments


@pytest.fixture
def refused(tiny, tmp_path, pretrained, monkeypatch):
    """Run a script with bad flags and check: the error, its message, no training, nothing written."""
    from closedbook.training import trainer

    def never(*args, **kwargs):
        raise AssertionError("training began")

    def check(script, message, *flags, error=ValueError):
        output = tmp_path / "output"
        monkeypatch.setattr(trainer.FiniteTrainer, "train", never)
        with pytest.raises(error, match=message):
            if script == "pretrain":
                tiny.pretrain(output, *flags)
            elif script == "finetune":
                tiny.finetune(output, pretrained, *flags)
            else:
                tiny.evaluate(pretrained, "--output_dir", output, *flags)
        assert not output.exists()

    return check


@pytest.fixture
def written(tmp_path):
    def write(content: str, name: str = "input.tsv"):
        path = tmp_path / name
        path.write_bytes(content.encode())
        return path

    return write


def test_a_missing_corpus_file_is_named(refused, tmp_path):
    flags = ["--corpus", "wiki", "--corpus_path", tmp_path / "wiki.txt"]
    refused("pretrain", "wiki.txt: there is no such file", *flags, error=FileNotFoundError)


@pytest.mark.parametrize("corpus", ["wiki", "text"])
@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_corpus_file_is_named(refused, written, corpus, content):
    refused("pretrain", "input.tsv is empty", "--corpus", corpus, "--corpus_path", written(content))


def test_a_line_of_the_corpus_without_a_name_is_counted_out(refused, written):
    path = written("Ada Lind. Ada Lind was born.\nno name here\n")
    refused("pretrain", r"input.tsv:2: expected `Name. sentence`", "--corpus", "wiki", "--corpus_path", path)


@pytest.mark.parametrize("corpus", ["wiki", "text", "hub"])
def test_a_corpus_of_files_needs_a_path(refused, corpus):
    refused("pretrain", f"--corpus {corpus} needs --corpus_path", "--corpus", corpus)


def test_unknown_names_come_with_the_known_ones(refused):
    refused("pretrain", "unknown corpus 'wikki'; known: biographies, wiki, text, hub", "--corpus", "wikki")
    refused("pretrain", "unknown architecture 'rnn'; known: vanilla, perceiver", "--architecture", "rnn")
    refused("pretrain", "unknown objective 'spam'.*known: span_corruption", "--objectives", "spam")
    refused("pretrain", "unknown attributes.*'shoe_size'.*birth_place", "--attributes", "shoe_size")
    refused("finetune", "unknown questions 'quiz'; known: biographies, file, cs224n", "--questions", "quiz")
    refused("evaluate", "unknown questions 'quiz'", "--questions", "quiz")


@pytest.mark.parametrize("weight", ["much", "0", "-1", "nan", "inf"])
def test_weights_of_objectives_are_positive_numbers(refused, weight):
    message = f"'span_corruption={weight}': '{weight}' is not a positive number"
    refused("pretrain", message, "--objectives", f"span_corruption={weight}", "left_to_right")


def test_questions_in_the_mixture_need_documents_beside_them_and_belong_to_them(refused, tmp_path):
    refused("pretrain", "question_answering alone is no pretraining", "--objectives", "question_answering")
    both = "--objectives", "span_corruption", "question_answering=1@0.5"
    refused("pretrain", "questions of question_answering are biographies", "--corpus", "wiki", *both)
    refused("pretrain", "no share of question_answering", "--train_questions", "questions.tsv")


@pytest.mark.parametrize("part", ["0.5-0.2", "1", "x", "0.2-1.1"])
def test_an_objective_is_active_in_a_part_of_the_run(refused, part):
    refused("pretrain", "no part of the run", "--objectives", f"span_corruption@{part}")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--num_attention_heads", "3"], "multiple of num_attention_heads"),
        (["--hidden_size", "0"], "hidden_size must be at least 1"),
        (["--block_size", "0"], "at least 1"),
        (["--num_hidden_layers", "0"], "num_hidden_layers must be at least 1"),
        (["--architecture", "perceiver", "--num_latents", "0"], "num_latents must be between 1 and"),
        (["--architecture", "perceiver", "--num_latents", "65"], "num_latents must be between 1 and"),
        (["--architecture", "perceiver", "--latent_layout", "ring"], "latent_layout must be one of"),
        (["--dropout", "1"], "dropout must be in"),
    ],
)
def test_sizes_and_rates_without_sense_are_refused(refused, flags, message):
    refused("pretrain", message, *flags, error=(ValueError, StrictDataclassError))


@pytest.mark.parametrize("flag", ["--num_people", "--num_versions", "--eval_examples"])
def test_counts_below_one_are_refused(refused, flag):
    refused("pretrain", "at least 1|must be from 1|positive", flag, "0")


def test_finetuning_refuses_rates_without_sense(refused, tiny):
    refused(
        "finetune",
        "dropout must be in",
        *tiny.people(),
        "--dropout",
        "1.5",
        error=(ValueError, StrictDataclassError),
    )
    refused("finetune", "fractions have to be positive", *tiny.people(), "--validation_share", "1.5")
    refused("finetune", "fractions have to be positive", *tiny.people(), "--validation_share", "-0.5")


def test_a_missing_model_is_named(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere holds no model"):
        tiny.finetune(tmp_path / "output", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere holds no model"):
        tiny.evaluate(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_questions_of_a_file_need_the_file(refused, tmp_path):
    refused("finetune", "questions of kind 'cs224n' need a file", "--questions", "cs224n")
    refused("evaluate", "questions of kind 'file' need a file", "--questions", "file")
    flags = ["--questions", "file", "--train_questions", tmp_path / "no.tsv"]
    refused("finetune", "no.tsv: there is no such file", *flags, error=FileNotFoundError)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "input.tsv is empty"),
        ("Where was Ada born?\tRome\nWhere was Bo born?\n", "input.tsv:2: no tab in 'Where was Bo born"),
        ("Where was Ada born?\tRome\tItaly\n", "input.tsv:1: 2 tabs"),
        ("Where was Ada born?\t\n", "input.tsv:1: the answer to .* is empty"),
        (f"Where was {'Ada' * 20} born?\tRome\n", "takes 82 characters .*the block has 64"),
        ("Where was Łódź born?\tRome\n", r"unknown to the model: .*'Ł' \(U\+0141\)"),
        ("Where was Ada born?\t東京\n", r"unknown to the model: .*\(U\+4EAC\)"),
        ("Where was A⁇ born?\tRome\n", r"special .*U\+2047"),
    ],
)
@pytest.mark.parametrize("kind", ["cs224n", "file"])
def test_training_questions_are_checked_before_training(refused, written, kind, content, message):
    refused("finetune", message, "--questions", kind, "--train_questions", written(content))


def test_a_broken_line_of_json_is_counted_out(refused, written):
    path = written(json.dumps({"question": "Who?", "answer": "Ada"}) + "\n{no json\n", "input.jsonl")
    refused("finetune", "input.jsonl:2: not JSON", "--questions", "file", "--train_questions", path)


def test_a_broken_held_out_file_is_named_and_its_line(refused, written, files):
    flags = ["--questions", "cs224n", "--train_questions", files["train"], "--exclude_people_of"]
    refused("finetune", "input.tsv:2: 2 tabs", *flags, written("Where was Ada born?\tx\na\tb\tc\n"))
    refused("finetune", "nothing.tsv: there is no such", *flags, "nothing.tsv", error=FileNotFoundError)


def test_training_questions_all_about_evaluated_people_are_refused(refused, files):
    flags = ["--questions", "cs224n", "--train_questions", files["train"]]
    refused("finetune", "all 6 training questions", *flags, "--exclude_people_of", files["train"])


@pytest.mark.parametrize(
    "content, message",
    [
        ("Where was Bo born?\n", "input.tsv:1: no tab"),
        (f"Where was {'Ada' * 20} born?\tRome\n", "the block has 64"),
        ("Where was Łódź born?\tRome\n", r"unknown to the model: .*'Ł' \(U\+0141\)"),
    ],
)
def test_evaluation_checks_its_questions_first(refused, written, content, message):
    refused("evaluate", message, "--questions", "cs224n", "--question_file", written(content))


def test_evaluation_does_not_lose_answers_by_mistake(refused, files):
    flags = ["--questions", "cs224n", "--question_file", files["dev"]]
    refused("evaluate", "hold questions alone: leave out --without_answers", *flags, "--without_answers")


@pytest.mark.parametrize("flag", ["--batch_size", "--max_new_tokens"])
def test_evaluation_refuses_counts_below_one(refused, tiny, flag):
    refused("evaluate", "must be at least 1", *tiny.people(), flag, "0")


def test_a_global_batch_that_does_not_divide_is_refused_before_reading_anything(refused):
    refused("pretrain", "global_batch_size 12", "--global_batch_size", "12")
    refused(
        "pretrain", "--recipe|no-such.yaml does not exist", "--recipe", "no-such.yaml", error=FileNotFoundError
    )


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--warmup_steps", "9"], "--warmup_steps 9, but the run has 8 steps"),
        (["--lr_scheduler_kwargs", '{"min_lr_rate": 2}'], "min_lr_rate is 2.*from 0 to 1"),
        (["--lr_scheduler_kwargs", '{"min_lr": 1}'], "min_lr is 1.*--learning_rate"),
        (["--lr_scheduler_kwargs", "{bad"], "--lr_scheduler_kwargs '{bad' is no JSON"),
        (["--gradient_checkpointing_kwargs", "{'a': 1}"], "--gradient_checkpointing_kwargs .* is no JSON"),
        (["--global_batch_size", str(10**12)], "global_batch_size 1000000000000 is more than 1,000,000"),
        (["--extra_characters", "a\0"], "--extra_characters holds a NUL"),
    ],
)
def test_schedules_and_batches_that_no_run_lives_to_see_are_refused(refused, flags, message):
    refused("pretrain", message, *flags)


def test_a_warm_up_as_long_as_the_run_passes(parse):
    from closedbook.training.checks.machine import check_warmup

    (args, _) = parse([ClosedbookTrainingArguments], ["--output_dir", "x", "--warmup_steps", "8"])
    check_warmup(args, 8)
    with pytest.raises(ValueError, match="7 steps"):
        check_warmup(args, 7)


def test_a_warm_up_of_a_recipe_is_told_of_where_the_run_is_shorter(parse, written, caplog):
    from closedbook.training.checks.machine import check_warmup

    recipe = str(written("warmup_steps: 8\n", "recipe.yaml"))
    (args, _) = parse([ClosedbookTrainingArguments], ["--output_dir", "x", "--recipe", recipe])
    check_warmup(args, 7)
    assert "--warmup_steps 8, but the run has 7 steps" in caplog.text


def test_a_row_shorter_than_the_block_is_refused(refused):
    refused("pretrain", "row_length", "--row_length", "8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_grad_norm", "-1"], "max_grad_norm must be a number from 0 on"),
        (["--max_grad_norm", "nan"], "max_grad_norm must be a number from 0 on"),
        (["--time_limit", "nan"], "time_limit"),
        (["--time_limit", "inf"], "time_limit"),
        (["--num_threads", "-1"], "num_threads must be 0"),
        (["--save_total_limit", "0"], "save_total_limit must be positive"),
        (["--save_steps", "0"], "save_steps must be positive"),
        (["--lr_scheduler_kwargs", '{"foo": 1}'], "--lr_scheduler_kwargs .*foo"),
        (["--num_hidden_layers", "1000000000"], "about .* weights, .* this machine has"),
        (["--hidden_size", "100000000"], "about .* weights, .* this machine has"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything(refused, flags, message):
    refused("pretrain", message, *flags)


@pytest.fixture
def asked_model(pretrained, tmp_path):
    """A model of one's own, which is asked."""
    return shutil.copytree(pretrained, tmp_path / "asked")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "run.json", "checkpoint-4/answers.txt"])
def test_answers_are_not_written_over_the_model(tiny, asked_model, file):
    before = {path: path.read_bytes() for path in asked_model.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="is a file of the model"):
        tiny.evaluate(asked_model, "--plain_predictions", asked_model / file)
    with pytest.raises(ValueError, match="is a file of the model"):
        tiny.evaluate(asked_model, "--output_dir", asked_model / "checkpoint-4")
    assert {path: path.read_bytes() for path in asked_model.rglob("*") if path.is_file()} == before


def test_a_checkpoint_is_asked_about_the_people_of_its_run(tiny, asked_model, tmp_path):
    result = tiny.evaluate(asked_model / "checkpoint-4", "--output_dir", tmp_path / "answers")
    assert result["n"] == tiny.evaluate(asked_model)["n"]


def test_a_model_without_a_record_is_asked_about_nobody_unless_told_whom(tiny, asked_model):
    for name in ("run.json", "README.md"):
        (asked_model / name).unlink()
    with pytest.raises(ValueError, match="has no run file that tells which people"):
        tiny.evaluate(asked_model)
    assert tiny.evaluate(asked_model, *tiny.people())["n"] > 0


@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_a_damaged_tokenizer_is_named(tiny, asked_model, harm):
    path = asked_model / "tokenizer.json"
    content = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(content[:100])
    with pytest.raises(ValueError, match="the tokenizer in .*asked cannot be read: tokenizer.json"):
        tiny.evaluate(asked_model)
