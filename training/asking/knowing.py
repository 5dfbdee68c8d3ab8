"""What a model knows, what it guesses, and whether it can tell: asked about people it read about and strangers."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets

from closedbook.data.questions import entity_key
from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.confidence import CONFIDENCES
from closedbook.evaluation.answering.stock_models import check_prompt
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.knowing.familiarity import COMBINED, FAMILIARITY, LEAST
from closedbook.evaluation.knowing.provenance import trace_questions
from closedbook.evaluation.knowing.self_assessment import P_TRUE
from closedbook.evaluation.knowing.subjects import question_wordings
from closedbook.evaluation.knowing.summary import describe_knowing, prediction_rows, summarise_knowing
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.training.arguments import PopulationArguments
from closedbook.training.asking.judge import PLAIN, Judge
from closedbook.training.asking.people import DEFAULT_SPLIT, Asked, KnowingArguments, gather, recorded_flags
from closedbook.training.asking.stream import (
    CHUNK,
    RECORDS,
    check_same_everywhere,
    describe_model,
    fingerprint_questions,
    of_all,
)
from closedbook.training.asking.sweep_folder import fingerprint
from closedbook.training.bases.loading import check_is_model
from closedbook.training.checks.effect import people_without_effect, refuse, unread_files
from closedbook.training.checks.outputs import check_name, check_outputs, named_again
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_arguments
from closedbook.training.finished_runs import GrowingFile, digest
from closedbook.training.hardware import process_state
from closedbook.training.keeping.lock import sole_writer
from closedbook.training.model_card import record_knowing
from closedbook.training.models import model_name
from closedbook.training.question_sets import check_asked_people

ANSWERS_FILE = "answers.jsonl"  # in parts, until all that is made of them is written
_MOST_NAMES = 1000  # that familiarity is fitted on; more tell nothing


def main(argv: list[str]) -> None:
    found = know(argv)
    if found is not None:
        print(describe_knowing(found))


@torch.no_grad()
def know(argv: list[str]) -> dict | None:
    """Ask, write, and return the content of knowing.json; None in all processes but the first.

    Raises:
        ValueError: for a promise outside [0, 1), a group that cannot be put together, or questions that the model
            cannot take; before anything is asked.
    """
    args, people = parse(argv)
    check_together(*checks(args), lambda: check_asked_people(people, args.questions))
    run, state = read_run(args.model), process_state()
    parts = gather(args, people, run)
    judges = _judges(args, parts)
    judge = next(judges)
    folder = Path(args.output_dir or Path(args.model) / "knowing")
    description = describe(args, parts, judge)
    check_same_everywhere(digest(description), "what is asked", state)
    kept = GrowingFile(folder / ANSWERS_FILE, description)
    kept.begun()
    state.wait_for_everyone()  # nothing is written before all have looked
    with sole_writer(folder) if state.is_main_process else nullcontext():
        try:
            asked = ask_groups(parts, args, judge, judges, kept, state)
        except KeyboardInterrupt:
            if state.is_main_process:
                print(f"{kept.num_rows:,} answers are kept: the same command goes on", file=sys.stderr)
            raise
        if not state.is_main_process:
            return None
        summary = conclude(args, parts, run, judge, asked, folder)
        kept.forget()
    record_knowing(args.model)
    return summary


def conclude(
    args: KnowingArguments,
    parts: Asked,
    run: Run,
    judge: Judge,
    asked: Sequence[tuple[str, str | None, Dataset, list[ScoredAnswer]]],
    folder: Path,
) -> dict:
    """Write every answer with its provenance, and what all of them say; returns the latter."""
    everything = concatenate_datasets([part.select_columns(["entity", "answers"]) for _, _, part, _ in asked])
    traces = iter(trace_questions(everything, parts.documents, parts.trained))
    rows = []
    for name, kind, part, scored in asked:
        rows += prediction_rows(name, part, scored, list(islice(traces, len(part))), kind)
    model, prompt = judge.model, judge.prompt
    wordings = question_wordings((row["question"], row["entity"]) for row in parts.trained or parts.asked)
    familiarity = {} if judge.scale is None else judge.scale.as_record()
    familiarity |= {"wordings": wordings, "base_model": args.base_model}
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
        "max_new_tokens": args.max_new_tokens,
        "held_out_people": parts.calibration,
        **({} if judge.scale is None else {"familiarity": familiarity}),
        **summarise_knowing(rows, args.max_error_rate, args.confidence, args.max_stranger_rate),
        **run_environment(),
    }
    write_jsonl_atomic(folder / "predictions.jsonl", rows)
    write_json_atomic(folder / "knowing.json", summary)
    return summary


def describe(args: KnowingArguments, parts: Asked, judge: Judge) -> dict[str, Any]:
    """All that the answers depend on; JSON-ready."""
    reads = names_read(parts.documents, [parts.asked, parts.held_out], args.seed)
    return describe_model(args.model, judge.model) | {
        "others": {name: fingerprint(name, RECORDS) for name in (*parts.folds, args.base_model) if name},
        "questions": digest([fingerprint_questions(part) for part in _all_parts(parts)], 16),
        "names": digest([reads, parts.strangers.fitted], 16),
        "prompt": judge.prompt,
        "chunk": CHUNK,
        **{name: getattr(args, name) for name in ("batch_size", "max_new_tokens", "seed", "num_trained")},
        "plainly": _is_plain(args),
        "confidences": [*CONFIDENCES, P_TRUE],
    }


def _all_parts(parts: Asked) -> list[Dataset]:
    groups = [parts.asked, parts.held_out, parts.invented, *([] if parts.trained is None else [parts.trained])]
    return [*groups, *parts.strangers.reported.values(), *parts.strangers.proving.values(), *parts.folds.values()]


def _is_plain(args: KnowingArguments) -> bool:
    """Whether those who prove a promise need no confidence but that of their greedy answers."""
    return args.confidence in (PLAIN, FAMILIARITY, COMBINED)


def _judges(args: KnowingArguments, parts: Asked) -> Iterator[Judge]:
    """The model, and those that are cross-fitted, one after the other.

    Raises:
        ValueError: where there are too few names to fit a familiarity on that is asked for.
    """
    groups = {args.model: [parts.asked] if parts.folds else [parts.asked, parts.held_out]}
    groups |= {folder: [parts.asked, part] for folder, part in parts.folds.items()}
    names = {folder: names_read(parts.documents, of_people, args.seed) for folder, of_people in groups.items()}
    fewest = min(len(parts.strangers.fitted), *map(len, names.values()))
    if fewest < LEAST:
        if args.confidence in (FAMILIARITY, COMBINED):
            raise ValueError(
                f"--confidence {args.confidence} is fitted on {LEAST} names or more that were read, of which "
                f"nobody is asked, and on as many strangers: there are {fewest}"
            )
        print("too few names of which nobody is asked: familiarity is left out", file=sys.stderr)
    for folder, titles in names.items():
        yield Judge(folder, args, *((titles, parts.strangers.fitted) if fewest >= LEAST else ((), ())))


def names_read(documents: Dataset, asked: Sequence[Dataset], seed: int) -> list[str]:
    """Titles of documents, spread over the corpus, that are no entity of any question asked."""
    busy = {entity_key(name) for part in asked for name in part["entity"][:]} | {""}
    titles = sorted({title for title in documents["title"][:] if entity_key(title) not in busy})
    return Random(f"names read {seed}").sample(titles, min(len(titles), _MOST_NAMES))


def ask_groups(
    parts: Asked,
    args: KnowingArguments,
    judge: Judge,
    others: Iterable[Judge],
    kept: GrowingFile,
    state: PartialState,
) -> list[tuple[str, str | None, Dataset, list[ScoredAnswer]]]:
    """Every group with its name, its kind (of strangers), its questions and their answers.

    Answers that `kept` has are not asked for again, and what is answered is added to it chunk by chunk. Every
    process calls this; only the first has the answers.
    """
    groups: list[tuple[str, str | None, Dataset]] = [("asked", None, parts.asked)]
    groups += [("invented", None, parts.invented)]
    if not parts.folds:
        groups.insert(1, ("held_out", None, parts.held_out))
    if parts.trained is not None:
        number = min(args.num_trained, len(parts.trained))
        chosen = sorted(Random(args.seed).sample(range(len(parts.trained)), number))
        groups.append(("trained", None, parts.trained.select(chosen)))
    groups += [("strangers", kind, part) for kind, part in parts.strangers.reported.items()]
    groups += [("held_out_strangers", kind, part) for kind, part in parts.strangers.proving.items()]
    for part in [*(part for _, _, part in groups), *parts.folds.values()]:
        judge.check(part)
    if kept.num_rows and state.is_main_process:
        print(f"going on after {kept.num_rows:,} answers", file=sys.stderr)
    plainly = ("held_out_strangers",) if _is_plain(args) else ()
    chunks = [one for name, kind, part in groups for one in _chunks(kind or name, part, name in plainly)]
    left = _ask(judge, chunks, kept, kept.num_rows, state)
    for (folder, part), other in zip(parts.folds.items(), others, strict=True):
        other.assesses = judge.assesses  # every group has the same confidences
        groups.append(("held_out", None, part))
        left = _ask(other, _chunks(f"held_out, of {folder}", part), kept, left, state)
    if not state.is_main_process:
        return []
    scored = map(ScoredAnswer.from_json, kept.rows())
    return [(name, kind, part, list(islice(scored, len(part)))) for name, kind, part in groups]


@dataclass(frozen=True)
class _Chunk:
    """Questions of one group that one process answers at once."""

    name: str
    questions: Dataset
    plainly: bool


def _chunks(name: str, part: Dataset, plainly: bool = False) -> list[_Chunk]:
    starts = range(0, len(part), CHUNK)
    return [_Chunk(name, part.select(range(at, min(at + CHUNK, len(part)))), plainly) for at in starts]


def _ask(judge: Judge, chunks: list[_Chunk], kept: GrowingFile, known: int, state: PartialState) -> int:
    """Ask a model what is not known yet; in a round every process takes a chunk, and the first writes them all.

    A chunk is what is answered together, so that an answer owes nothing to how many processes there are.

    Args:
        judge: the model.
        chunks: what it is to be asked, in the order of the file.
        kept: the file.
        known: rows of it that are answers to these chunks or to what is asked after them.
        state: which of the processes this is.

    Returns:
        How many of the known rows belong to what comes after these chunks.
    """
    begun = 0
    while begun < len(chunks) and known >= len(chunks[begun].questions):
        known -= len(chunks[begun].questions)
        begun += 1
    for first in range(begun, len(chunks), state.num_processes):
        together = chunks[first : first + state.num_processes]
        own = together[state.process_index : state.process_index + 1]
        found = [
            [asdict(row) for row in judge.answer(one.name, one.questions, plainly=one.plainly)] for one in own
        ]
        for rows in of_all(found, state):
            if state.is_main_process and rows:
                kept.append(rows[0])
    return known


def checks(args: KnowingArguments) -> list[Callable[[], object]]:
    """All that can be said of the flags before anything is read."""
    files = {"question_file": args.question_file, "train_questions": args.train_questions}
    inputs = [
        *files.items(),
        ("calibration_questions", args.calibration_questions),
        ("corpus_path", args.corpus_path),
        ("strangers_file", args.strangers_file),
    ]
    folder = Path(args.output_dir or Path(args.model) / "knowing")

    def check_rate() -> None:
        if not 0 <= args.max_error_rate < 1:
            raise ValueError(f"--max_error_rate must be a share from 0 to less than 1, not {args.max_error_rate}")

    def check_confidence() -> None:
        known = (*CONFIDENCES, FAMILIARITY, COMBINED)
        if args.confidence not in known:
            raise ValueError(f"--confidence is one of {', '.join(known)}, not {args.confidence!r}")

    def check_strangers() -> None:
        rate = args.max_stranger_rate
        if rate is not None and not 0 <= rate < 1:
            raise ValueError(f"--max_stranger_rate must be a share from 0 to less than 1, not {rate}")
        for name in ("num_strangers", "num_invented", "num_trained"):
            if getattr(args, name) < 0:
                raise ValueError(f"--{name} must be at least 0, not {getattr(args, name)}")

    def check_folds() -> None:
        if args.cross_fitted and args.calibration_questions:
            raise ValueError(
                "--cross_fitted and --calibration_questions are two ways to hold people out: choose one"
            )
        if named_again([args.model, *args.cross_fitted]):
            raise ValueError("--cross_fitted names a model twice, or the model itself: each is asked about others")
        for name in args.cross_fitted:
            if not (Path(name) / RUN_FILE).exists():
                raise ValueError(f"--cross_fitted {name} is no folder of a run: it has no {RUN_FILE}")

    return [
        lambda: check_is_model(args.model),
        check_rate,
        check_confidence,
        check_strangers,
        check_folds,
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
