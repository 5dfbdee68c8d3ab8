"""Arms of reasoning: their prompts, and a tiny model that has learnt what to write after each."""

import copy
import json
import re
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from closedbook.evaluation.prompting import reasoning as module
from closedbook.evaluation.prompting.reasoning import (
    ANSWER_TRIGGER,
    ReasoningArm,
    _second_prompt,
    answer_by_reasoning,
    build_reasoning_prompts,
    check_chat_template,
)
from closedbook.evaluation.prompting.reasoning_summary import draw_reasoning, reasoning_table, summarise_reasoning
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.evaluation.statistics.paired import compare_paired
from closedbook.modeling.tokenization_char import build_char_tokenizer

DEMONSTRATIONS = Dataset.from_list(
    [
        {"question": "Two and two?", "answer": "4", "rationale": "There are two.\n\n2 + 2 = 4"},
        {"question": "Nine less one?", "answer": "8", "rationale": "9 - 1 = 8"},
    ]
)
ASKED = Dataset.from_list(
    [{"question": "Five and six?", "answer": "11"}, {"question": "Five and seven?", "answer": "12"}]
)
ARMS = {
    "zero_shot": ReasoningArm("zero_shot"),
    "direct": ReasoningArm("direct", 2),
    "instruction": ReasoningArm("instruction"),
    "worked": ReasoningArm("worked", 2),
    "self_consistency": ReasoningArm("self_consistency", 2, num_samples=3, temperature=0.05),
}
# What the model is taught to write: only worked steps get both right, and one of those by a wrong step.
TAUGHT = {
    "zero_shot": [" 11.\n", " 99.\n"],
    "direct": [" The answer is 11.\n", " The answer is 13.\n"],
    "instruction": [" 5 + 6 = 12<|end|>", " No idea<|end|>"],
    "worked": [" 5 + 6 = 11\nThe answer is 11.\n\n", " 5 + 7 = 13\nThe answer is 12.\n\n"],
}
SECOND = [" 12.\n", " nothing.\n"]
CHAT = (
    "{{ '<|end|>' }}"
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + ';' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and a few words in one token each so that prompts stay short."""
    words = ["Question", "Answer", "The", "Ġanswer", "Ġis", "There", "fore", "Ġand", "Five", "Ġstep"]
    vocabulary = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in words:
        for length in range(2, len(word) + 1):
            pair = (word[: length - 1], word[length - 1])
            if pair not in merges:
                merges.append(pair)
                vocabulary.append("".join(pair))
    vocabulary = list(dict.fromkeys(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture(scope="module")
def taught(tokenizer) -> GPT2LMHeadModel:
    """A GPT-2 of a few thousand weights that knows by heart what to write after the prompts of every arm."""
    pairs = []
    for name, outputs in TAUGHT.items():
        prompts = [
            p.text for p in build_reasoning_prompts(tokenizer, ASKED["question"][:], DEMONSTRATIONS, ARMS[name])
        ]
        pairs += zip(prompts, outputs, strict=True)
        if name == "instruction":
            thoughts = [output.removesuffix("<|end|>") for output in outputs]
            seconds = [
                f"{prompt}{thought}\n{ANSWER_TRIGGER}" for prompt, thought in zip(prompts, thoughts, strict=True)
            ]
            pairs += zip(seconds, SECOND, strict=True)
    rows = [(tokenizer.encode(prompt), tokenizer.encode(output)) for prompt, output in pairs]
    longest = max(len(prompt) + len(output) for prompt, output in rows)
    ids = torch.tensor([p + o + [0] * (longest - len(p) - len(o)) for p, o in rows])
    labels = torch.tensor([[-100] * len(p) + o + [-100] * (longest - len(p) - len(o)) for p, o in rows])
    torch.manual_seed(0)
    ids_of_ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=512, **ids_of_ends)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(400):
        loss = model(ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.02:
            break
    return model.eval()


def ask(model, tokenizer, name: str, **how) -> list[dict]:
    how = {"max_new_tokens": 60, "progress": False} | how
    return answer_by_reasoning(model, tokenizer, ASKED, DEMONSTRATIONS, ARMS[name], **how)


def test_direct_demonstrations_show_numbers_alone(tokenizer):
    (prompt, _) = build_reasoning_prompts(tokenizer, ASKED["question"][:], DEMONSTRATIONS, ARMS["direct"])
    assert prompt.text == (
        "Question: Two and two?\nAnswer: The answer is 4.\n\n"
        "Question: Nine less one?\nAnswer: The answer is 8.\n\n"
        "Question: Five and six?\nAnswer:"
    )
    assert prompt.demonstrations == (0, 1)


def test_worked_demonstrations_show_rationales_without_blank_lines(tokenizer):
    (prompt, _) = build_reasoning_prompts(tokenizer, ASKED["question"][:], DEMONSTRATIONS, ARMS["worked"])
    assert "Answer: There are two.\n2 + 2 = 4\nThe answer is 4.\n\nQuestion: Nine" in prompt.text
    assert prompt.text.endswith("\n\nQuestion: Five and six?\nAnswer:")


def test_a_seed_above_zero_reorders_the_demonstrations(tokenizer):
    orders = {
        build_reasoning_prompts(tokenizer, ["?"], DEMONSTRATIONS, ReasoningArm("worked", 2, seed=seed))[
            0
        ].demonstrations
        for seed in range(10)
    }
    assert orders == {(0, 1), (1, 0)}


def test_a_demonstration_that_asks_the_same_is_not_shown(tokenizer):
    (prompt,) = build_reasoning_prompts(tokenizer, ["two AND two"], DEMONSTRATIONS, ReasoningArm("worked", 1))
    assert prompt.demonstrations == (1,)


def test_the_farthest_demonstrations_are_dropped_whole_where_room_is_short(tokenizer):
    whole = build_reasoning_prompts(tokenizer, ["Five?"], DEMONSTRATIONS, ARMS["worked"])[0]
    length = len(tokenizer.encode(whole.text))
    (kept,) = build_reasoning_prompts(tokenizer, ["Five?"], DEMONSTRATIONS, ARMS["worked"], room=length)
    assert kept == whole
    (prompt,) = build_reasoning_prompts(tokenizer, ["Five?"], DEMONSTRATIONS, ARMS["worked"], room=length - 1)
    assert prompt.demonstrations == (1,) and prompt.dropped == 1
    assert prompt.text == whole.text[whole.text.index("Question: Nine") :]
    with pytest.raises(ValueError, match=r"question 0 has no room.*leaves 5"):
        build_reasoning_prompts(tokenizer, ["Five?"], DEMONSTRATIONS, ARMS["worked"], room=5)


def test_a_chat_template_makes_each_demonstration_a_turn():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHAT
    (prompt, _) = build_reasoning_prompts(
        tokenizer, ASKED["question"][:], DEMONSTRATIONS, ARMS["direct"], chat=True
    )
    assert prompt.text == (
        "<|end|>user: Two and two?;assistant: The answer is 4.;user: Nine less one?;assistant: The answer is 8.;"
        "user: Five and six?;assistant: "
    )
    (prompt, _) = build_reasoning_prompts(tokenizer, ASKED["question"][:], None, ARMS["instruction"], chat=True)
    assert prompt.text == "<|end|>user: Five and six?;assistant: Let's think step by step."


THINKING = CHAT + "{% if add_generation_prompt and enable_thinking is not defined %}<think>\n{% endif %}"


def test_a_template_that_opens_a_thought_is_refused_unless_its_options_close_it(taught, tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = THINKING
    with pytest.raises(ValueError, match=r"opens a thought \('<think>'\).*--chat_template_kwargs") as refused:
        ask(taught, tokenizer, "direct", chat=True)
    assert "\n" not in str(refused.value)
    options = {"enable_thinking": False}
    check_chat_template(tokenizer, options)
    (prompt, _) = build_reasoning_prompts(
        tokenizer, ASKED["question"][:], None, ARMS["instruction"], chat=True, chat_template_kwargs=options
    )
    assert prompt.text.endswith("assistant: Let's think step by step.")
    tokenizer.chat_template = CHAT + "<think>\n\n</think>"  # opened and closed again
    check_chat_template(tokenizer)


def test_options_of_a_template_that_is_not_used_are_refused(taught, tokenizer):
    with pytest.raises(ValueError, match="need --chat"):
        ask(taught, tokenizer, "direct", chat_template_kwargs={"enable_thinking": False})


def test_a_chat_template_does_not_lead_to_two_beginnings_of_text():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.bos_token = "<|end|>"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", 0)]
    )
    (prompt, _) = build_reasoning_prompts(tokenizer, ASKED["question"][:], None, ARMS["instruction"], chat=True)
    assert tokenizer.encode(prompt.text).count(0) == 1


def test_every_arm_is_answered_and_scored(taught, tokenizer):
    rows = {name: ask(taught, tokenizer, name) for name in ARMS}
    assert [row["extracted"] for row in rows["zero_shot"]] == ["11", "99"]
    assert [row["extracted"] for row in rows["direct"]] == ["11", "13"]
    assert [row["extracted"] for row in rows["instruction"]] == ["12", None]
    assert [row["extracted"] for row in rows["worked"]] == ["11", "12"]
    assert [row["extracted"] for row in rows["self_consistency"]] == ["11", "12"]
    assert [row["right"] for row in rows["direct"]] == [True, False]
    assert [row["right"] for row in rows["worked"]] == [True, True]
    assert [row["verdict"] for row in rows["direct"]] == [None, None]
    assert [row["verdict"] for row in rows["worked"]] == ["right", "wrong"]
    assert [row["verdict"] for row in rows["instruction"]] == ["wrong", "not checkable"]
    assert rows["worked"][1]["steps"] == [{"text": "5 + 7 = 13", "value": "12", "claimed": "13", "holds": False}]
    assert rows["instruction"][0]["answer_output"] == "12." and rows["worked"][0]["answer_output"] is None
    assert rows["self_consistency"][0]["votes"] == ["11"] * 3
    json.dumps(rows, allow_nan=False)


def test_tokens_of_all_samples_and_both_prompts_are_counted(taught, tokenizer):
    one, three = ask(taught, tokenizer, "worked")[0], ask(taught, tokenizer, "self_consistency")[0]
    assert one["new_tokens"] == len(tokenizer.encode(TAUGHT["worked"][0]))
    assert three["new_tokens"] == 3 * one["new_tokens"]
    both = ask(taught, tokenizer, "instruction")[0]["new_tokens"]
    assert both == len(tokenizer.encode(TAUGHT["instruction"][0])) + len(tokenizer.encode(SECOND[0]))


def test_a_thought_that_is_cut_off_is_still_asked_for_its_number(taught, tokenizer):
    rows = ask(taught, tokenizer, "instruction", max_new_tokens=3)
    assert not any(row["complete"] for row in rows)
    assert all(row["answer_output"] is not None for row in rows)


def test_a_thought_that_grew_too_long_is_cut_so_that_the_number_has_room(tokenizer):
    asked = "Question: Five and six?\nAnswer: Let's think step by step."
    bare = len(tokenizer.encode(_second_prompt(tokenizer, asked, "", None)))
    for room in range(bare, bare + 60, 7):
        prompt = _second_prompt(tokenizer, asked, "step by step " * 9, room)
        assert len(tokenizer.encode(prompt)) <= room
        assert prompt.startswith(asked) and prompt.endswith(f"\n{ANSWER_TRIGGER}")


@pytest.mark.parametrize(
    ("name", "demonstrations", "complaint"),
    [
        ("direct", None, "shows 2 demonstrations, but the data has 0"),
        ("worked", DEMONSTRATIONS.select([0]), "shows 2 demonstrations, but the data has 1"),
        ("worked", DEMONSTRATIONS.map(lambda row: row | {"rationale": ""}), "no 'rationale'"),
    ],
)
def test_demonstrations_that_cannot_be_shown_are_refused(taught, tokenizer, name, demonstrations, complaint):
    with pytest.raises(ValueError, match=complaint):
        answer_by_reasoning(taught, tokenizer, ASKED, demonstrations, ARMS[name])


def test_characters_that_the_tokenizer_does_not_know_are_named():
    letters = Tokenizer(models.WordLevel({letter: number for number, letter in enumerate("QuestionAswr: \n")}))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    with pytest.raises(ValueError, match=r"does not know the characters.*'5'.*'\?'"):
        build_reasoning_prompts(
            PreTrainedTokenizerFast(tokenizer_object=letters), ["5?"], None, ReasoningArm("zero_shot"), room=99
        )


def test_a_tokenizer_without_a_chat_template_is_refused(taught, tokenizer):
    with pytest.raises(ValueError, match=r"no chat template.*--chat"):
        ask(taught, tokenizer, "direct", chat=True)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": "magic"}, "unknown arm 'magic'"),
        ({"name": "zero_shot", "seed": -1}, "seed must be 0 or more"),
        ({"name": "direct"}, "at least one demonstration"),
        ({"name": "zero_shot", "num_shots": 3}, "no demonstrations"),
        ({"name": "self_consistency", "num_shots": 3}, "at least 2 samples"),
        ({"name": "worked", "num_shots": 3, "num_samples": 3}, "greedy decoding writes one"),
    ],
)
def test_an_arm_that_makes_no_sense_is_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        ReasoningArm(**fields)


def rows_of(arm: ReasoningArm, right: list[bool], verdict: str | None = None) -> list[dict]:
    return [
        {
            "arm": asdict(arm),
            "question": f"{number}?",
            "right": value,
            "verdict": verdict,
            "new_tokens": 10,
            "extracted": "1",
            "complete": True,
            "dropped": 1,
            "steps": [{"holds": True}, {"holds": value}] if verdict else [],
        }
        for number, value in enumerate(right)
    ]


def test_arms_are_summarised_over_seeds_and_compared_with_the_direct_one():
    direct = [True] * 2 + [False] * 18
    worked = [False] + [True] * 14 + [False] * 5
    runs = [
        rows_of(ReasoningArm("worked", 8, seed=0), worked, "right"),
        rows_of(ReasoningArm("zero_shot"), direct),
        rows_of(ReasoningArm("direct", 8, seed=0), direct),
    ]
    zero_shot, direct_row, worked_row = summarise_reasoning(runs)
    assert [zero_shot["name"], direct_row["name"], worked_row["name"]] == ["zero_shot", "direct", "worked"]
    assert direct_row["against"] is None and direct_row["rationales"] is None
    assert worked_row["interval"] == pytest.approx(wilson_interval(14, 20))
    assert worked_row["against"]["baseline"] == "direct"
    assert worked_row["against"]["runs"] == [
        {"gained": 13, "lost": 1, "p_mcnemar": compare_paired(direct, worked).p_value}
    ]
    assert worked_row["against"]["p_value"] == pytest.approx(compare_paired(direct, worked).p_value)
    assert worked_row["rationales"]["of_right_answers"] == {"right": 14, "wrong": 0, "not checkable": 0}
    assert worked_row["rationales"]["right_share_interval"] == pytest.approx(wilson_interval(14, 14))
    assert (worked_row["rationales"]["steps"], worked_row["rationales"]["steps_that_hold"]) == (40, 34)
    assert worked_row["dropped"] == 20 and worked_row["new_tokens"] == 10


def test_an_arm_asked_once_is_compared_with_every_run_of_the_direct_one():
    runs = [rows_of(ReasoningArm("direct", 8, seed=seed), [seed == 0, True, False]) for seed in range(2)]
    runs.append(rows_of(ReasoningArm("instruction"), [False, True, True], "wrong"))
    direct, instruction = summarise_reasoning(runs)
    assert direct["by_seed"] == pytest.approx([2 / 3, 1 / 3]) and direct["seeds"] == [0, 1]
    assert [(one["gained"], one["lost"]) for one in instruction["against"]["runs"]] == [(1, 1), (1, 0)]
    assert instruction["against"]["difference"] == pytest.approx(2 / 3 - 1 / 2)


def test_runs_that_do_not_pair_are_not_compared():
    runs = [rows_of(ReasoningArm("direct", 8, seed=seed), [True, False]) for seed in range(3)]
    runs += [rows_of(ReasoningArm("worked", 8, seed=seed), [True, False], "right") for seed in range(2)]
    assert summarise_reasoning(runs)[1]["against"] is None


def test_different_questions_are_not_summarised_together():
    runs = [rows_of(ReasoningArm("direct", 8), [True]), rows_of(ReasoningArm("zero_shot"), [True, False])]
    with pytest.raises(ValueError, match="different questions"):
        summarise_reasoning(runs)


def test_the_table_and_the_picture_show_every_arm(tmp_path):
    runs = [rows_of(ReasoningArm("direct", 8, seed=seed), [True, False, False]) for seed in range(2)]
    runs += [rows_of(ReasoningArm("worked", 8, seed=seed), [True, True, True], "right") for seed in range(2)]
    summaries = summarise_reasoning(runs)
    lines = reasoning_table(summaries).splitlines()
    assert [len(line.split("|")) for line in lines] == [11] * 4
    assert re.search(r"p = 0\.\d+ \(direct\)", lines[3])
    sure = [rows_of(ReasoningArm(name, 8), [name == "worked"] * 40, "right") for name in ("direct", "worked")]
    assert "p < 0.001 (direct)" in reasoning_table(summarise_reasoning(sure))
    assert "6 of 6" in lines[3] and "+66.7" in lines[3] and "33, 33" in lines[2]
    draw_reasoning(summaries, "title", tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_samples_vote_for_numbers_and_not_for_the_way_they_are_written(monkeypatch):
    handed = {}

    def complete(model, tokenizer, prompts, decoding, **options):
        handed.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "complete_prompts", complete)
    arm, tokenizer = ARMS["self_consistency"], build_char_tokenizer(["".join(map(chr, range(32, 127))) + "\n"])
    model = SimpleNamespace(config=GPT2Config())
    with pytest.raises(KeyboardInterrupt):
        answer_by_reasoning(model, tokenizer, ASKED, DEMONSTRATIONS, arm)
    vote = handed["vote_on"]
    assert vote("2 + 3 = 5. The answer is 5.") == vote("So it is 5.0 in all. The answer is 5.0.") is not None
    assert vote("The answer is 5.") != vote("The answer is 6.")
