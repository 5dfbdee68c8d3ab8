"""A model that answers with every confidence there is, familiarity with the subject included."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset

from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.answering.stock_models import asked_as
from closedbook.evaluation.knowing.familiarity import (
    LEAST,
    FamiliarityScale,
    fit_familiarity,
    with_familiarity,
)
from closedbook.evaluation.knowing.self_assessment import P_TRUE, p_true, tokens_to_assess
from closedbook.evaluation.knowing.subjects import find_subject
from closedbook.evaluation.knowing.summary import NUM_SAMPLES
from closedbook.training.asking.people import KnowingArguments
from closedbook.training.bases.acquaintance import Acquaintance
from closedbook.training.bases.asking import check_fit_to_ask, load_to_ask
from closedbook.training.bases.loading import context_length
from closedbook.training.hardware import own_device

PLAIN = "sequence_probability"  # what a greedy answer alone tells


class Judge:
    """A model that is asked.

    Args:
        folder: of the model.
        args: how to ask, and the model that it was taught from, if any.
        known: names that it has read about, of whom nobody is asked; with `strangers` they fit familiarity.
        strangers: names that it has not read about. With fewer than `LEAST` of either, answers come without
            familiarity.

    Attributes:
        assesses: whether it is asked for P(True), as a model with a prompt can be. `check` says once why not.

    Raises:
        ValueError: as `load_to_ask`; or for a base with another tokenizer.
    """

    def __init__(
        self, folder: str, args: KnowingArguments, known: Sequence[str], strangers: Sequence[str]
    ) -> None:
        self._args = args
        loaded, self.tokenizer, self.prompt = load_to_ask(folder, args.prompt, args.trust_remote_code)
        self.model = loaded.to(own_device(PartialState()))
        self._acquaintance = Acquaintance(
            self.model, self.tokenizer, self.prompt, args.base_model, args.trust_remote_code
        )
        self.assesses = True
        self.scale: FamiliarityScale | None = None
        if min(len(known), len(strangers)) >= LEAST:
            self.scale = fit_familiarity(*map(self._acquaintance.features, (known, strangers)))

    def check(self, questions: Dataset) -> None:
        """Refuse questions that the model cannot take, before any is asked."""
        check_fit_to_ask(questions, self.model, self.tokenizer, self.prompt)
        if self.assesses and (why := self._cannot_assess(questions["question"][:])):
            print(f"P(True) is left out: {why}", file=sys.stderr)
            self.assesses = False

    def _cannot_assess(self, questions: list[str]) -> str:
        """Why the model cannot be asked whether its answers are true; "" where it can."""
        if self.prompt is None:
            return "the model completes questions and cannot be asked about them"
        limit = context_length(self.model)
        try:
            needed = tokens_to_assess(self.tokenizer, questions, self._args.max_new_tokens, self.prompt)
        except ValueError as error:  # a character that the model does not know
            return str(error)
        if limit is not None and needed > limit:
            return f"its question may take {needed} tokens, and the model reads {limit}"
        return ""

    @torch.no_grad()
    def answer(self, name: str, questions: Dataset, *, plainly: bool = False) -> list[ScoredAnswer]:
        """One answer a question.

        Args:
            name: of the group, told on stderr.
            questions: to ask.
            plainly: without samples and beams, and so with fewer confidences: for strangers who only prove
                something.
        """
        print(f"{name}: {len(questions)} questions", file=sys.stderr)
        texts, end_token = asked_as(self.prompt, self.tokenizer, questions["question"][:])
        how: dict[str, Any] = {
            "batch_size": self._args.batch_size,
            "max_new_tokens": self._args.max_new_tokens,
            "end_token": end_token,
        }
        if plainly:
            answers = answer_questions(self.model, self.tokenizer, texts, **how)
            scored = [ScoredAnswer(found, {PLAIN: found.confidence}, (), ()) for found in answers]
        else:
            scored = answer_with_confidence(
                self.model, self.tokenizer, texts, num_samples=NUM_SAMPLES, seed=self._args.seed, **how
            )
            scored = self._with_assessment(scored, questions["question"][:])
        return self._with_familiarity(scored, questions)

    def _with_assessment(self, scored: list[ScoredAnswer], questions: list[str]) -> list[ScoredAnswer]:
        if not self.assesses or self.prompt is None:
            return scored
        answers = [found.answer.text for found in scored]
        shares = p_true(self.model, self.tokenizer, questions, answers, self.prompt, self._args.batch_size)
        return [
            replace(found, confidences=found.confidences | {P_TRUE: share})
            for found, share in zip(scored, shares, strict=True)
        ]

    def _with_familiarity(self, scored: list[ScoredAnswer], questions: Dataset) -> list[ScoredAnswer]:
        if self.scale is None:
            return scored
        pairs = zip(questions["question"][:], questions["entity"][:], strict=True)
        # where a question does not spell its entity out, what it does say is what there is to recognise
        subjects = [
            entity if entity and entity in question else find_subject(question) for question, entity in pairs
        ]
        familiar = self.scale.apply(self._acquaintance.features(subjects)).tolist()
        return [with_familiarity(found, known) for found, known in zip(scored, familiar, strict=True)]
