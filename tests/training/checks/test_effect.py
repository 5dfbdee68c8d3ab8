"""A flag that would have no effect is refused by its name, and one that has an effect is not."""

import logging

import pytest

from closedbook.training.arguments import (
    ClosedbookTrainingArguments,
    CorpusArguments,
    ModelArguments,
    PopulationArguments,
    QuestionArguments,
)
from closedbook.training.checks.effect import (
    check_effect_in_training,
    check_effect_of_corpus,
    check_effect_of_model,
    check_effect_of_questions,
    unread_files,
)
from closedbook.training.checks.together import Problems

# flag with a value -> flags beside which it counts; None: beside none.
IN_TRAINING: dict[tuple[str, str], list[str] | None] = {
    ("--optim", "adafactor"): ["--optimizer", "adamw"],
    ("--optim_args", "x=1"): ["--optimizer", "adamw"],
    ("--adam_epsilon", "1e-6"): ["--optimizer", "adamw"],
    ("--label_smoothing_factor", "0.1"): None,
    ("--remove_unused_columns", "True"): None,
    ("--train_sampling_strategy", "random"): None,
    ("--data_seed", "3"): None,
    ("--dataloader_drop_last", "True"): None,
    ("--ignore_data_skip", "True"): None,
    ("--resume_from_checkpoint", "here"): None,
    ("--auto_find_batch_size", "True"): None,
    ("--label_names", "labels"): None,
    ("--include_for_metrics", "inputs"): None,
    ("--batch_eval_metrics", "True"): None,
    ("--prediction_loss_only", "True"): None,
    ("--do_train", "True"): None,
    ("--do_predict", "True"): None,
    ("--bf16", "True"): None,
    ("--fp16_full_eval", "True"): None,
    ("--hub_model_id", "me/model"): None,
    ("--hub_strategy", "end"): None,
    ("--hub_private_repo", "True"): None,
    ("--dataloader_persistent_workers", "True"): ["--dataloader_num_workers", "1"],
    ("--eval_steps", "7"): ["--eval_strategy", "steps"],
    ("--eval_delay", "2"): ["--eval_strategy", "steps"],
    ("--metric_for_best_model", "loss"): [
        "--lr_scheduler_type",
        "reduce_lr_on_plateau",
        "--eval_strategy",
        "steps",
    ],
    ("--save_only_model", "True"): ["--save_strategy", "steps"],
    ("--ddp_bucket_cap_mb", "3"): None,
    ("--nonfinite_limit", "3"): ["--on_nonfinite", "skip"],
    ("--gradient_accumulation_steps", "2"): ["--per_device_train_batch_size", "4"],
}
OTHERWISE = {
    "--save_only_model": ["--save_strategy", "no"],
    "--gradient_accumulation_steps": ["--global_batch_size", "8"],
}
OF_MODEL = {
    ("--num_latents", "8"): ["--architecture", "perceiver"],
    ("--latent_layout", "last"): ["--architecture", "perceiver"],
    ("--attention_block_size", "8"): ["--attention", "bigbird"],
    ("--num_landmarks", "8"): ["--attention", "linformer"],
    ("--num_window_blocks", "3"): ["--attention", "bigbird"],
    ("--num_global_blocks", "2"): ["--attention", "bigbird"],
    ("--num_random_blocks", "2"): ["--attention", "bigbird"],
}


@pytest.mark.parametrize(("flag", "beside"), IN_TRAINING.items(), ids=[" ".join(flag) for flag in IN_TRAINING])
def test_a_training_argument_without_effect_is_refused(parse, flag, beside):
    def read(*flags):
        return parse((ClosedbookTrainingArguments,), ["--output_dir", "run", "--use_cpu", "True", *flags])[0]

    with pytest.raises(ValueError, match=f"^{flag[0]} has no effect"):
        check_effect_in_training(read(*flag, *OTHERWISE.get(flag[0], [])))
    if beside is not None:
        check_effect_in_training(read(*flag, *beside))
    check_effect_in_training(read(*OTHERWISE.get(flag[0], [])))


