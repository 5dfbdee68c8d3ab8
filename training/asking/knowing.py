"""What a model knows, what it guesses, and whether it can tell: four groups of people asked about."""

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import torch
from accelerate import PartialState
from datasets import concatenate_datasets

from closedbook.evaluation.answering.confidence import CONFIDENCES, answer_with_confidence
from closedbook.evaluation.answering.stock_models import asked_as, check_prompt
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.knowing.provenance import trace_questions
from closedbook.evaluation.knowing.summary import NUM_SAMPLES, describe_knowing, prediction_rows, summarise_knowing
from closedbook.evaluation.run_record import read_run
from closedbook.training.arguments import PopulationArguments
from closedbook.training.asking.people import DEFAULT_SPLIT, KnowingArguments, gather, recorded_flags
from closedbook.training.bases.asking import check_fit_to_ask, load_to_ask
from closedbook.training.checks.effect import people_without_effect, refuse, unread_files
from closedbook.training.checks.outputs import check_name, check_outputs
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_arguments
from closedbook.training.model_card import record_knowing
from closedbook.training.models import model_name


def main(argv: list[str]) -> None:
    print(describe_knowing(know(argv)))


@torch.no_grad()
def know(argv: list[str]) -> dict:
    """Ask, write, and return the content of knowing.json.

    Raises:
        ValueError: for a promise outside [0, 1), a group that cannot be put together, or questions that the model
            cannot take; before anything is asked.
    """
    args, people = parse(argv)
    check_together(*checks(args))
    run = read_run(args.model)
    parts = gather(args, people, run)
    model, tokenizer, prompt = load_to_ask(args.model, args.prompt, args.trust_remote_code)
    model = model.to(PartialState().device)
    groups = {"asked": parts.asked, "held_out": parts.held_out, "invented": parts.invented}
    if parts.trained is not None:
        chosen = sorted(
            Random(args.seed).sample(range(len(parts.trained)), min(args.num_trained, len(parts.trained)))
        )
        groups["trained"] = parts.trained.select(chosen)
    for group in groups.values():
        check_fit_to_ask(group, model, tokenizer, prompt)
    everything = concatenate_datasets([group.select_columns(["entity", "answers"]) for group in groups.values()])
    traces = iter(trace_questions(everything, parts.documents, parts.trained))
    rows = []
    for name, group in groups.items():
        print(f"{name}: {len(group)} questions", file=sys.stderr)
        texts, end_token = asked_as(prompt, tokenizer, group["question"][:])
        scored = answer_with_confidence(
            model,
            tokenizer,
            texts,
            num_samples=NUM_SAMPLES,
            seed=args.seed,
            batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
            end_token=end_token,
        )
        rows += prediction_rows(name, group, scored, list(islice(traces, len(group))))
    summary = {
        "model": run.last.model or model_name(model.config),
        "parameters": model.num_parameters(),
        "protocol": run.protocol,
        "recipe": run.last.recipe,
        "train_seed": run.last.seed,
        "unknown_people": len(run.last.unknown_people),
        **({} if prompt is None else {"prompt": prompt}),
        "questions": args.questions,
        "split": args.split or (DEFAULT_SPLIT if args.questions == "biographies" else None),
        "seed": args.seed,
        "held_out_people": parts.calibration,
        **summarise_knowing(rows, args.max_error_rate, args.confidence),
        **run_environment(),
    }
    folder = Path(args.output_dir or Path(args.model) / "knowing")
    write_jsonl_atomic(folder / "predictions.jsonl", rows)
    write_json_atomic(folder / "knowing.json", summary)
    record_knowing(args.model)
    return summary


def checks(args: KnowingArguments) -> list[Callable[[], object]]:
    """All that can be said of the flags before anything is read."""
    files = {"question_file": args.question_file, "train_questions": args.train_questions}
    inputs = [
        *files.items(),
        ("calibration_questions", args.calibration_questions),
        ("corpus_path", args.corpus_path),
    ]
    folder = Path(args.output_dir or Path(args.model) / "knowing")

    def check_rate() -> None:
        if not 0 <= args.max_error_rate < 1:
            raise ValueError(f"--max_error_rate must be a share from 0 to less than 1, not {args.max_error_rate}")

    def check_confidence() -> None:
        if args.confidence not in CONFIDENCES:
            raise ValueError(f"--confidence is one of {', '.join(CONFIDENCES)}, not {args.confidence!r}")

    return [
        check_rate,
        check_confidence,
        lambda: args.prompt is None or check_prompt(args.prompt),
        lambda: refuse(unread_files(args.questions, **files)),
        lambda: check_name("split", args.split or DEFAULT_SPLIT),
        lambda: check_outputs([folder / "predictions.jsonl", folder / "knowing.json"], inputs),
    ]


def parse(argv: list[str]) -> tuple[KnowingArguments, PopulationArguments]:
    """The flags, with what the model's run file records as their defaults.

    Raises:
        ValueError: for a recipe.
    """
    kinds = (KnowingArguments, PopulationArguments)
    args, typed, recipe = parse_arguments(kinds, argv)
    if recipe is not None:
        raise ValueError("knowing.py takes flags only; what was trained is read from the model's run.json")
    run = read_run(args.model)
    args, people, _ = parse_arguments(kinds, [*recorded_flags(run), *argv])
    corpora = {args.corpus, *(stage.corpus for stage in run.stages)}
    if "biographies" not in {args.questions, *corpora}:
        refuse(people_without_effect(typed, f"the questions are {args.questions}"))
    return args, people
