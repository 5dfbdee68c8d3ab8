"""Train and ask one arm of the laboratory's chain of thought.

An arm's folder is named by all that shapes its result, and holds `model`, `answers.jsonl` and `result.json`, its
record: an arm that has one is never run again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from closedbook.data.generated.word_problems import ALPHABET, ANSWER_STYLES, WordProblem, WordProblems
from closedbook.data.mixture import Component
from closedbook.data.objectives.table import question_answering
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import read_json_objects, write_jsonl_atomic
from closedbook.evaluation.laboratory.reasoning import baseline_rows, grade
from closedbook.evaluation.run_record import Run, Stage
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.arguments import ClosedbookTrainingArguments, ModelArguments, RegularisationArguments
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.command_line import as_flags, parse_arguments, recipe_name
from closedbook.training.finished_runs import RunFolder, digest
from closedbook.training.models import build_model, model_name
from closedbook.training.trainer import RECORDED_ARGUMENTS, prepare_run, train

SPARE_TOKENS = 16  # beyond the longest right answer: room for a step too many, so that it is seen as such
BASELINE_PROBLEMS = 20_000  # from which the guessers learn
ASK_BATCH = 100


@dataclass
class ReasoningArguments:
    """What is taught and asked."""

    arms: list[str] = field(
        default_factory=lambda: [*ANSWER_STYLES],
        metadata={"help": "how answers are taught: direct, worked, filler"},
    )
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "one run each of every arm"})
    trained_steps: list[int] = field(
        default_factory=lambda: [1, 2, 3, 4], metadata={"help": "numbers of steps of the training problems"}
    )
    asked_steps: list[int] = field(
        default_factory=lambda: [1, 2, 3, 4, 5, 6, 7, 8], metadata={"help": "of the problems asked afterwards"}
    )
    most_sentences: int = field(
        default=8,
        metadata={"help": "steps and asides of a problem together, at most"},
    )
    problems_each: int = field(default=200, metadata={"help": "problems asked of each number of steps, a seed"})
    train_characters: int = field(
        default=1_000_000, metadata={"help": "characters read by every arm, questions and answers together"}
    )
    results: str = field(default="results", metadata={"help": "folder for the results"})
    quick: bool = field(default=False, metadata={"help": "a few steps of tiny models: tests the machinery only"})


ARGUMENTS = (ReasoningArguments, ModelArguments, RegularisationArguments, ClosedbookTrainingArguments)


def run_arm(style: str, seed: int, flags: Sequence[str], models: Path) -> dict[str, Any]:
    """Train a model on problems answered in one style and ask it others.

    Returns what `result.json` holds, and `rows`, one a question (see `grade`).

    Args:
        style: a key of `ANSWER_STYLES`.
        seed: of the run; its problems are other ones, too.
        flags: of the whole figure, the recipe among them.
        models: folder of the arms' folders.
    """
    flags = [*flags, "--seed", str(seed)]
    settings, sizes, regularisation, args, _ = parse_arguments(ARGUMENTS, flags)
    shaping = {"style": style, "seed": seed} | asdict(sizes) | asdict(regularisation)
    shaping |= {name: getattr(args, name) for name in RECORDED_ARGUMENTS} | {"bf16": args.bf16}
    names = ("trained_steps", "asked_steps", "most_sentences", "problems_each", "train_characters")
    shaping |= {name: getattr(settings, name) for name in names}
    folder = models / f"{style}-s{seed}-{digest(shaping)}"
    store = RunFolder(folder, shaping, folder / "result.json", key="settings")
    result, answers_path = store.finished(), folder / "answers.jsonl"
    if result is None:
        count = settings.problems_each * len(settings.asked_steps)
        asked = list(WordProblems(seed, count, settings.asked_steps, "test", settings.most_sentences))
        room = room_needed(asked, style, sizes)
        run = store.stage("model", lambda where: teach(style, flags, where))
        model, tokenizer = load_model_folder(folder / "model")
        write_jsonl_atomic(answers_path, ask(model, tokenizer, asked, style, room))
        training = WordProblems(seed, BASELINE_PROBLEMS, settings.trained_steps, "training")
        kept = ("parameters", "steps", "train_characters", "train_seconds", "train_problems", "eval_loss")
        result = {"arm": {"style": style, "seed": seed}} | {name: getattr(run.last, name) for name in kept}
        result |= {"trained_steps": settings.trained_steps, "baselines": baseline_rows(list(training), asked)}
        result = store.finish(result | {"settings": shaping} | run_environment())
    return result | {"rows": read_json_objects(answers_path)}


def taught_records(style: str, seed: int, settings: ReasoningArguments, block_size: int) -> list[dict]:
    """Training questions, each another one, until their examples have `train_characters` characters.

    Raises:
        ValueError: if one does not fit into the block.
    """
    budget = settings.train_characters
    endless = WordProblems(seed, budget, settings.trained_steps, "training", settings.most_sentences)
    records, characters = [], 0
    for problem in endless:
        record = {"question": problem.question, "answers": [ANSWER_STYLES[style](problem)]}
        characters += len(question_answering(record, Random(0), block_size).text)
        if characters > budget:
            return records
        records.append(record)
    return records


def teach(style: str, flags: Sequence[str], where: dict[str, Any]) -> Run:
    """Train one model from scratch, as `pretrain.py` does, `where` being the settings of its folder.

    Every problem is read once. The batch has the same number of problems whatever the style, so an arm with
    shorter answers gets more problems and more steps for its characters.

    Raises:
        ValueError: if the characters do not make one batch, or a problem does not fit into the block.
    """
    settings, sizes, regularisation, args, recipe = parse_arguments(ARGUMENTS, [*flags, *as_flags(where)])
    checkpoint = prepare_run(args)
    records = taught_records(style, args.seed, settings, sizes.block_size)
    if len(records) < args.global_batch_size:
        raise ValueError(
            f"train_characters {settings.train_characters} hold {len(records)} problems, not one batch of "
            f"{args.global_batch_size}; raise it"
        )
    tokenizer = build_char_tokenizer(ALPHABET, model_max_length=sizes.block_size)
    model = build_model(sizes, regularisation, len(tokenizer))
    return train(
        model,
        tokenizer,
        [Component("word problems", records, "question_answering")],
        len(records) // args.global_batch_size,
        args,
        checkpoint,
        Stage(
            stage="pretrain",
            model=model_name(model.config),
            recipe=recipe_name(recipe),
            corpus="word problems",
            train_problems=len(records),
            arguments=asdict(sizes) | asdict(regularisation) | asdict(settings) | {"style": style},
        ),
    )


def room_needed(problems: Sequence[WordProblem], style: str, sizes: ModelArguments) -> tuple[int, int]:
    """Tokens that an answer may take, and those of the longest question and answer together.

    Raises:
        ValueError: if those do not fit into the block and positions are learned: beyond it there are none.
    """
    new_tokens = max(len(ANSWER_STYLES[style](problem)) for problem in problems) + SPARE_TOKENS
    needed = max(len(problem.question) for problem in problems) + 1 + new_tokens
    if needed > sizes.block_size and sizes.position != "rotary":
        raise ValueError(
            f"the problems asked take up to {needed} characters with their answers, the block holds "
            f"{sizes.block_size}: raise block_size and row_length, or take position rotary"
        )
    return new_tokens, needed


def ask(model, tokenizer, problems: Sequence[WordProblem], style: str, room: tuple[int, int]) -> list[dict]:
    """One row a problem (see `grade`); `room` as `room_needed` gives it."""
    new_tokens, needed = room
    # a limit only: rotary positions have no table
    model.config.max_position_embeddings = max(needed, model.config.max_position_embeddings)
    questions = [problem.question for problem in problems]
    answers = answer_questions(
        model, tokenizer, questions, batch_size=ASK_BATCH, max_new_tokens=new_tokens, progress=False
    )
    return [grade(problem, answer, style == "worked") for problem, answer in zip(problems, answers, strict=True)]
