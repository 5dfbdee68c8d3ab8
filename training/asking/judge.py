"""A model that answers with every confidence there is, familiarity with the subject included."""

import sys
from collections.abc import Sequence

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
    subject_features,
    with_familiarity,
)
from closedbook.evaluation.knowing.subjects import find_subject
from closedbook.evaluation.knowing.summary import NUM_SAMPLES
from closedbook.training.asking.people import KnowingArguments
from closedbook.training.bases.asking import check_fit_to_ask, load_to_ask

PLAIN = "sequence_probability"  # what a greedy answer alone tells


class Judge:
    """A model that is asked.

    Args:
        folder: of the model.
        args: how to ask, and the model that it was taught from, if any.
        known: names that it has read about, of whom nobody is asked; with `strangers` they fit familiarity.
        strangers: names that it has not read about. With fewer than `LEAST` of either, answers come without
            familiarity.

    Raises:
        ValueError: as `load_to_ask`; or for a base with another tokenizer.
    """

    def __init__(
        self, folder: str, args: KnowingArguments, known: Sequence[str], strangers: Sequence[str]
    ) -> None:
        self._args = args
        loaded, self.tokenizer, self.prompt = load_to_ask(folder, args.prompt, args.trust_remote_code)
        self.model = loaded.to(PartialState().device)
        self._base = None
        if args.base_model is not None:
            base, tokenizer, _ = load_to_ask(args.base_model, self.prompt, args.trust_remote_code)
            if tokenizer.get_vocab() != self.tokenizer.get_vocab():
                raise ValueError(
                    f"--base_model {args.base_model} reads other tokens than {folder}: it is no base of it"
                )
            self._base = base.to(PartialState().device)
        self.scale: FamiliarityScale | None = None
        if min(len(known), len(strangers)) >= LEAST:
            self.scale = fit_familiarity(self._features(known), self._features(strangers))

    def check(self, questions: Dataset) -> None:
        """Refuse questions that the model cannot take, before any is asked."""
        check_fit_to_ask(questions, self.model, self.tokenizer, self.prompt)

    @torch.no_grad()
    def answer_plainly(self, name: str, questions: Dataset) -> list[ScoredAnswer]:
        """Without samples and beams, and so with fewer confidences: for strangers who only prove something."""
        print(f"{name}: {len(questions)} questions", file=sys.stderr)
        texts, end_token = asked_as(self.prompt, self.tokenizer, questions["question"][:])
        answers = answer_questions(
            self.model,
            self.tokenizer,
            texts,
            batch_size=self._args.batch_size,
            max_new_tokens=self._args.max_new_tokens,
            end_token=end_token,
        )
        scored = [ScoredAnswer(found, {PLAIN: found.confidence}, (), ()) for found in answers]
        return self._with_familiarity(scored, questions)

    @torch.no_grad()
    def answer(self, name: str, questions: Dataset) -> list[ScoredAnswer]:
        """One answer a question; `name` is told on stderr."""
        print(f"{name}: {len(questions)} questions", file=sys.stderr)
        texts, end_token = asked_as(self.prompt, self.tokenizer, questions["question"][:])
        scored = answer_with_confidence(
            self.model,
            self.tokenizer,
            texts,
            num_samples=NUM_SAMPLES,
            seed=self._args.seed,
            batch_size=self._args.batch_size,
            max_new_tokens=self._args.max_new_tokens,
            end_token=end_token,
        )
        return self._with_familiarity(scored, questions)

    def _with_familiarity(self, scored: list[ScoredAnswer], questions: Dataset) -> list[ScoredAnswer]:
        if self.scale is None:
            return scored
        pairs = zip(questions["question"][:], questions["entity"][:], strict=True)
        # where a question does not spell its entity out, what it does say is what there is to recognise
        subjects = [
            entity if entity and entity in question else find_subject(question) for question, entity in pairs
        ]
        familiar = self.scale.apply(self._features(subjects)).tolist()
        return [with_familiarity(found, known) for found, known in zip(scored, familiar, strict=True)]

    def _features(self, names: Sequence[str]):
        end = self.tokenizer.mask_token if self.prompt is None else ""
        return subject_features(self.model, self.tokenizer, names, end=end, base=self._base)
