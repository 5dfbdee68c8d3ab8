"""Chains of thought: does a model answer better when it writes its reasoning down first?

The arms are those of the literature, asked about the same questions with the same room for new tokens:

| arm | demonstrations | what is asked for |
|---|---|---|
| `zero_shot` | none | the number at once |
| `direct` | question and number | the number at once: "standard prompting" of Wei et al. 2022 |
| `instruction` | none | "Let's think step by step.", then by a second prompt the number (Kojima et al. 2022) |
| `worked` | question, rationale, number | the same of this question (Wei et al. 2022) |
| `self_consistency` | as `worked` | several samples, the most frequent number of all (Wang et al. 2023) |

Wei et al. 2022, arXiv:2201.11903; Kojima et al. 2022, arXiv:2205.11916; Wang et al. 2023, arXiv:2203.11171.

An answer is right if the number it gives, by the rules of `number_answers`, is the accepted one exactly. A
rationale is judged by its arithmetic, see `arithmetic_steps`. A sample of any arm may have `max_new_tokens`; a row
says how many were written, because a vote over samples, or a chain of a hundred tokens, costs more than a number.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jinja2
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.batches import check_characters
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import Completion, complete_prompts
from closedbook.evaluation.prompting.arithmetic_steps import check_steps, judge_rationale
from closedbook.evaluation.prompting.demonstrations import select_demonstrations
from closedbook.evaluation.prompting.incontext import Prompt, fit_demonstrations, prompt_room
from closedbook.evaluation.prompting.number_answers import extract_number, format_number
from closedbook.evaluation.prompting.written_mathematics import without_thoughts

ARMS = ("zero_shot", "direct", "instruction", "worked", "self_consistency")
SHOWN = ("direct", "worked", "self_consistency")  # arms with demonstrations
REASONED = ("instruction", "worked", "self_consistency")  # arms that write rationales

# What the answer begins with in arms without demonstrations to imitate; the wording is Kojima et al.'s.
_OPENINGS = {"zero_shot": "The answer (arabic numerals) is", "instruction": "Let's think step by step."}
ANSWER_TRIGGER = "Therefore, the answer (arabic numerals) is"
ANSWER_TOKENS = 16  # room for the number after the trigger: a dozen digits with a unit

_ANSWER_SHOWN = "The answer is {}."
_SEPARATOR = "\n\n"
# Demonstrations have no blank line, so in their format one ends an answer; without any, the next question does.
_ENDS = {"zero_shot": "\n", "direct": "\n", "instruction": "\nQuestion:"}
_CHAT_ENDS = {"zero_shot": "\n", "direct": "\n"}
# How templates call the part of a turn that the user does not see.
_THOUGHTS = ("think", "thinking", "thought", "reasoning")


@dataclass(frozen=True)
class ReasoningArm:
    """One way to ask.

    Attributes:
        name: One of `ARMS`.
        num_shots: Demonstrations wanted in a prompt; 0 in arms without.
        num_samples: Samples that vote; 1 in other arms, which decode greedily.
        temperature: Of the samples; 1.0 in other arms.
        seed: Draws the demonstrations and their order, and the samples. Seed 0 takes the demonstrations in the
            order of their file, as their authors arranged them.
    """

    name: str
    num_shots: int = 0
    num_samples: int = 1
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.name not in ARMS:
            raise ValueError(f"unknown arm {self.name!r}; choose one of {', '.join(ARMS)}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, but is {self.seed}")
        if (self.num_shots > 0) != (self.name in SHOWN):
            wanted = "at least one demonstration" if self.name in SHOWN else "no demonstrations"
            raise ValueError(f"arm {self.name} has {wanted}, but num_shots is {self.num_shots}")
        if self.name == "self_consistency" and self.num_samples < 2:
            raise ValueError(f"a vote needs at least 2 samples, but num_samples is {self.num_samples}")
        self.how_to_decode()

    def how_to_decode(self) -> Decoding:
        method = "self_consistency" if self.name == "self_consistency" else "greedy"
        return Decoding(method, self.num_samples, self.temperature)

    def digest(self, sweep: dict[str, Any]) -> str:
        """Names the arm of this sweep: twelve hexadecimal digits of a hash of both."""
        described = json.dumps([asdict(self), sweep], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(described.encode()).hexdigest()[:12]


def check_demonstrations(arm: ReasoningArm, demonstrations: Dataset | None, source: str) -> None:
    """Refuse demonstrations that an arm cannot show.

    Args:
        arm: Who shows them.
        demonstrations: Columns `question`, `answer` and `rationale`; None where there is no file.
        source: Where they come from, for the message.

    Raises:
        ValueError: If there are none, or fewer than wanted, or the arm shows rationales and one is missing.
    """
    if arm.name not in SHOWN:
        return
    if demonstrations is None or len(demonstrations) < arm.num_shots:
        found = 0 if demonstrations is None else len(demonstrations)
        raise ValueError(f"arm {arm.name} shows {arm.num_shots} demonstrations, but {source} has {found}")
    if arm.name in REASONED:
        for question, rationale in zip(demonstrations["question"][:], demonstrations["rationale"][:], strict=True):
            if not rationale:
                raise ValueError(
                    f"arm {arm.name} shows worked steps, but in {source} {question!r:.80} has no 'rationale': "
                    "write one, or leave the arm out"
                )


def answer_by_reasoning(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Dataset,
    demonstrations: Dataset | None,
    arm: ReasoningArm,
    *,
    max_new_tokens: int = 256,
    chat: bool = False,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    tokens_per_batch: int = 8192,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Ask every question as the arm says.

    Args:
        model: Any causal language model.
        tokenizer: Its tokenizer.
        asked: Columns `question` and `answer`, as `load_reasoning_questions` gives them.
        demonstrations: Columns `question`, `answer` and `rationale`; None in arms without.
        arm: How.
        max_new_tokens: Longest output of one sample, in tokens. 256 hold nearly all rationales of GSM8K. After the
            second prompt of `instruction` there may be `ANSWER_TOKENS` more.
        chat: Whether prompts are written by the tokenizer's chat template, each demonstration a turn.
        chat_template_kwargs: What the template is given beside the turns, such as `{"enable_thinking": False}`.
        tokens_per_batch: How many tokens are decoded at once; it changes speed only.
        progress: Whether to show a progress bar.

    Returns:
        One JSON-ready row a question, in order: `row`, `question`, `answer`, `prompt`, `prompt_hash` (SHA-256,
        sixteen digits), `demonstrations` (rows of the file, in the order of the prompt), `dropped` (how many more
        were wanted than fit), `output`, `answer_output` (what came after the second prompt; null in other arms),
        `candidates` and `votes` (each sample and its number), `extracted` (the number given, or null), `right`,
        `steps` (`text`, `value`, `claimed`, `holds`) and `verdict` of the rationale (null in arms without),
        `new_tokens` (by all samples and both prompts), `complete`.

    Raises:
        ValueError: If a demonstration cannot be shown, a question has no room, the tokenizer has no chat template
            where one is wanted, or as `complete_prompts` says.
    """
    check_demonstrations(arm, demonstrations, "the data")
    if chat:
        check_chat_template(tokenizer, chat_template_kwargs)
    elif chat_template_kwargs:
        raise ValueError("--chat_template_kwargs are for the chat template: they need --chat")
    questions = asked["question"][:]
    reserve = max_new_tokens
    if arm.name == "instruction":
        reserve += ANSWER_TOKENS + len(tokenizer.encode(f"\n{ANSWER_TRIGGER}"))
    room = prompt_room(model, reserve)
    prompts = build_reasoning_prompts(tokenizer, questions, demonstrations, arm, chat, room, chat_template_kwargs)
    how = {"seed": arm.seed, "tokens_per_batch": tokens_per_batch, "progress": progress}
    completions = complete_prompts(
        model,
        tokenizer,
        [prompt.text for prompt in prompts],
        arm.how_to_decode(),
        max_new_tokens=max_new_tokens,
        end=(_CHAT_ENDS if chat else _ENDS).get(arm.name, "\nQuestion:" if chat else _SEPARATOR),
        vote_on=_vote,
        **how,
    )
    finals: Sequence[Completion | None] = [None] * len(prompts)
    if arm.name == "instruction":
        seconds = [
            _second_prompt(tokenizer, prompt.text, completion.text, prompt_room(model, ANSWER_TOKENS))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        finals = complete_prompts(
            model, tokenizer, seconds, Decoding(), max_new_tokens=ANSWER_TOKENS, end="\n", **how
        )
    rows = zip(questions, asked["answer"][:], prompts, completions, finals, strict=True)
    return [_row(arm, number, *parts) for number, parts in enumerate(rows)]


def check_chat_template(tokenizer: PreTrainedTokenizerBase, options: Mapping[str, Any] | None = None) -> None:
    """Refuse a tokenizer without a chat template, and one whose turns begin inside of a thought.

    Args:
        options: What the template is given beside the turns.

    Raises:
        ValueError: Saying what to do.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "this tokenizer has no chat template, so its model was hardly trained to chat: ask without --chat"
        )
    turn = [{"role": "user", "content": "a"}]
    try:
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True, **(options or {}))
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise ValueError(
            f"the chat template refuses --chat_template_kwargs {json.dumps(options or {})}: {error}"
        ) from error
    opened = max(text.rfind(f"<{name}>") for name in _THOUGHTS)
    if opened > max(text.rfind(f"</{name}>") for name in _THOUGHTS):
        raise ValueError(
            f"the chat template opens a thought ({text[opened:].strip()!r}), in which the answer's opening would "
            "land: close it, as with --chat_template_kwargs '{\"enable_thinking\": false}' if the template offers "
            "that, or ask without --chat"
        )


def build_reasoning_prompts(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    demonstrations: Dataset | None,
    arm: ReasoningArm,
    chat: bool = False,
    room: int | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> list[Prompt]:
    """Write one prompt a question; of one too long, whole demonstrations are dropped, the farthest first.

    Args:
        tokenizer: Counts tokens and, with `chat`, writes the turns.
        questions: What is asked. A demonstration that asks the same is not shown to it.
        demonstrations: Columns `question`, `answer` and `rationale`; None in arms without.
        arm: What is shown and asked for.
        chat: Whether to write turns of a chat.
        room: Tokens that a prompt may have; None: any number.
        chat_template_kwargs: What the chat template is given beside the turns.

    Raises:
        ValueError: Where not even the question itself has room, too few demonstrations are left for one, or the
            tokenizer does not know a character.
    """
    shown = [(row["question"], _shown_answer(arm, row)) for row in demonstrations] if arm.num_shots else []
    chosen = choose_demonstrations(questions, demonstrations, arm)

    def written(question: str, rows: Sequence[int]) -> str:
        return _written(
            [shown[row] for row in rows], question, arm, tokenizer if chat else None, chat_template_kwargs
        )

    check_characters(tokenizer, [written(*pair) for pair in zip(questions, chosen, strict=True)])
    prompts = []
    for number, (question, rows) in enumerate(zip(questions, chosen, strict=True)):
        prompt = fit_demonstrations(partial(written, question), rows, tokenizer, room)
        if prompt is None:
            raise ValueError(
                f"question {number} has no room: without any demonstration its prompt takes "
                f"{len(tokenizer.encode(written(question, ())))} tokens, and the model's context less the output "
                f"leaves {room}. Leave it out, allow fewer new tokens, or use a model with a larger context: "
                f"{question!r:.80}"
            )
        prompts.append(prompt)
    return prompts


def choose_demonstrations(
    questions: Sequence[str], demonstrations: Dataset | None, arm: ReasoningArm
) -> list[list[int]]:
    """For every question the rows of the demonstrations that it is shown, in the order of the prompt.

    Raises:
        ValueError: If too few are left for one, because a demonstration that asks the same is not shown to it.
    """
    if not arm.num_shots:
        return [[] for _ in questions]
    pool = Dataset.from_dict(
        {
            "question": demonstrations["question"][:],
            "answers": [[answer] for answer in demonstrations["answer"][:]],
        }
    )
    selection = "random" if arm.seed else "fixed"
    return select_demonstrations(pool, questions, arm.num_shots, selection=selection, seed=arm.seed)


def _shown_answer(arm: ReasoningArm, row: dict[str, str]) -> str:
    answer = _ANSWER_SHOWN.format(row["answer"])
    if arm.name == "direct":
        return answer
    # a blank line inside would be read as the end
    lines = [line.strip() for line in row["rationale"].splitlines() if line.strip()]
    return "\n".join([*lines, answer])


def _written(
    shown: Sequence[tuple[str, str]],
    question: str,
    arm: ReasoningArm,
    chat: PreTrainedTokenizerBase | None,
    options: Mapping[str, Any] | None = None,
) -> str:
    opening = _OPENINGS.get(arm.name, "")
    if chat is None:
        solved = [f"Question: {asked}\nAnswer: {answer}" for asked, answer in shown]
        return _SEPARATOR.join([*solved, f"Question: {question}\nAnswer: {opening}".rstrip()])
    turns = [(role, text) for pair in shown for role, text in zip(("user", "assistant"), pair, strict=True)]
    messages = [{"role": role, "content": text} for role, text in [*turns, ("user", question)]]
    text = chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **(options or {}))
    first = chat.encode("a")[0]
    if chat.bos_token and first == chat.bos_token_id:  # else the tokenizer would put a second one before it
        text = text.removeprefix(chat.bos_token)
    return text + opening


def _second_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, output: str, room: int | None) -> str:
    """Kojima et al.'s second prompt: the first one, what it brought out, and the question for the number.

    Of an output that has no room the end is cut off; `room` counts the tokens of the whole prompt.
    """
    while True:
        text = f"{prompt} {output}".rstrip() + f"\n{ANSWER_TRIGGER}"
        # a strange output may take more tokens when it is read than when it was written
        if room is None or not output or len(tokenizer.encode(text)) <= room:
            return text
        output = output[: len(output) * 9 // 10]


def _vote(text: str) -> str | None:
    number = extract_number(text)
    return None if number is None else format_number(number)


def _row(
    arm: ReasoningArm,
    number: int,
    question: str,
    answer: str,
    prompt: Prompt,
    completion: Completion,
    final: Completion | None,
) -> dict[str, Any]:
    said = completion.text
    if final is not None:
        said = f"{ANSWER_TRIGGER} {without_thoughts(final.text)}"
    elif arm.name == "zero_shot":
        said = f"{_OPENINGS['zero_shot']} {without_thoughts(completion.text)}"
    extracted = extract_number(said)
    reasoned = arm.name in REASONED
    steps = [
        {
            "text": step.text,
            "value": format_number(step.value),
            "claimed": format_number(step.claimed),
            "holds": step.holds,
        }
        for step in (check_steps(completion.text) if reasoned else [])
    ]
    return {
        "row": number,
        "question": question,
        "answer": answer,
        "prompt": prompt.text,
        "prompt_hash": hashlib.sha256(prompt.text.encode()).hexdigest()[:16],
        "demonstrations": list(prompt.demonstrations),
        "dropped": prompt.dropped,
        "output": completion.text,
        "answer_output": None if final is None else final.text,
        "candidates": list(completion.candidates),
        "votes": [_vote(text) for text in completion.candidates],
        "extracted": None if extracted is None else format_number(extracted),
        "right": extracted is not None and extracted == extract_number(answer),
        "steps": steps,
        "verdict": judge_rationale(completion.text, extracted) if reasoned else None,
        "new_tokens": completion.new_tokens + (final.new_tokens if final else 0),
        "complete": completion.complete,
    }
