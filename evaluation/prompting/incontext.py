"""In-context question answering: a prompt shows a few questions with their answers, then asks another one.

The exercise that this follows draws 3 to 8 demonstrations, asks gpt2-medium once, and compares arms by a point
estimate. But much depends on which demonstrations, in which order, and with which luck. Here an arm names all of
that, so that a sweep over arms can tell an effect from the luck of one draw (`incontext_summary.py`).

Which demonstrations: `demonstrations.py`. How the model answers: `prompt_decoding.py`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.batches import check_characters
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import Completion, complete_in_ways
from closedbook.evaluation.metrics.answer_f1.overlap import answer_f1_scores
from closedbook.evaluation.metrics.answer_match.matching import answer_matches
from closedbook.evaluation.metrics.contains_answer.containment import contains_verdicts
from closedbook.evaluation.prompting.demonstrations import ORDERS, SELECTIONS, select_demonstrations
from closedbook.evaluation.prompting.embedders import Embedder
from closedbook.evaluation.prompting.incontext_arms import NO_SELECTION

SAMPLED = ("sample", "self_consistency")  # decodings that depend on the seed


@dataclass(frozen=True)
class PromptFormat:
    """How a prompt is written.

    Attributes:
        template: A demonstration, with `{question}` before `{answer}`. What stands before the answer, less white
            space at its end, asks the question: models write that white space themselves, as a part of the
            answer's first token.
        separator: What stands between demonstrations.
        end: What ends an answer; the model's own end of text does, too.
    """

    template: str = "Question: {question}\nAnswer: {answer}"
    separator: str = "\n\n"
    end: str = "\n"

    def __post_init__(self):
        before, found, _ = self.template.partition("{answer}")
        if not found or "{question}" not in before:
            raise ValueError(
                f"template {self.template!r} must have {{question}} in it, and {{answer}} after it, as in "
                f"{PromptFormat.template!r}"
            )
        if not self.end:
            raise ValueError("end is empty: say what ends an answer, such as a line break")

    def demonstration(self, question: str, answer: str) -> str:
        """One question with its answer."""
        before, _, after = self.template.partition("{answer}")
        return before.replace("{question}", question) + answer + after

    def query(self, question: str) -> str:
        """The question, up to where its answer begins."""
        return self.template.partition("{answer}")[0].rstrip().replace("{question}", question)


@dataclass(frozen=True)
class Prompt:
    """A prompt with what it shows.

    Attributes:
        text: The whole prompt.
        demonstrations: Rows of the pool, in the order of the prompt.
        dropped: How many more were wanted than fit.
    """

    text: str
    demonstrations: tuple[int, ...]
    dropped: int


def build_prompts(
    prompt_format: PromptFormat,
    pool: Dataset,
    questions: Sequence[str],
    chosen: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerBase | None = None,
    room: int | None = None,
) -> list[Prompt]:
    """Write one prompt a question. Where it is too long, whole demonstrations are dropped, the first ones first.

    Those stand farthest from the question. A demonstration is never cut: half of one teaches a wrong format.

    Args:
        prompt_format: How to write it.
        pool: Columns `question` and `answers`, of which the first one is shown.
        questions: What is asked.
        chosen: Rows of the pool for each question, in the order of the prompt.
        tokenizer: Counts tokens; needed where there is a `room`.
        room: Tokens that a prompt may have: the model's context less the answer's. None: any number.

    Raises:
        ValueError: Where not even the question itself has room, or the tokenizer does not know a character.
    """
    shown_questions, shown_answers = pool["question"][:], pool["answers"][:]

    def written(question: str, rows: Sequence[int]) -> str:
        shown = [prompt_format.demonstration(shown_questions[row], shown_answers[row][0]) for row in rows]
        return prompt_format.separator.join([*shown, prompt_format.query(question)])

    if room is not None:
        check_characters(tokenizer, [written(*pair) for pair in zip(questions, chosen, strict=True)])
    prompts = []
    for number, (question, rows) in enumerate(zip(questions, chosen, strict=True)):
        prompt = fit_demonstrations(partial(written, question), rows, tokenizer, room)
        if prompt is None:
            raise ValueError(
                f"question {number} has no room: without any demonstration its prompt takes "
                f"{len(tokenizer.encode(written(question, ())))} tokens, but the model's context less the answer "
                f"has {room}. Leave it out, or use a model with a larger context: {question!r}"
            )
        prompts.append(prompt)
    return prompts


def fit_demonstrations(
    written: Callable[[Sequence[int]], str],
    rows: Sequence[int],
    tokenizer: PreTrainedTokenizerBase | None,
    room: int | None,
) -> Prompt | None:
    """The prompt with the demonstrations that have room, the first ones dropped first; None if a bare one has not.

    Args:
        written: The prompt with demonstrations of these rows.
        rows: Those wanted, in the order of the prompt.
        tokenizer, room: As for `build_prompts`.
    """
    for dropped in range(len(rows) + 1):
        text = written(rows[dropped:])
        if room is None or len(tokenizer.encode(text)) <= room:
            return Prompt(text, tuple(rows[dropped:]), dropped)
    return None


@dataclass(frozen=True)
class Arm:
    """One way to ask: all that a sweep varies.

    Attributes:
        num_shots: Demonstrations wanted in a prompt.
        selection: One of `SELECTIONS`; "none" without demonstrations.
        order: One of `ORDERS`; "none" with fewer than two demonstrations.
        decoding: greedy, beam, sample or self_consistency.
        num_sequences: Beams, or samples that vote.
        temperature: Of the samples; 1.0, the model's own distribution, where none are drawn.
        seed: Draws random demonstrations, and the samples.
        order_seed: Shuffles the demonstrations where the order is "shuffled".
    """

    num_shots: int
    selection: str = "random"
    order: str = "near_last"
    decoding: str = "greedy"
    num_sequences: int = 1
    temperature: float = 1.0
    seed: int = 0
    order_seed: int = 0

    def __post_init__(self):
        for name in ("num_shots", "seed", "order_seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, but is {getattr(self, name)}")
        if self.selection not in (SELECTIONS if self.num_shots else (NO_SELECTION,)):
            raise ValueError(f"unknown selection {self.selection!r}; choose one of {', '.join(SELECTIONS)}")
        if self.order not in (ORDERS if self.num_shots > 1 else (NO_SELECTION,)):
            raise ValueError(f"unknown order {self.order!r}; choose one of {', '.join(ORDERS)}")
        self.how_to_decode()

    def how_to_decode(self) -> Decoding:
        return Decoding(self.decoding, self.num_sequences, self.temperature)

    def digest(self, sweep: dict[str, Any]) -> str:
        """Names the arm of this sweep: twelve hexadecimal digits of a hash of both."""
        described = json.dumps([asdict(self), sweep], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(described.encode()).hexdigest()[:12]


def sweep_arms(
    num_shots: Iterable[int],
    selections: Iterable[str],
    orders: Iterable[str],
    decodings: Iterable[Decoding],
    seeds: Iterable[int],
    order_seeds: Iterable[int],
) -> list[Arm]:
    """All combinations, each once: a seed that changes nothing is 0, so that sweeps of other seeds share the arm.

    Without demonstrations there is nothing to select or to order; one alone has no order; a seed matters to random
    demonstrations and to samples, an order seed to shuffled demonstrations.
    """
    arms = {}
    for shots, selection, order, decoding, seed, order_seed in product(
        num_shots, selections, orders, decodings, seeds, order_seeds
    ):
        drawn = decoding.method in SAMPLED or (shots > 0 and selection == "random")
        arm = Arm(
            num_shots=shots,
            selection=selection if shots else NO_SELECTION,
            order=order if shots > 1 else NO_SELECTION,
            decoding=decoding.method,
            num_sequences=decoding.num_sequences,
            temperature=decoding.temperature,
            seed=seed if drawn else 0,
            order_seed=order_seed if shots > 1 and order == "shuffled" else 0,
        )
        arms[arm] = None
    return list(arms)


def score_answer(text: str, answers: Sequence[str]) -> dict[str, bool | float]:
    """What an answer is worth by each metric.

    `answer_match`, one of the accepted answers but for letter case, punctuation, articles and spaces (ours:
    TriviaQA's own rule makes spaces of full stops and apostrophes, too, so that "U.S." is "u s" there and "us"
    here); `contains`, an accepted answer on word borders; `f1` over words, of the best alias; `substring`, the
    exercise's metric: any alias anywhere in what was written.
    """
    return {
        "answer_match": answer_matches([text], [answers])[0],
        "contains": contains_verdicts([text], [answers])[0],
        "f1": answer_f1_scores([text], [answers])[0],
        "substring": contains_verdicts([text], [answers], borders="anywhere")[0],
    }


def prompt_room(model: PreTrainedModel, max_new_tokens: int) -> int | None:
    """Tokens that a prompt may have if the answer is to have its own; None for a model without a limit."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if context is None else context - max_new_tokens


