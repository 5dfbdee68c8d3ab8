"""The sweep of in-context question answering: arms that go on where they stopped, and what they say together."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset

from closedbook.evaluation.answering.stock_models import load_stock_model
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.prompting.demonstrations import select_demonstrations
from closedbook.evaluation.prompting.incontext import (
    NO_SELECTION,
    Arm,
    answer_in_context,
    arms_by_prompt,
    check_asked_and_pool,
    check_room,
)
from closedbook.evaluation.prompting.incontext_arms import read_arms, read_incontext_arm
from closedbook.evaluation.prompting.incontext_summary import incontext_table, summarise_arms
from closedbook.evaluation.reports.incontext import draw_accuracy, draw_prompt_luck
from closedbook.training.asking.incontext_arguments import InContextArguments, SweepArguments, read_asked_and_pool
from closedbook.training.asking.sweep_folder import ask_missing, describe_model, fingerprint
from closedbook.training.checks.outputs import check_prefix
from closedbook.training.command_line import parse_arguments
from closedbook.training.finished_runs import ArmFiles, digest
from closedbook.training.hardware import own_device


def main(argv: list[str]) -> dict | None:
    """Returns the summary; None in all processes but the first."""
    args, swept, _recipe = parse_arguments((InContextArguments, SweepArguments), argv)
    check_recordable(args.results and Path(args.results).parent)
    check_prefix("results", args.results, (".json", ".md", ".png", "-luck.png"))
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    prompt_format, arms = args.prompt_format(), swept.arms()
    most = max(arm.num_shots for arm in arms)
    asked, pool = read_asked_and_pool(args, most)
    check_asked_and_pool(asked, pool, most)
    for selection in {arm.selection for arm in arms} - {NO_SELECTION}:
        if selection == "bm25" or not args.encoder:  # a library that is missing is missed now
            select_demonstrations(pool, asked["question"][:1], 1, selection=selection)
    folder, sweep = Path(args.output_dir), describe_sweep(args, asked, pool)
    store = ArmFiles(folder, sweep, read_incontext_arm)

    def begin(state: PartialState) -> Callable[[Sequence[Arm]], list[list[dict]]]:
        model, tokenizer = load_stock_model(args.model, args.dtype, args.trust_remote_code)
        model, embedder = model.to(own_device(state)), args.embedder()
        check_room(model, tokenizer, prompt_format, asked["question"][:], args.max_new_tokens)
        return lambda group: answer_in_context(
            model,
            tokenizer,
            pool,
            asked,
            group,
            prompt_format=prompt_format,
            embedder=embedder,
            max_new_tokens=args.max_new_tokens,
            tokens_per_batch=args.tokens_per_batch,
            progress=False,
        )

    return summarise(args, folder, sweep) if ask_missing(store, arms, begin, arms_by_prompt) else None


def describe_sweep(args: InContextArguments, asked: Dataset, pool: Dataset) -> dict:
    """What all arms have in common, and what an arm's outputs depend on beside it; JSON-ready."""
    return {
        **describe_model(args.model, args.dtype),
        "asked": len(asked),
        "pool": len(pool),
        "questions": digest([asked[:], pool[:]], 16),
        "encoder": args.encoder and (fingerprint(args.encoder) or args.encoder),
        **{name: getattr(args, name) for name in ("template", "separator", "end", "max_new_tokens")},
    }


def summarise(args: InContextArguments, folder: Path, sweep: dict) -> dict:
    """All arms of the folder in one summary: JSON, table and picture."""
    results = Path(args.results or folder / "incontext")
    summary = summarise_arms(read_arms(folder))
    content = {"sweep": sweep, **summary, **run_environment()}
    write_json_atomic(results.with_name(results.name + ".json"), content)
    write_text_atomic(results.with_name(results.name + ".md"), incontext_table(summary))
    draw_accuracy(summary, results.with_name(results.name + ".png"))
    if any(arm["spread"]["runs"] for arm in summary["arms"]):
        draw_prompt_luck(summary, results.with_name(results.name + "-luck.png"))
    print(incontext_table(summary))
    return content
