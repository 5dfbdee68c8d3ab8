"""Answering speed and memory: `answer_questions` against one question at a time without a cache.

    python scripts/benchmarks/answering.py --model outputs/vanilla --questions birth_dev.tsv --output speed.json

Without --model: random weights of the reference size. Without --questions: birth places of synthetic people.

* ours: `closedbook.evaluation.answering.answer_questions`: batches, a cache, stops when all answers ended.
* peer: greedy decoding as the sampling code of CS224N assignment 5 does it: one question at a time, always 32
  new characters, each from a full pass over the whole text so far, and the answer is cut at the mask character
  afterwards. It runs on the same transformers model (not on the starter's), so that weights are equal.

The number is seconds for all questions, encoding and decoding of text included. Both must give the same
answers, else the run fails. Both repeat in turns in one process, after a few questions that are not counted.
Peak memory comes from a process for each side. The last line of stdout is one JSON object.
"""

import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

import closedbook.modeling  # noqa: F401  makes the architectures known to the Auto classes
from closedbook.data.people.biographies import biography_questions
from closedbook.data.people.population import Population
from closedbook.data.questions import load_question_file
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.stock_models import from_pretrained
from closedbook.evaluation.environment import check_recordable
from closedbook.modeling.tokenization_char import build_char_tokenizer
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
from closedbook.training.arguments import ModelArguments, RegularisationArguments
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags
from closedbook.training.hardware import own_threads
from closedbook.training.models import build_model

NEW_CHARACTERS = 32  # the course's
WARMUP_QUESTIONS = 4


@dataclass
class AnsweringBenchmarkArguments(AskingArguments):
    """Flags of this benchmark."""

    batch_size: int = field(default=64, metadata={"help": "of ours"})


def load_rows(args: AskingArguments) -> Dataset:
    """The first `num_questions` questions of the file, or that many about synthetic people."""
    if args.questions is None:
        return biography_questions(Population(args.num_questions))
    rows = load_question_file(args.questions, on_conflict="keep")
    return rows.select(range(min(args.num_questions, len(rows))))


def load_model(folder: str | None, questions: list[str]):
    """The trained model and its tokenizer, or random weights and a tokenizer that can read `questions`.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if folder is None:
        set_seed(0)
        printable = [chr(code) for code in range(32, 286)]  # 254 characters and two special ones: 256
        tokenizer = build_char_tokenizer([*questions, *printable])
        return build_model(ModelArguments(), RegularisationArguments(), len(tokenizer)), tokenizer
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"--model: there is no folder {folder}")
    remedy = "This benchmark runs none: give a model of this package or of transformers"
    return tuple(from_pretrained(kind, folder, remedy=remedy) for kind in (AutoModelForCausalLM, AutoTokenizer))


def answer_in_batches(model, tokenizer, questions: list[str], batch_size: int) -> list[str]:
    """Ours."""
    answers = answer_questions(
        model, tokenizer, questions, batch_size=batch_size, max_new_tokens=NEW_CHARACTERS, progress=False
    )
    return [answer.text for answer in answers]


@torch.no_grad()
def answer_one_by_one(model, tokenizer, questions: list[str]) -> list[str]:
    """The peer."""
    block_size = model.config.max_position_embeddings
    answers = []
    for question in questions:
        prompt = tokenizer.encode(question + tokenizer.mask_token, add_special_tokens=False)
        ids = torch.tensor([prompt], device=model.device)
        for _ in range(NEW_CHARACTERS):
            logits = model(ids[:, -block_size:], use_cache=False).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        # Past the block the starter forgets the question's beginning and ours stops: compare up to there.
        new = ids[0, len(prompt) : block_size].tolist()
        text = tokenizer.decode(new, clean_up_tokenization_spaces=False)
        answers.append(text.split(tokenizer.mask_token)[0])
    return answers


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(AnsweringBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_flags(args.only, num_questions=args.num_questions, batch_size=args.batch_size, repeats=args.repeats)
    torch.set_num_threads(args.num_threads or own_threads())
    questions = load_rows(args)["question"][:]
    model, tokenizer = load_model(args.model, questions)
    model.to(device()).eval()
    answerers = {
        "ours": partial(answer_in_batches, model, tokenizer, batch_size=args.batch_size),
        "starter": partial(answer_one_by_one, model, tokenizer),
    }
    if args.only:
        return run_for_memory(partial(answerers[args.only], questions))
    answers = {}

    def measure(side: str) -> float:
        start = now()
        answers[side] = answerers[side](questions)
        return now() - start

    for side in SIDES:
        answerers[side](questions[:WARMUP_QUESTIONS])
    taken = alternate({side: partial(measure, side) for side in SIDES}, args.repeats)
    equal = count_equal(questions, answers["ours"], answers["starter"])
    memory = {side: memory_in_fresh_process(__file__, argv, side) for side in SIDES}
    return report(
        "answering",
        "seconds",
        taken,
        False,
        memory,
        args.output,
        num_questions=len(questions),
        equal_answers=equal,
        parameters=model.num_parameters(),
        settings=asdict(args) | {"new_characters": NEW_CHARACTERS, "precision": str(model.dtype)},
    )


def count_equal(questions: list[str], ours: list[str], peer: list[str]) -> int:
    """How many answers are equal, which must be all: two speeds at different work cannot be compared.

    Raises:
        RuntimeError: showing the first pair that differs.
    """
    different = [row for row in range(len(questions)) if ours[row] != peer[row]]
    if different:
        row = different[0]
        raise RuntimeError(
            f"{len(different)} of {len(questions)} answers differ, first to {questions[row]!r}: "
            f"{ours[row]!r} (ours), {peer[row]!r} (peer)"
        )
    return len(questions)


if __name__ == "__main__":
    sys.exit(run_command(main))