def check_asked_and_pool(asked: Dataset, pool: Dataset, num_shots: int) -> None:
    """Refuse, before anything slow, questions that cannot be scored and a pool that cannot be drawn from.

    Raises:
        ValueError: Naming the question without an accepted answer or the row without one to show, or how many
            different questions the pool has and how many are needed.
    """
    for row, accepted in enumerate(asked["answers"][:]):
        if not accepted:
            raise ValueError(
                f"question {row} has no accepted answer, so it cannot be scored: {asked[row]['question']!r}"
            )
    if num_shots:
        select_demonstrations(pool, asked["question"][:], num_shots, selection="fixed")


def check_room(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_format: PromptFormat,
    questions: Sequence[str],
    max_new_tokens: int,
) -> None:
    """Refuse questions that do not fit the model's context even without demonstrations; see `build_prompts`."""
    nothing = Dataset.from_dict({"question": [], "answers": []})
    room = prompt_room(model, max_new_tokens)
    build_prompts(prompt_format, nothing, questions, [[] for _ in questions], tokenizer, room)


def arms_by_prompt(arms: Iterable[Arm]) -> list[list[Arm]]:
    """Arms that ask with the same prompts, together: they differ in decoding and in the seed of samples alone."""
    groups: dict[tuple, list[Arm]] = {}
    for arm in arms:
        draw = arm.seed if arm.selection == "random" else None
        groups.setdefault((arm.num_shots, arm.selection, arm.order, draw, arm.order_seed), []).append(arm)
    return list(groups.values())


