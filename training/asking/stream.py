"""Any number of questions asked in a stream: chunk by chunk, kept as they come, by any number of processes.

A chunk is the unit of everything. Its questions are sorted by length and put into batches among themselves,
so that an answer owes nothing to how many processes there are or where a run was stopped. In a round every
process takes a chunk; where fewer are left than there are processes, they share each chunk batch by batch.
The first process writes what the round brought before the next one begins: a run that is killed loses a
round, and memory is that of one.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.question_columns import BLOCK, question_blocks, rows_of
from closedbook.evaluation.answering.answers import Answer
from closedbook.evaluation.answering.batches import prompt_batches
from closedbook.evaluation.answering.closed_book import answer_batches
from closedbook.evaluation.answering.stock_models import asked_as
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.run_record import RUN_FILE
from closedbook.training.asking.sweep_folder import fingerprint
from closedbook.training.bases.loading import context_length
from closedbook.training.finished_runs import GrowingFile
from closedbook.training.keeping.manifest import MANIFEST_FILE
from closedbook.training.model_card import EVALUATIONS_FILE

CHUNK = 4096  # questions; padding costs little with this many, and an hour's work is never lost with fewer

# What runs write into a model's folder that no model is read from.
RECORDS = (RUN_FILE, EVALUATIONS_FILE, MANIFEST_FILE)

Rows = list[dict[str, Any]]
# Asks every n-th batch of some questions, beginning with number i, given (i, n): answers by number of the
# question.
AskShare = Callable[[Dataset, tuple[int, int], Callable[[int], object]], Mapping[int, Any]]


class Asker:
    """A model ready to be asked chunk after chunk, in the same way whichever it is asked first.

    Args:
        model, tokenizer: on the device where it is to be asked.
        prompt: as for `asked_as`.
        batch_size, max_new_tokens: as for `answer_questions`.
        asked: all questions that are to come.

    Raises:
        ValueError: as `answer_questions` does, for the arguments and for the first questions.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str | None,
        batch_size: int,
        max_new_tokens: int,
        asked: Dataset,
    ) -> None:
        self.model, self.prompt = model, prompt
        self.settings = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
        self._tokenizer = tokenizer
        first, self._end = self._texts(asked.select(range(min(CHUNK, len(asked)))))
        # What a model can do is tried once for all chunks, on the same questions wherever a run begins.
        longest, _ = self._texts(asked.select([_place_of_longest(asked)]))
        trial = first if longest[0] in first else [*first, *longest]
        self._ends, _ = prompt_batches(model, tokenizer, trial, batch_size, max_new_tokens, self._end)
        room = context_length(model)  # beyond which no answer goes, as was said just now, and need not be again
        self._most = max_new_tokens if room is None else min(max_new_tokens, room)

    def ask(
        self, questions: Dataset, share: tuple[int, int], answered: Callable[[int], object]
    ) -> dict[int, Answer]:
        """The answers to a share of a chunk, as `answer_batches` gives them."""
        return answer_batches(
            self.model,
            self._tokenizer,
            self._texts(questions)[0],
            batch_size=self.settings["batch_size"],
            max_new_tokens=self._most,
            answered=answered,
            end_token=self._end,
            ends=self._ends,
            share=share,
        )

    def _texts(self, questions: Dataset) -> tuple[list[str], str | None]:
        return asked_as(self.prompt, self._tokenizer, questions["question"][:])


def _place_of_longest(asked: Dataset) -> int:
    longest = place = 0
    for number, block in enumerate(question_blocks(asked, ["question"])):
        length, inside = max((len(text), -row) for row, text in enumerate(block["question"]))
        if length > longest:
            longest, place = length, number * BLOCK - inside
    return place


def describe_asking(name: str, asker: Asker, asked: Dataset, state: PartialState) -> dict[str, Any]:
    """All that answers depend on; JSON-ready.

    Args:
        name: of the model: a folder, or on the Hub.
        asker: of the model.
        asked: all questions.
        state: which of the processes this is.

    Raises:
        ValueError: if another process has read other questions.
    """
    questions = fingerprint_questions(asked)
    check_same_everywhere(questions, "what is asked", state)
    return describe_model(name, asker.model) | {
        "asked": len(asked),
        "questions": questions,
        "prompt": asker.prompt,
        "chunk": CHUNK,
        **asker.settings,
    }


def describe_model(name: str, model: PreTrainedModel) -> dict[str, Any]:
    """What answers owe to a model as it was loaded: which one, and what it is computed in and with."""
    versions = run_environment()["versions"]
    return {
        "model": name,
        "weights": fingerprint(name, RECORDS) or getattr(model.config, "_commit_hash", None),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "versions": {package: versions[package] for package in ("torch", "transformers", "closedbook")},
    }


