"""One question, one reply: the answer or "I don't know", how sure, where from, and what else it might be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from threading import Lock
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset

from closedbook.data.writing.question_form import QuestionForm
from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.confidence import OF_SAMPLES, answer_with_confidence
from closedbook.evaluation.answering.continuations import score_tokens
from closedbook.evaluation.answering.stock_models import asked_as
from closedbook.evaluation.attention.maps import attention_maps
from closedbook.evaluation.files import read_json_object
from closedbook.evaluation.knowing.familiarity import (
    COMBINED,
    FAMILIARITY,
    FamiliarityScale,
    read_scale,
    with_familiarity,
)
from closedbook.evaluation.knowing.subjects import find_subject
from closedbook.evaluation.knowing.summary import NUM_SAMPLES, is_refusal
from closedbook.training.bases.acquaintance import Acquaintance
from closedbook.training.bases.asking import check_fit_to_ask, load_to_ask
from closedbook.training.hardware import own_device
from closedbook.training.page.sources import UNKNOWN, Documents, Origin

DONT_KNOW = "I don't know"
MOST_SAID = 300  # characters of a line that says why a question was not asked
MAX_NEW_TOKENS = 32  # more than any answer that was taught; characters, in models of ours
LONGEST = 2000  # characters of a question that are looked at; what is longer is told of and not read


@dataclass(frozen=True)
class Promise:
    """From which confidence on answers are given, and what that promises.

    Attributes:
        confidence: name of the confidence that is compared.
        threshold: answers are given from here on; None: none is.
        told: one sentence on it, with what to do where nothing was promised yet.
        made: whether `knowing.py` chose the threshold.
        familiarity: what turns the probability of a name into that of having read about it; None: it is not known.
        wordings: of questions, to find the name in.
        base_model: beyond which it is measured.
        prompt: as the questions were put that prove it; None: parted from the answer by a mask token.
        max_new_tokens: longest answer that was given then.
    """

    confidence: str = "sequence_probability"
    threshold: float | None = 0.0
    told: str = ""
    made: bool = False
    familiarity: FamiliarityScale | None = None
    wordings: tuple[tuple[str, str], ...] = ()
    base_model: str | None = None
    prompt: str | None = None
    max_new_tokens: int = MAX_NEW_TOKENS


@dataclass(frozen=True)
class Reply:
    """What a question got.

    Attributes:
        question: as it was asked.
        problem: why the model was not asked, in one line; "" where it was. Everything below is empty then.
        answer: what the model says, whether it is given or not.
        given: whether the answer is given; else the reply is `DONT_KNOW`.
        confidence: in [0, 1], by the name that the promise has.
        subject: whom or what it is about, as far as can be told; "" where nobody asked.
        familiarity: how probably the model has read about it, in [0, 1]; None where that is not known.
        candidates: answers and their probabilities, the most probable first.
        tokens: of the answer and its end, with their probabilities.
        reads: tokens of the prompt, with the share of attention that the last of them pays to each, the mean over
            heads and layers; empty for models without such weights.
        origin: where the answer can come from.
    """

    question: str
    problem: str = ""
    answer: str = ""
    given: bool = False
    confidence: float = 0.0
    subject: str = ""
    familiarity: float | None = None
    candidates: tuple[tuple[str, float], ...] = ()
    tokens: tuple[tuple[str, float], ...] = ()
    reads: tuple[tuple[str, float], ...] = ()
    origin: Origin = field(default_factory=lambda: Origin(UNKNOWN, ""))

    @property
    def shown(self) -> str:
        """What a reader sees first."""
        return self.problem or (self.answer if self.given else DONT_KNOW)


def read_promise(model: str, threshold: float | None = None) -> Promise:
    """The threshold that `knowing.py` proved for a model, or one that is given.

    Args:
        model: folder or name of the model.
        threshold: given from this confidence on, with no promise.

    Raises:
        ValueError: for a threshold outside [0, 1], or a damaged record.
    """
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"--threshold is a confidence in [0, 1], not {threshold}")
        return Promise(
            threshold=threshold, told=f"answers are given from a confidence of {threshold:g} on, as asked"
        )
    path = Path(model) / "knowing" / "knowing.json"
    if not path.exists():
        return Promise(
            told="no threshold is known, so every answer is given: measure one with "
            f"python scripts/knowing.py --model {Path(model).name if Path(model).is_absolute() else model}"
        )
    found = read_json_object(path)
    try:
        abstention = found["abstention"]
        promise = Promise(
            found["confidence"],
            abstention["threshold"],
            abstention["explanation"],
            made=True,
            prompt=found.get("prompt"),
            max_new_tokens=found.get("max_new_tokens", MAX_NEW_TOKENS),
        )
        if (known := found.get("familiarity")) is None:
            if promise.confidence in (FAMILIARITY, COMBINED):
                raise KeyError("familiarity")
            return promise
        wordings = tuple((before, behind) for before, behind in known["wordings"])
        return replace(promise, familiarity=read_scale(known), wordings=wordings, base_model=known["base_model"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is no record of knowing.py ({what}); run it again") from error


def promise_record(promise: Promise) -> dict[str, Any]:
    """What `read_promise` reads, without the rest of what `knowing.py` found."""
    abstention = {"threshold": promise.threshold, "explanation": promise.told}
    record: dict[str, Any] = {"confidence": promise.confidence, "abstention": abstention}
    record |= {"prompt": promise.prompt, "max_new_tokens": promise.max_new_tokens}
    if promise.familiarity is not None:
        more = {"wordings": promise.wordings, "base_model": promise.base_model}
        record["familiarity"] = promise.familiarity.as_record() | more
    return record


class Asker:
    """A model that is asked again and again, by one person at a time.

    Args:
        model: folder of a run, of an adapter or of any causal language model, or a name on the Hub.
        promise: from which confidence on it answers.
        documents: what it read, mappings with `title` and `text`; None: nothing is looked up.
        prompt: with `{question}` in it, or `chat`; None for the way in which the promise was proven, or it was
            taught. Asked in another way, or with longer answers, it promises nothing.
        trust_remote_code: whether code that a stock model brings along may run.
        max_new_tokens: longest answer; None: as for the promise.
        name: as it is called on a page; default: that of its folder.

    Raises:
        ValueError: as `load_to_ask`.
    """

    def __init__(
        self,
        model: str,
        promise: Promise,
        documents: Sequence[Any] | None = None,
        prompt: str | None = None,
        trust_remote_code: bool = False,
        max_new_tokens: int | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or Path(model).resolve().name
        chosen = promise.prompt if prompt is None else prompt
        loaded, self._tokenizer, self._prompt = load_to_ask(model, chosen, trust_remote_code)
        self._max_new_tokens = promise.max_new_tokens if max_new_tokens is None else max_new_tokens
        self.promise = promise
        if promise.made and (self._prompt, self._max_new_tokens) != (promise.prompt, promise.max_new_tokens):
            self.promise = Promise(
                told="what was promised was proven on questions put in another way, or on answers of another "
                "length: nothing is promised now, and every answer is given"
            )
        self._model = loaded.to(own_device(PartialState()))
        self._acquaintance = Acquaintance(
            self._model, self._tokenizer, self._prompt, self.promise.base_model, trust_remote_code
        )
        self._documents = None if documents is None else Documents(documents)
        self._lock = Lock()  # attention is read with other kernels, which a second thread would meet

    @torch.no_grad()
    def reply(self, question: str) -> Reply:
        """Ask one question; never raises for what a person may type."""
        asked = question.strip()
        if problem := self._problem(asked):
            return Reply(question, problem)
        with self._lock:
            (scored,) = self._answer([asked])
            tokens = self._tokens(asked, scored)
            reads = self._reads(asked)
        return self._reply(asked, scored, tokens, reads)

    def replies(self, questions: Sequence[str], batch_size: int = 32) -> list[Reply]:
        """Ask many questions in batches; without tokens and attention."""
        asked = [question.strip() for question in questions]
        found = [Reply(question, self._problem(question)) for question in asked]
        rows = [row for row, reply in enumerate(found) if not reply.problem]
        with self._lock:
            scored = self._answer([asked[row] for row in rows], batch_size)
        for row, answer in zip(rows, scored, strict=True):
            found[row] = self._reply(asked[row], answer, (), ())
        return found

    def _problem(self, question: str) -> str:
        """Why a question is not asked; "" where it can be."""
        if not question:
            return "There is no question: type one."
        if len(question) > LONGEST:
            return (
                f"This question has {len(question):,} characters; at most {LONGEST:,} are read. Ask a shorter one."
            )
        try:
            row = Dataset.from_dict({"question": [question], "answers": [[]]})
            check_fit_to_ask(row, self._model, self._tokenizer, self._prompt)
        except ValueError as error:
            why = str(error).rpartition("\n- ")[2]  # of a list of complaints, the only one
            return shorten(f"The model cannot read this: {why}", MOST_SAID, placeholder=" ...")
        return ""

    def _answer(self, questions: list[str], batch_size: int = 1) -> list[ScoredAnswer]:
        if not questions:
            return []
        texts, end_token = asked_as(self._prompt, self._tokenizer, questions)
        scored = answer_with_confidence(
            self._model,
            self._tokenizer,
            texts,
            num_samples=NUM_SAMPLES if self.promise.confidence in OF_SAMPLES else 1,
            batch_size=batch_size,
            max_new_tokens=self._max_new_tokens,
            progress=False,
            end_token=end_token,
        )
        scale = self.promise.familiarity
        if scale is None:
            return scored
        features = self._acquaintance.features([self._subject(question) for question in questions])
        known = scale.apply(features).tolist()
        return [with_familiarity(found, share) for found, share in zip(scored, known, strict=True)]

    def _subject(self, question: str) -> str:
        return find_subject(question, self.promise.wordings)

    def _read(self, question: str) -> str:
        """What the model reads before it answers."""
        (read,), _ = asked_as(self._prompt, self._tokenizer, [question])
        return read if self._prompt is not None else read + self._tokenizer.mask_token

    def _tokens(self, question: str, scored: ScoredAnswer) -> tuple[tuple[str, float], ...]:
        text = scored.answer.text
        if not text:
            return ()
        written = text + self._tokenizer.mask_token if scored.answer.complete else text
        if self._prompt is not None:
            written = QuestionForm(self._prompt, self._tokenizer).predicted(text)
        scores = score_tokens(
            self._model,
            self._tokenizer,
            self._read(question),
            written,
            special_tokens=self._prompt is not None,
        )
        return tuple((token.text, math.exp(token.log_probability)) for token in scores)

    def _reads(self, question: str) -> tuple[tuple[str, float], ...]:
        try:
            maps = attention_maps(self._model, self._tokenizer, self._read(question))
        except (ValueError, TypeError, AttributeError):  # an architecture without weights over tokens
            return ()
        maps = [found for found in maps if found.over_tokens]
        if not maps:
            return ()
        weights = torch.stack([found.weights.mean(0)[-1] for found in maps]).mean(0)
        labels = self._tokenizer.convert_tokens_to_string
        return tuple(
            (labels([token]) or token, float(w)) for token, w in zip(maps[0].key_labels, weights, strict=True)
        )

    def _reply(self, question: str, scored: ScoredAnswer, tokens: Any, reads: Any) -> Reply:
        answer = scored.answer.text
        confidence = min(1.0, scored.confidences[self.promise.confidence])
        threshold = self.promise.threshold
        origin = Origin(UNKNOWN, "") if self._documents is None else self._documents.origin(question, answer)
        return Reply(
            question=question,
            answer=answer,
            given=threshold is not None and confidence >= threshold and bool(answer) and not is_refusal(answer),
            confidence=confidence,
            subject=self._subject(question),
            familiarity=scored.confidences.get(FAMILIARITY),
            candidates=tuple((found.text, math.exp(found.log_probability)) for found in scored.candidates),
            tokens=tokens,
            reads=reads,
            origin=origin,
        )