def answer_in_context(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pool: Dataset,
    asked: Dataset,
    arms: Sequence[Arm],
    *,
    prompt_format: PromptFormat | None = None,
    embedder: Embedder | None = None,
    max_new_tokens: int = 16,
    tokens_per_batch: int = 8192,
    progress: bool = True,
) -> list[list[dict[str, Any]]]:
    """Ask every question as each of the arms says; all of them ask with the same prompts, which are read once.

    Args:
        model: Any causal language model.
        tokenizer: Its tokenizer.
        pool: Where demonstrations come from: columns `question` and `answers`.
        asked: What is asked: the same columns.
        arms: How: one group of `arms_by_prompt`.
        prompt_format: How prompts are written; by default as the exercise writes them.
        embedder: Measures nearness for the selections that need it; TF-IDF by default.
        max_new_tokens: Longest answer in tokens. The default holds nearly every name and date.
        tokens_per_batch: How many tokens are decoded at once; it changes speed only.
        progress: Whether to show a progress bar.

    Returns:
        For each arm one JSON-ready row a question, in order: `row`, `question`, `answers`, `prompt`, `prompt_hash`
        (SHA-256, sixteen digits), `demonstrations` (rows of the pool), `dropped`, `output`, `candidates`,
        `new_tokens`, `complete`, `log_probability`, `scores` (see `score_answer`).

    Raises:
        ValueError: If the arms do not ask with the same prompts, a question has no accepted answer or no room, the
            pool is too small, or as `complete_prompts` says.
    """
    if len(arms_by_prompt(arms)) != 1:
        raise ValueError("these arms do not ask with the same prompts; ask group by group of arms_by_prompt")
    first = arms[0]
    prompt_format = prompt_format or PromptFormat()
    check_asked_and_pool(asked, pool, first.num_shots)
    questions, answers = asked["question"][:], asked["answers"][:]
    chosen = [[] for _ in questions]
    if first.num_shots:
        chosen = select_demonstrations(
            pool,
            questions,
            first.num_shots,
            selection=first.selection,
            order=first.order if first.num_shots > 1 else ORDERS[0],
            seed=first.seed,
            order_seed=first.order_seed,
            embedder=embedder,
        )
    room = prompt_room(model, max_new_tokens)
    prompts = build_prompts(prompt_format, pool, questions, chosen, tokenizer, room)
    completions = complete_in_ways(
        model,
        tokenizer,
        [prompt.text for prompt in prompts],
        [(arm.how_to_decode(), arm.seed) for arm in arms],
        max_new_tokens=max_new_tokens,
        end=prompt_format.end,
        tokens_per_batch=tokens_per_batch,
        progress=progress,
    )
    return [
        [
            _row(number, question, accepted, prompt, completion)
            for number, (question, accepted, prompt, completion) in enumerate(
                zip(questions, answers, prompts, of_arm, strict=True)
            )
        ]
        for of_arm in completions
    ]


def _row(number: int, question: str, answers: list[str], prompt: Prompt, completion: Completion) -> dict[str, Any]:
    return {
        "row": number,
        "question": question,
        "answers": answers,
        "prompt": prompt.text,
        "prompt_hash": hashlib.sha256(prompt.text.encode()).hexdigest()[:16],
        "demonstrations": list(prompt.demonstrations),
        "dropped": prompt.dropped,
        "output": completion.text,
        "candidates": list(completion.candidates),
        "new_tokens": completion.new_tokens,
        "complete": completion.complete,
        "log_probability": completion.log_probability,
        "scores": score_answer(completion.text, answers),
    }
