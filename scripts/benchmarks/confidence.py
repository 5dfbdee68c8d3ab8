"""What confidence costs: every confidence, familiarity included, against the plain answers to the same questions.

    python scripts/benchmarks/confidence.py --model outputs/vanilla --questions birth_dev.tsv --output cost.json

Without --model: random weights of the reference size. Without --questions: birth places of synthetic people.

* ours: `answer_with_confidence` of `closedbook.evaluation.answering.confidence`: the greedy answer, samples and
  beams, from which the confidences of answers follow; and `subject_features` of
  `closedbook.evaluation.knowing.familiarity`, for which every name is read once more.
* peer: `answer_questions` of `closedbook.evaluation.answering.closed_book`: the greedy answer and its probability,
  by the same decoder.

`cost` is the number to look at: how many times as long ours takes. `cpu_cost` is the same of processor time,
on which others weigh less, and `token_cost` of tokens that the model reads: below it no faster cache and no
larger batch can bring the cost where the processor is as fast with few rows as with many. Each side runs with
its own default batch size. Both must give the same answers, else the run fails. They repeat in turns in one
process, after a few questions that are not counted, and a cost is the median over turns of the two times of
one turn: on a machine that others use, too, a slow turn slows both. Peak memory comes from a process for each
side. The last line of stdout is one JSON object.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch

import closedbook.modeling  # noqa: F401  makes the architectures known to the Auto classes
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.knowing.familiarity import subject_features
from closedbook.scripts.benchmarks.answering import WARMUP_QUESTIONS, count_equal, load_model, load_rows
from closedbook.scripts.benchmarks.measure import (
    SIDES,
    AskingArguments,
    alternate,
    check_flags,
    device,
    memory_in_fresh_process,
    now,
    report,
    run_for_memory,
)
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags
from closedbook.training.hardware import own_threads


@dataclass
class ConfidenceBenchmarkArguments(AskingArguments):
    """Flags of this benchmark."""

    num_samples: int = field(default=8, metadata={"help": "samples a question"})
    num_beams: int = field(default=4, metadata={"help": "beams a question"})
    batch_size: int = field(default=32, metadata={"help": "of ours"})
    plain_batch_size: int = field(default=64, metadata={"help": "of the peer"})
    repeats: int = field(default=5, metadata={"help": "of each side; the median counts"})


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(ConfidenceBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    counts = ("num_questions", "num_samples", "num_beams", "batch_size", "plain_batch_size", "repeats")
    check_flags(args.only, **{name: getattr(args, name) for name in counts})
    torch.set_num_threads(args.num_threads or own_threads())
    rows = load_rows(args)
    questions = rows["question"][:]
    names = dict(zip(questions, rows["entity"][:], strict=True))
    model, tokenizer = load_model(args.model, questions)
    model.to(device()).eval()

    def with_confidence(asked: list[str]) -> list[str]:
        scored = answer_with_confidence(
            model,
            tokenizer,
            asked,
            num_samples=args.num_samples,
            num_beams=args.num_beams,
            batch_size=args.batch_size,
            progress=False,
        )
        asked_about = [names[question] for question in asked]
        subject_features(model, tokenizer, asked_about, end=tokenizer.mask_token)
        return [found.answer.text for found in scored]

    def plain(asked: list[str]) -> list[str]:
        answers = answer_questions(model, tokenizer, asked, batch_size=args.plain_batch_size, progress=False)
        return [answer.text for answer in answers]

    answerers = {"ours": with_confidence, "starter": plain}
    if args.only:
        return run_for_memory(partial(answerers[args.only], questions))
    answers: dict[str, list[str]] = {}
    processor_seconds: dict[str, list[float]] = {side: [] for side in SIDES}

    def measure(side: str) -> float:
        start, processor_start = now(), time.process_time()
        answers[side] = answerers[side](questions)
        processor_seconds[side].append(time.process_time() - processor_start)
        return now() - start

    for side in SIDES:
        answerers[side](questions[:WARMUP_QUESTIONS])
    tokens = {side: tokens_read(model, partial(answerers[side], questions)) for side in SIDES}
    taken = alternate({side: partial(measure, side) for side in SIDES}, args.repeats)
    equal = count_equal(questions, answers["ours"], answers["starter"])
    memory = {side: memory_in_fresh_process(__file__, argv, side) for side in SIDES}
    return report(
        "confidence",
        "seconds",
        taken,
        False,
        memory,
        args.output,
        cost=median_ratio(taken),
        cpu_cost=median_ratio(processor_seconds),
        token_cost=tokens["ours"] / tokens["starter"],
        num_questions=len(questions),
        equal_answers=equal,
        parameters=model.num_parameters(),
        settings=asdict(args) | {"precision": str(model.dtype)},
    )


def tokens_read(model: torch.nn.Module, work: Callable[[], object]) -> int:
    """Tokens that the model reads during the work, padding included."""
    numbers: list[int] = []

    def count(_: torch.nn.Module, __: tuple, named: dict) -> None:
        numbers.append(named["input_ids"].numel())

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        work()
    finally:
        hook.remove()
    return sum(numbers)


def median_ratio(taken: dict[str, list[float]]) -> float:
    """Median over the turns of what ours took, divided by what the peer took in the same turn."""
    return statistics.median(ours / peer for ours, peer in zip(taken["ours"], taken["starter"], strict=True))


if __name__ == "__main__":
    sys.exit(run_command(main))
