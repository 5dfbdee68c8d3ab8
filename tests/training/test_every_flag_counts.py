"""Every flag of the two training stages reaches what it is about: changed, it changes what a run leaves behind.

A flag that is read and passed to nobody would go unseen in all other tests, because the run it belongs to is a
good run, only not the one asked for. What a flag is to change is said beside it: the weights, the evaluation, the
log, or the record; and flags of another kind leave the weights alone, to the bit.
"""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from closedbook.evaluation.run_record import read_run
from closedbook.training import finetuning, pretraining
from closedbook.training.arguments import ClosedbookTrainingArguments

FEW = ["--max_steps", "3", "--save_strategy", "no", "--precision", "fp32"]
LINFORMER, BIGBIRD = ["--attention", "linformer"], ["--attention", "bigbird", "--attention_block_size", "4"]
PERCEIVER = ["--architecture", "perceiver", "--num_hidden_layers", "3"]
ADAMW = ["--optimizer", "adamw"]

# flag with another value -> flags that both runs share
WEIGHTS: dict[tuple[str, ...], list[str]] = {
    ("--architecture", "perceiver"): ["--num_hidden_layers", "3"],
    ("--hidden_size", "32"): [],
    ("--num_hidden_layers", "1"): [],
    ("--num_attention_heads", "4"): [],
    ("--block_size", "48"): [],
    ("--attention", "synthesizer_dense"): [],
    ("--position", "rotary"): [],
    ("--attention_block_size", "8"): LINFORMER,
    ("--num_landmarks", "8"): LINFORMER,
    ("--num_window_blocks", "1"): BIGBIRD,
    ("--num_global_blocks", "2"): BIGBIRD,
    ("--num_random_blocks", "3"): BIGBIRD,
    ("--num_latents", "16"): PERCEIVER,
    ("--latent_layout", "last"): PERCEIVER,
    ("--dropout", "0.4"): [],
    ("--attention_dropout", "0.4"): [],
    ("--num_people", "19"): [],
    ("--population_seed", "1"): [],
    ("--attributes", "birth_date"): [],
    ("--num_versions", "3"): [],
    ("--biography_unit", "biography"): ["--attributes", "birth_place", "birth_date"],
    ("--objectives", "left_to_right"): [],
    ("--optimizer", "adamw"): [],
    ("--global_batch_size", "4"): [],
    ("--shift_positions", "True"): [],
    ("--learning_rate", "0.001"): [],
    ("--weight_decay", "0.5"): [],
    ("--weight_decay", "0.4"): ADAMW,
    ("--adam_beta1", "0.5"): [],
    ("--adam_beta2", "0.5"): [],
    ("--adam_beta1", "0.6"): ADAMW,
    ("--adam_beta2", "0.6"): ADAMW,
    ("--max_grad_norm", "0.01"): ADAMW,
    ("--warmup_steps", "2"): [],
    ("--lr_scheduler_type", "constant"): [],
    ("--lr_scheduler_kwargs", '{"min_lr_rate": 0.9}'): [],
    ("--seed", "4"): [],
    ("--max_steps", "4"): [],
    ("--num_train_epochs", "2"): ["--max_steps", "-1", "--num_train_epochs", "1"],
    ("--precision", "bf16"): [],
}
# flag with another value -> what it changes, while the weights stay the same bits
ELSEWHERE: dict[tuple[str, ...], str] = {
    ("--eval_examples", "5"): "evaluation",
    ("--logging_steps", "2"): "log",
    ("--license", "mit"): "record",
}
FINETUNING = {
    ("--from_scratch", "True"): [],
    ("--dropout", "0.4"): [],
    ("--attention_dropout", "0.4"): [],
    ("--validation_share", "0.3"): [],
    ("--validation_fold", "2"): ["--validation_share", "0.5"],
    ("--num_unknown_people", "5"): [],
    ("--learning_rate", "0.001"): [],
    ("--weight_decay", "0.5"): [],
    ("--shift_positions", "True"): [],
    ("--global_batch_size", "4"): [],
    ("--seed", "4"): [],
}


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], tuple]:
    """What the runs left that several cases are held against, by their flags."""
    return {}


