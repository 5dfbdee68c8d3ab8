"""What confidence costs: `answer_with_confidence` against plain greedy decoding of the same questions.

    python scripts/benchmarks/confidence.py --model outputs/vanilla --questions birth_dev.tsv --output cost.json

Without --model: random weights of the reference size. Without --questions: birth places of synthetic people.

* ours: `closedbook.evaluation.confidence.answer_with_confidence`: the greedy answer, samples and beams, from which
  all four confidences follow.
* peer: `closedbook.evaluation.answering.answer_questions`: the greedy answer and its probability, by the library's
  own `generate`.

`cost` is the number to look at: how many times as long ours takes. The target is less than 3. Each side runs with
its own default batch size. Both must give the same answers, else the run fails. They repeat in turns in one
process, after a few questions that are not counted, and `cost` is the median over turns of the two times of one
turn: on a machine that others use, too, a slow turn slows both. `cpu_cost` is the same of processor time, on which
others weigh less. Peak memory comes from a process for each side. The last line of stdout is one JSON object.
"""

import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch

import closedbook.modeling  # noqa: F401  makes the architectures known to the Auto classes
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.environment import check_recordable
from closedbook.scripts.benchmarks.answering import WARMUP_QUESTIONS, count_equal, load_model, load_questions
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
    torch.set_num_threads(args.num_threads or os.cpu_count() or 1)
    questions = load_questions(args)
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
        num_questions=len(questions),
        equal_answers=equal,
        parameters=model.num_parameters(),
        settings=asdict(args) | {"precision": str(model.dtype)},
    )


def median_ratio(taken: dict[str, list[float]]) -> float:
    """Median over the turns of what ours took, divided by what the peer took in the same turn."""
    return statistics.median(ours / peer for ours, peer in zip(taken["ours"], taken["starter"], strict=True))


if __name__ == "__main__":
    sys.exit(run_command(main))
