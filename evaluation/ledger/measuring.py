"""What one model makes of facts: does it finish their sentences, does it answer, how sure, against what else?

Everything is done for all facts at once and does not depend on their order or on the batch size: probabilities are
rounded to six digits, which is coarser than what a batch mate changes in float32. Random numbers (samples, which
alternatives) follow from a seed and the fact alone.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.batches import check_characters
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.answering.continuations import score_continuations
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import Completion, complete_prompts
from closedbook.evaluation.answering.stock_models import ANSWER_END, asked_as
from closedbook.evaluation.ledger.facts import Fact
from closedbook.evaluation.metrics.answer_match.normalisation import normalize, says_the_same
from closedbook.evaluation.metrics.contains_answer.containment import contains_verdicts

Rule = Literal["match", "contains"]
RULES: dict[Rule, str] = {
    "match": "equal to an accepted answer but for case, articles, punctuation and spaces",
    "contains": "an accepted answer stands in what was written, on word borders",
}
_DIGITS = 6


@dataclass(frozen=True)
class AskedModel:
    """A model, and how it is asked.

    Attributes:
        name: for tables.
        model, tokenizer: of any causal language model.
        prompt: text with `{question}`, or "chat" for the tokenizer's chat template; None for models of this
            package, whose mask token ends a question.
        source: folder, or name on the Hub, that it was loaded from; None where it was given in memory.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt: str | None = None
    source: str | None = None

    @property
    def end(self) -> str | None:
        """The token that ends an answer, for `answer_questions`."""
        return None if self.prompt is None else ANSWER_END

    def asked(self, questions: Sequence[str]) -> list[str]:
        """The texts that `answer_questions` is given."""
        return asked_as(self.prompt, self.tokenizer, list(questions))[0]

    def takes(self, text: str, room: int) -> bool:
        """Whether a text can be read, with so many tokens after it."""
        try:
            check_characters(self.tokenizer, [text])
        except ValueError:
            return False
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit is None or len(self.tokenizer.encode(text)) + room <= limit


@dataclass(frozen=True)
class Reply:
    """One question, and what came back.

    Attributes:
        question: as it is worded, without the prompt around it.
        direction: "forward" asks for the object, "backward" for the subject.
        answer: what the model wrote.
        right: by the rule of the ledger.
        confidence: the model's probability of the whole answer that it wrote.
        probability: that of the right answer, in its canonical wording.
        agreement: share of samples that say the same; None where none were drawn.
    """

    question: str
    direction: str
    answer: str
    right: bool
    confidence: float
    probability: float
    agreement: float | None = None


@dataclass(frozen=True)
class Standing:
    """What one model makes of one fact; None for what was not measured.

    Attributes:
        finishes: whether it goes on with the object after the beginning of the sentence.
        written: how it went on.
        finish_probability: its probability of the object there.
        finish_rank: place of the object among its alternatives there, 1 the most probable.
        rank: likewise after the first question.
        candidates: how many were ranked, the object included.
        replies: one a question, in the order of the fact's questions, those backward last.
    """

    finishes: bool | None = None
    written: str = ""
    finish_probability: float | None = None
    finish_rank: int | None = None
    rank: int | None = None
    candidates: int = 1
    replies: list[Reply] = field(default_factory=list)

    def right(self, direction: str) -> tuple[int, int]:
        """Right answers and questions of a direction."""
        judged = [reply.right for reply in self.replies if reply.direction == direction]
        return sum(judged), len(judged)

    @property
    def answers(self) -> bool | None:
        """Whether it answers: right in more than half of the wordings; None where it was not asked."""
        right, asked = self.right("forward")
        return 2 * right > asked if asked else None


def alternatives_of(facts: Sequence[Fact], number: int, seed: int) -> list[tuple[str, ...]]:
    """For each fact up to `number` objects of other facts: of the same relation, else of the same kind.

    What would also be right (another object of this subject and relation) is none.
    """
    pools: dict[str, dict[str, str]] = defaultdict(dict)
    also_right: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in facts:
        for pool in (fact.relation, f"kind {fact.kind}"):
            pools[pool].setdefault(normalize(fact.object), fact.object)
        also_right[fact.subject, fact.relation] |= set(map(normalize, fact.answers))
    found = []
    for fact in facts:
        chosen: dict[str, str] = {}
        for pool in (fact.relation, f"kind {fact.kind}"):
            others = pools[pool].keys() - also_right[fact.subject, fact.relation] - chosen.keys()
            drawn = sorted(others, key=lambda key: hashlib.sha256(f"{seed}\n{fact.key}\n{key}".encode()).digest())
            chosen |= {key: pools[pool][key] for key in drawn[: number - len(chosen)]}
        found.append(tuple(chosen.values()))
    return found