def leave(tiny, folder: Path, flags: list[str], model: Path | None = None) -> dict:
    if model is None:
        tiny.pretrain(folder, *FEW, *flags)
    else:
        tiny.finetune(folder, model, *tiny.people(), *FEW, *flags)
    record = read_run(folder).last
    logged = [{k: v for k, v in entry.items() if k != "eval_loss"} for entry in tiny.log(folder)]
    return {
        "weights": tiny.weights(folder),
        "evaluation": record.eval_loss,
        "log": [entry for entry in logged if len(entry) > 1],
        "record": replace(record, arguments={}, command=None, train_seconds=None, eval_loss=None),
    }


def same_weights(one: dict, other: dict) -> bool:
    one, other = one["weights"], other["weights"]
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and torch.equal(one[name], other[name]) for name in one
    )


def baseline(known, tiny, tmp_path_factory, shared: list[str], model: Path | None = None) -> dict:
    key = (str(model), *shared)
    if key not in known:
        known[key] = leave(tiny, tmp_path_factory.mktemp("baseline"), shared, model)
    return known[key]


@pytest.mark.parametrize("flag", WEIGHTS, ids=" ".join)
def test_a_flag_of_pretraining_changes_the_weights(flag, known, tiny, tmp_path, tmp_path_factory):
    before = baseline(known, tiny, tmp_path_factory, WEIGHTS[flag])
    after = leave(tiny, tmp_path / "run", [*WEIGHTS[flag], *flag])
    assert not same_weights(before, after)


@pytest.mark.parametrize("flag", ELSEWHERE, ids=" ".join)
def test_a_flag_that_is_not_about_weights_changes_what_it_is_about(flag, known, tiny, tmp_path, tmp_path_factory):
    before, after = baseline(known, tiny, tmp_path_factory, []), leave(tiny, tmp_path / "run", list(flag))
    assert same_weights(before, after)
    changed = {name for name in ("evaluation", "log", "record") if before[name] != after[name]}
    assert changed == {ELSEWHERE[flag]}


@pytest.mark.parametrize("flag", FINETUNING, ids=" ".join)
def test_a_flag_of_fine_tuning_changes_the_weights(flag, known, tiny, pretrained, tmp_path, tmp_path_factory):
    before = baseline(known, tiny, tmp_path_factory, FINETUNING[flag], pretrained)
    after = leave(tiny, tmp_path / "run", [*FINETUNING[flag], *flag], pretrained)
    assert not same_weights(before, after)


def test_rows_change_how_examples_lie_side_by_side_and_not_what_is_learned(tiny, tmp_path):
    # exact equality is no law here: sums over other rows are added up in another order
    plain = ["--dropout", "0", "--precision", "fp32", "--max_steps", "3", "--save_strategy", "no"]
    tiny.pretrain(tmp_path / "short", *plain)
    tiny.pretrain(tmp_path / "long", *plain, "--row_length", "128")
    tiny.assert_close(tmp_path / "short", tmp_path / "long", logged=1e-3, weights=3e-3)


def test_no_flag_of_our_own_is_left_out_of_these_tables():
    stages = [*pretraining.ARGUMENTS, *finetuning.ARGUMENTS]
    inherited = {item.name for kind in ClosedbookTrainingArguments.__mro__[1:-1] for item in fields(kind)}
    own = {item.name for kind in stages for item in fields(kind)} - inherited
    tried = {flag[0][2:] for table in (WEIGHTS, ELSEWHERE, FINETUNING) for flag in table}
    elsewhere = {
        *("corpus", "corpus_path", "questions", "train_questions", "exclude_people", "exclude_people_of", "model"),
        *("unknown_corpus", "unknown_corpus_path", "row_length", "resume", "overwrite"),  # tests of their own
        # of models trained elsewhere: bases/
        *("tokenizer", "prompt", "lora_rank", "lora_alpha", "merge_adapter", "trust_remote_code"),
        *("replay", "replay_path"),
        *("rewrite_with", "rewrite_path", "rewrite_kinds", "rewrites"),
        *("probe_facts", "probe_steps", "stop_on", "patience", "forgetting_limit"),  # test_probing.py
        *("attn_implementation", "num_threads"),  # how, not what: tests of their own
        # of corpora that are files: test_documents.py
        *("extra_characters", "document_unit", "title_column", "text_column"),
        *("streaming", "skip_damaged"),  # test_documents.py, too
        "num_asked_people",  # test_question_sets.py
        *("open_book", "readings"),  # asking/test_self_questions.py, test_documents.py
        *("on_nonfinite", "nonfinite_limit", "time_limit"),  # for when things go wrong: keeping/test_keeper.py
    }
    assert own - tried == elsewhere
