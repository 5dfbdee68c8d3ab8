"""What a model knows, what it guesses, and whether it can tell: confidence, abstention and provenance.

    python scripts/knowing.py --model outputs/cs224n/held-out --questions cs224n \\
        --question_file birth_dev.tsv --split dev --train_questions birth_places_train.tsv \\
        --corpus wiki --corpus_path wiki.txt

Asks about the people of the question file, about training people kept out of training, about some who were
trained on, and about people who do not exist; with four confidences for every answer. Temperature and threshold
of abstention are fitted on the people kept out. Writes `predictions.jsonl` (every answer, with its provenance) and
`knowing.json` (the figures) into `--output_dir` (default: `<model>/knowing`). Flags that the model's run file
records (`--questions`, `--train_questions`, `--corpus`, `--num_people` ...) can be left out.
"""

import sys
from itertools import islice
from pathlib import Path
from random import Random

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # this folder's evaluate.py would stand before the library `evaluate`

import torch
from accelerate import PartialState
from datasets import concatenate_datasets

from closedbook.data.questions import check_fit
from closedbook.evaluation.confidence import answer_with_confidence
from closedbook.evaluation.knowing import NUM_SAMPLES, describe_knowing, prediction_rows, summarise_knowing
from closedbook.evaluation.provenance import trace_questions
from closedbook.evaluation.results import run_environment, write_json_atomic, write_jsonl_atomic
from closedbook.scripts.arguments import PopulationArguments
from closedbook.scripts.command_line import parse_arguments
from closedbook.scripts.knowing_arguments import DEFAULT_SPLIT, KnowingArguments, gather, recorded_flags
from closedbook.scripts.model_card import record_knowing
from closedbook.scripts.pretrain import model_name
from closedbook.scripts.run_folder import load_model_folder, read_run_file


def main(argv: list[str]) -> None:
    print(describe_knowing(know(argv)))


def know(argv: list[str]) -> dict:
    """Ask, write, and return the content of knowing.json.

    Raises:
        ValueError: for a promise outside [0, 1), a group that cannot be put together, or questions that the model
            cannot take; before anything is asked.
    """
    args, people = parse(argv)
    if not 0 <= args.max_error_rate < 1:
        raise ValueError(f"--max_error_rate must be a share from 0 to less than 1, not {args.max_error_rate}")
    run = read_run_file(args.model)
    parts = gather(args, people, run)
    model, tokenizer = load_model_folder(args.model)
    model = model.to(PartialState().device)
    groups = {"asked": parts.asked, "held_out": parts.held_out, "invented": parts.invented}
    if parts.trained is not None:
        chosen = sorted(
            Random(args.seed).sample(range(len(parts.trained)), min(args.num_trained, len(parts.trained)))
        )
        groups["trained"] = parts.trained.select(chosen)
    for group in groups.values():
        check_fit(
            group, block_size=model.config.max_position_embeddings, vocabulary=tokenizer.get_vocab(), answer_room=1
        )
    everything = concatenate_datasets([group.select_columns(["entity", "answers"]) for group in groups.values()])
    traces = iter(trace_questions(everything, parts.documents, parts.trained))
    rows = []
    for name, group in groups.items():
        print(f"{name}: {len(group)} questions", file=sys.stderr)
        scored = answer_with_confidence(
            model,
            tokenizer,
            group["question"][:],
            num_samples=NUM_SAMPLES,
            seed=args.seed,
            batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
        )
        rows += prediction_rows(name, group, scored, list(islice(traces, len(group))))
    summary = {
        "model": run.get("model", model_name(model.config)),
        "parameters": model.num_parameters(),
        "protocol": run.get("protocol", run.get("stage")),
        "recipe": run.get("recipe"),
        "train_seed": run.get("seed"),
        "unknown_people": len(run.get("unknown_people", [])),
        "questions": args.questions,
        "split": args.split or (DEFAULT_SPLIT if args.questions == "biographies" else None),
        "seed": args.seed,
        "held_out_people": parts.calibration,
        **summarise_knowing(rows, args.max_error_rate),
        **run_environment(),
    }
    folder = Path(args.output_dir or Path(args.model) / "knowing")
    write_jsonl_atomic(folder / "predictions.jsonl", rows)
    write_json_atomic(folder / "knowing.json", summary)
    record_knowing(args.model)
    return summary


def parse(argv: list[str]) -> tuple[KnowingArguments, PopulationArguments]:
    """The flags, with what the model's run file records as their defaults.

    Raises:
        ValueError: for a recipe.
    """
    kinds = (KnowingArguments, PopulationArguments)
    args, _, recipe = parse_arguments(kinds, argv)
    if recipe is not None:
        raise ValueError("knowing.py takes flags only; what was trained is read from the model's run.json")
    args, people, _ = parse_arguments(kinds, [*recorded_flags(read_run_file(args.model)), *argv])
    return args, people


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main(sys.argv[1:])