def measure(
    asked: AskedModel,
    facts: Sequence[Fact],
    alternatives: Sequence[Sequence[str]],
    *,
    rule: Rule = "match",
    num_samples: int = 0,
    seed: int = 0,
    batch_size: int = 32,
    max_new_tokens: int = 32,
    progress: bool = False,
) -> list[Standing]:
    """What a model makes of every fact, in their order.

    Args:
        asked: whom to ask.
        facts: what about.
        alternatives: for each fact, the objects that its own is ranked among.
        rule: by which an answer is right.
        num_samples: samples a question, for the agreement; 0 for none.
        seed: of the samples.
        batch_size: texts read at once; changes speed only.
        max_new_tokens: longest answer, in tokens.
        progress: whether to show progress bars.
    """
    finished = _finish(asked, facts, alternatives, batch_size, max_new_tokens, progress)
    entries = [
        (row, question, direction)
        for row, fact in enumerate(facts)
        for direction, questions in (("forward", fact.questions), ("backward", fact.reverse))
        for question in questions
    ]
    texts = asked.asked([question for _, question, _ in entries])
    room = 2 + (asked.prompt is None)
    fitting = [place for place, text in enumerate(texts) if asked.takes(text, room)]
    answers = _answer(
        asked, [texts[place] for place in fitting], num_samples, seed, batch_size, max_new_tokens, progress
    )
    fitting_entries = [entries[place] for place in fitting]
    rights = [_accepted(facts[row], direction) for row, _, direction in fitting_entries]
    scored = _score(
        asked, [(texts[place], each[0]) for place, each in zip(fitting, rights, strict=True)], True, batch_size
    )
    replies: dict[int, list[Reply]] = defaultdict(list)
    first_asked: dict[int, str] = {}
    for place, (row, question, direction), answer, accepted, own in zip(
        fitting, fitting_entries, answers, rights, scored, strict=True
    ):
        agreement = answer.confidences["agreement"] if num_samples else None
        replies[row].append(
            Reply(
                question,
                direction,
                answer.answer.text,
                is_right(answer.answer.text, accepted, rule),
                _rounded(answer.answer.log_probability),
                _rounded(own),
                agreement,
            )
        )
        if direction == "forward":
            first_asked.setdefault(row, texts[place])
    ranks = _ranks(asked, facts, alternatives, first_asked, True, batch_size)
    return [
        Standing(
            *finished.get(row, (None, "", None, None)),
            rank=ranks.get(row),
            candidates=1 + len(alternatives[row]),
            replies=replies[row],
        )
        for row in range(len(facts))
    ]


def is_right(answer: str, accepted: Sequence[str], rule: Rule) -> bool:
    """Whether an answer is right by a rule of `RULES`."""
    if rule == "match":
        return says_the_same(answer, accepted)
    return contains_verdicts([answer], [list(accepted)])[0]


def _accepted(fact: Fact, direction: str) -> list[str]:
    if direction == "forward":
        return list(fact.answers)
    return [fact.subject, *(subject for subject in fact.subjects if subject != fact.subject)]


def _finish(
    asked: AskedModel,
    facts: Sequence[Fact],
    alternatives: Sequence[Sequence[str]],
    batch_size: int,
    max_new_tokens: int,
    progress: bool,
) -> dict[int, tuple[bool, str, float, int]]:
    """By number of a fact: is its sentence finished, what was written, probability and rank of the object."""
    begun = {
        row: fact.beginning.rstrip()
        for row, fact in enumerate(facts)
        if fact.beginning.strip() and asked.takes(fact.beginning + fact.object, 1)
    }
    rows = list(begun)
    if not rows:
        return {}
    written = go_on(asked, [begun[row] for row in rows], batch_size, max_new_tokens, progress)
    ranks = _ranks(asked, facts, alternatives, {row: facts[row].beginning for row in rows}, False, batch_size)
    own = _score(asked, [(facts[row].beginning, facts[row].object) for row in rows], False, batch_size)
    return {
        row: (begins_with(said.text, facts[row].answers), said.text, _rounded(score), ranks[row])
        for row, said, score in zip(rows, written, own, strict=True)
    }