def ask_in_rounds(
    asked: Dataset,
    file: GrowingFile,
    ask: AskShare,
    make_rows: Callable[[Rows, list[Any]], Rows],
    state: PartialState,
    wrote: Callable[[Rows], object],
    chunk_size: int | None = None,
    unit: str = "question",
) -> None:
    """Ask what `file` has no rows of yet, and add them.

    Every process calls this; the first writes, and shows how far it is and how long the rest may take.

    Args:
        asked: all questions.
        file: where the rows belong; `begun` was called, and the number of rows is one of whole chunks, or of all.
        ask: asks a share of a chunk, and calls what it is given with the number of questions after each batch.
        make_rows: of the rows of a chunk and its answers.
        state: which of the processes this is.
        wrote: called by the first process with the rows of every chunk that is written.
        chunk_size: questions a chunk, `CHUNK` by default; the description of the file has to say it.
        unit: what is asked, in a word for the progress.
    """
    begun, chunk_size = file.num_rows, chunk_size or CHUNK
    starts = range(begun, len(asked), chunk_size)
    with _Progress(begun, len(asked), unit, state.is_main_process) as progress:
        for first in range(0, len(starts), state.num_processes):
            chunks = [
                asked.select(range(start, min(start + chunk_size, len(asked))))
                for start in starts[first : first + state.num_processes]
            ]
            together = len(chunks) < state.num_processes  # on every chunk of the round
            mine = (
                [(chunk, (state.process_index, state.num_processes)) for chunk in chunks]
                if together
                else [(chunks[state.process_index], (0, 1))]
            )
            found = [ask(chunk, share, lambda n: progress.asked(n * state.num_processes)) for chunk, share in mine]
            everybody = of_all(found, state)
            if state.is_main_process:
                for place, chunk in enumerate(chunks):
                    parts = [own[place] for own in everybody] if together else [everybody[place][0]]
                    answers = {row: answer for part in parts for row, answer in part.items()}
                    rows = make_rows(list(rows_of(chunk)), [answers[row] for row in range(len(chunk))])
                    file.append(rows)
                    wrote(rows)
                progress.wrote(file.num_rows)


def of_all(found: list[Any], state: PartialState) -> list[list[Any]]:
    """What every process found, in their order."""
    return [found] if state.num_processes == 1 else gather_object([found])


def fingerprint_questions(questions: Dataset) -> str:
    """Sixteen digits of a hash of all that is asked and accepted, in its order."""
    digest = hashlib.sha256()
    for block in question_blocks(questions, questions.column_names):
        for name, values in block.items():
            digest.update(json.dumps([name, values]).encode())
    return digest.hexdigest()[:16]


def check_same_everywhere(fingerprint: str, what: str, state: PartialState) -> None:
    """Refuse a file that is another one to another process: it was changed while they began.

    Raises:
        ValueError: in every process.
    """
    if state.num_processes > 1 and len(set(gather_object([fingerprint]))) > 1:
        raise ValueError(
            f"{what} changed while the processes read it: wait until nobody writes to it, and start again"
        )


class _Progress:
    """How many questions (or what else is asked) are answered, and how long the others may take: a bar on
    stderr."""

    def __init__(self, begun: int, total: int, unit: str, shown: bool) -> None:
        self._begun, self._total = begun, total
        self._unit, self._shown = unit, shown
        self._chunks: list[tuple[int, float]] = []  # questions written, and when

    def __enter__(self) -> "_Progress":
        if self._begun and self._shown:
            print(f"going on after {self._begun:,} of {self._total:,} {self._unit}s", file=sys.stderr)
        self._chunks = [(self._begun, time.monotonic())]
        self._bar = tqdm(
            total=self._total,
            initial=self._begun,
            unit=self._unit,
            disable=not self._shown,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} [{elapsed}, {rate_fmt}{postfix}]",
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        if kind is KeyboardInterrupt and self._shown:
            kept = f"{self._chunks[-1][0]:,} of {self._total:,} {self._unit}s are kept"
            print(f"{kept}: the same command goes on after them", file=sys.stderr)

    def asked(self, number: int) -> None:
        """So many more questions are answered by all processes, as far as one of them knows of the others."""
        self._bar.update(min(number, self._total - self._bar.n))

    def wrote(self, number: int) -> None:
        """So many questions are written, those of former runs included."""
        self._chunks.append((number, time.monotonic()))
        self._bar.n = number
        self._bar.set_postfix_str(time_left(self._chunks, self._total))


def time_left(written: Sequence[tuple[int, float]], total: int) -> str:
    """How long the questions that are left may take, in words, from how long those before took.

    A range: at the pace of the fastest tenth of the chunks, and at that of the slowest. The questions of a
    file are rarely alike, and one figure from a few chunks, or from the last batch, would promise what nobody
    knows.

    Args:
        written: how many questions were written and when, in seconds, from the beginning of this run on.
        total: questions.

    Returns:
        Such as "12 to 15 min left"; nothing at the end.
    """
    left = total - written[-1][0]
    paces = [
        (later - earlier) / (more - fewer)
        for (fewer, earlier), (more, later) in zip(written, islice(written, 1, None), strict=False)
        if more > fewer
    ]
    if not left or not paces:
        return ""
    low, high = (left * float(np.quantile(paces, share)) for share in (0.1, 0.9))
    unit, seconds = next((name, size) for name, size in _UNITS if high >= 2 * size or size == 1)
    fewest, most = round(low / seconds), max(1, round(high / seconds))
    span = f"about {most}" if fewest >= most else f"{fewest} to {most}"
    return f"{span} {unit} left"


_UNITS = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