def test_everything_that_is_wrong_is_told_at_once(parse):
    flags = ["--data_seed", "1", "--optim", "adafactor", "--label_smoothing_factor", "0.1"]
    args, _ = parse((ClosedbookTrainingArguments,), flags)
    with pytest.raises(Problems) as problems:
        check_effect_in_training(args)
    assert [line.split()[0] for line in problems.value.lines] == [
        "--label_smoothing_factor",
        "--data_seed",
        "--optim",
    ]


@pytest.mark.parametrize(("flag", "beside"), OF_MODEL.items(), ids=[" ".join(flag) for flag in OF_MODEL])
def test_a_size_of_layers_that_the_model_does_not_have_is_refused(parse, flag, beside):
    with pytest.raises(ValueError, match=f"^{flag[0]} has no effect: it needs --"):
        check_effect_of_model(parse((ModelArguments,), [*flag])[0])
    check_effect_of_model(parse((ModelArguments,), [*flag, *beside])[0])
    check_effect_of_model(parse((ModelArguments,), beside)[0])


def test_a_file_that_is_not_read_is_refused():
    with pytest.raises(ValueError, match=r"--corpus_path wiki.txt is not read.*--corpus text"):
        check_effect_of_corpus(CorpusArguments(corpus_path="wiki.txt"), PopulationArguments(), False)
    with pytest.raises(ValueError, match=r"--train_questions q.tsv is not read.*--questions file"):
        check_effect_of_questions(QuestionArguments(train_questions="q.tsv"), None)
    with pytest.raises(ValueError, match=r"--exclude_people_of has no effect"):
        check_effect_of_questions(QuestionArguments(exclude_people_of=["q.tsv"]), None)
    assert unread_files("file", question_file="q.tsv") == []
    check_effect_of_corpus(CorpusArguments("text", "wiki.txt"), PopulationArguments(), False)


def test_a_form_of_documents_that_the_corpus_has_not_is_refused():
    people = PopulationArguments()
    with pytest.raises(ValueError, match=r"^--document_unit has no effect: the corpus is wiki; .* --corpus text$"):
        check_effect_of_corpus(CorpusArguments("wiki", "wiki.txt", document_unit="file"), people, False)
    with pytest.raises(ValueError, match=r"--title_column has no effect: .* --corpus text or hub"):
        check_effect_of_corpus(CorpusArguments("elements", title_column="name"), people, False)
    with pytest.raises(ValueError, match=r"--corpus_path docs is not read: --corpus elements makes"):
        check_effect_of_corpus(CorpusArguments("elements", "docs"), people, False)
    form = {"title_column": "name", "text_column": "body"}
    check_effect_of_corpus(CorpusArguments("hub", "a/b", **form), people, False)
    check_effect_of_corpus(CorpusArguments("text", "docs", document_unit="file", **form), people, False)


def test_flags_of_people_whom_nobody_reads_about_are_told_of(caplog):
    caplog.set_level(logging.WARNING)
    check_effect_of_corpus(CorpusArguments("text", "wiki.txt", num_versions=2), PopulationArguments(7), False)
    assert [record.getMessage() for record in caplog.records] == [
        "--num_people has no effect: the corpus is text",
        "--num_versions has no effect: the corpus is text",
    ]
    caplog.clear()
    check_effect_of_corpus(CorpusArguments("text", "wiki.txt"), PopulationArguments(7), True)
    check_effect_of_corpus(CorpusArguments(num_versions=2), PopulationArguments(7), False)
    check_effect_of_questions(QuestionArguments("file", "q.tsv"), None)
    assert caplog.records == []
    check_effect_of_questions(QuestionArguments("file", "q.tsv"), PopulationArguments(population_seed=7))
    assert "--population_seed has no effect: the questions are file" in caplog.text