def go_on(
    asked: AskedModel, begun: Sequence[str], batch_size: int, max_new_tokens: int, progress: bool
) -> list[Completion]:
    """How a model goes on with beginnings of sentences: the most probable tokens, up to the end of the line."""
    return complete_prompts(
        asked.model,
        asked.tokenizer,
        begun,
        Decoding(),
        max_new_tokens=max_new_tokens,
        end=ANSWER_END,
        tokens_per_batch=batch_size * 256,
        progress=progress,
    )


def begins_with(written: str, answers: Sequence[str]) -> bool:
    """Whether a text begins with an answer, on a word border."""
    for answer in answers:
        rest = written.removeprefix(answer)
        if len(rest) < len(written) and not rest[:1].isalnum():
            return True
    return False


def _answer(
    asked: AskedModel,
    texts: list[str],
    num_samples: int,
    seed: int,
    batch_size: int,
    max_new_tokens: int,
    progress: bool,
) -> list[ScoredAnswer]:
    options: dict[str, Any] = {"batch_size": batch_size, "max_new_tokens": max_new_tokens, "progress": progress}
    if not texts:
        return []
    if num_samples:
        return answer_with_confidence(
            asked.model, asked.tokenizer, texts, num_samples=num_samples, seed=seed, end_token=asked.end, **options
        )
    plain = answer_questions(asked.model, asked.tokenizer, texts, end_token=asked.end, **options)
    return [ScoredAnswer(answer, {}, (), ()) for answer in plain]


def _ranks(
    asked: AskedModel,
    facts: Sequence[Fact],
    alternatives: Sequence[Sequence[str]],
    prompts: dict[int, str],
    are_questions: bool,
    batch_size: int,
) -> dict[int, int]:
    """Place of each object among its alternatives after a prompt; one that no alternative beats is first."""
    longest = {row: max((facts[row].object, *alternatives[row]), key=len) for row in prompts}
    rows = [row for row, prompt in prompts.items() if asked.takes(prompt + longest[row], 2)]
    pairs = [(prompts[row], candidate) for row in rows for candidate in (facts[row].object, *alternatives[row])]
    scores = iter(_score(asked, pairs, are_questions, batch_size))
    ranks = {}
    for row in rows:
        own, *others = [next(scores) for _ in range(1 + len(alternatives[row]))]
        ranks[row] = 1 + sum(round(other, 4) > round(own, 4) for other in others)
    return {row: ranks.get(row, 1 + len(alternatives[row])) for row in prompts}


def _score(
    asked: AskedModel, pairs: Sequence[tuple[str, str]], are_questions: bool, batch_size: int
) -> list[float]:
    """Log-probability of each continuation after its prompt; minus infinity where the two are too long together.

    A space between the two belongs to the continuation, as tokenizers of words have it. After a question that a
    mask token ends there is none.
    """
    prompts, continuations = [], []
    for prompt, continuation in pairs:
        if are_questions and asked.prompt is None:
            prompts.append(prompt + str(asked.tokenizer.mask_token))
            continuations.append(continuation)
            continue
        bare = prompt.rstrip(" ")
        is_apart = len(bare) < len(prompt) or (are_questions and not prompt[-1:].isspace())
        prompts.append(bare)
        continuations.append(" " * is_apart + continuation)
    known = [place for place, text in enumerate(continuations) if asked.takes(prompts[place] + text, 0)]
    scores = score_continuations(
        asked.model,
        asked.tokenizer,
        [prompts[place] for place in known],
        [continuations[place] for place in known],
        batch_size,
        special_tokens=asked.prompt is not None,
    )
    found = dict(zip(known, (score.log_probability for score in scores), strict=True))
    return [found.get(place, -math.inf) for place in range(len(pairs))]


def _rounded(log_probability: float) -> float:
    return round(math.exp(log_probability), _DIGITS)
