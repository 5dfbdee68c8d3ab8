"""Prompts with demonstrations: what they say, what is dropped, what an arm is, and what is written down."""

import json
from itertools import combinations

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.prompting.incontext import (
    Arm,
    Prompt,
    PromptFormat,
    answer_in_context,
    arms_by_prompt,
    build_prompts,
    score_answer,
    sweep_arms,
)

POOL = Dataset.from_dict(
    {
        "question": [
            "Who wrote Emma?",
            "What is the capital of Peru?",
            "Which is the longest river?",
            "Who is Bo?",
        ],
        "answers": [["Jane Austen", "Austen"], ["Lima"], ["Nile"], ["Bo"]],
    }
)
ASKED = Dataset.from_dict({"question": ["Who wrote Ulysses?", "Who is Bo?"], "answers": [["James Joyce"], ["Bo"]]})


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes: every text is as many tokens as it has ASCII characters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def model(tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=160,
    )
    return LlamaForCausalLM(config)


def test_a_prompt_is_written_as_the_exercise_writes_it():
    (prompt,) = build_prompts(PromptFormat(), POOL, ["Who wrote Ulysses?"], [[1, 0]])
    assert prompt == Prompt(
        "Question: What is the capital of Peru?\nAnswer: Lima\n\n"
        "Question: Who wrote Emma?\nAnswer: Jane Austen\n\n"
        "Question: Who wrote Ulysses?\nAnswer:",
        demonstrations=(1, 0),
        dropped=0,
    )


def test_a_format_of_ones_own_puts_the_question_where_it_says():
    own = PromptFormat("{question}⁇{answer}⁇", separator="", end="⁇")
    (prompt,) = build_prompts(own, POOL, ["Where is {answer}?"], [[1]])
    assert prompt.text == "What is the capital of Peru?⁇Lima⁇Where is {answer}?⁇"


@pytest.mark.parametrize("template", ["{question} {nothing}", "{answer}: {question}", "{answer}"])
def test_a_format_that_does_not_ask_before_it_answers_is_refused(template):
    with pytest.raises(ValueError, match="must have {question} in it"):
        PromptFormat(template)


def test_a_format_without_an_end_is_refused():
    with pytest.raises(ValueError, match="end is empty"):
        PromptFormat(end="")


@given(st.integers(0, 400))
def test_whole_demonstrations_are_dropped_the_farthest_first(tokenizer, room):
    chosen = [[0, 1, 2]]
    whole = build_prompts(PromptFormat(), POOL, ["Who is Bo?"], chosen)[0].text
    blocks = whole.split("\n\n")
    if len(blocks[-1]) > room:
        with pytest.raises(
            ValueError, match=f"question 0 has no room.*takes {len(blocks[-1])} tokens.* has {room}"
        ):
            build_prompts(PromptFormat(), POOL, ["Who is Bo?"], chosen, tokenizer, room)
        return
    (prompt,) = build_prompts(PromptFormat(), POOL, ["Who is Bo?"], chosen, tokenizer, room)
    fitting = [blocks[start:] for start in range(4) if len("\n\n".join(blocks[start:])) <= room]
    assert prompt.text.split("\n\n") == fitting[0]
    assert prompt.dropped == 4 - len(fitting[0])
    assert prompt.demonstrations == (0, 1, 2)[prompt.dropped :]


def test_a_sweep_asks_each_different_arm_once():
    decodings = [Decoding(), Decoding("sample")]
    arms = sweep_arms([0, 1, 3], ["random", "fixed"], ["near_last", "shuffled"], decodings, [5, 6], [7, 8])
    assert len(arms) == len(set(arms))
    count = {shots: sum(arm.num_shots == shots for arm in arms) for shots in (0, 1, 3)}
    # none to select: greedy, and a sample a seed
    assert count[0] == 1 + 2
    # no order: random and fixed, greedy with two draws or the one, and a sample a seed
    assert count[1] == (2 + 1) + (2 + 2)
    # near_last once and shuffled twice
    assert count[3] == ((2 + 1) + (2 + 2)) * 3
    assert {arm.seed for arm in arms if arm.num_shots == 0 and arm.decoding == "greedy"} == {0}
    assert {arm.order_seed for arm in arms if arm.order != "shuffled"} == {0}


def test_arms_of_one_sweep_differ_in_their_names_and_so_do_those_of_two():
    decodings = [Decoding(), Decoding("beam", 2), Decoding("beam", 4), Decoding("sample", temperature=0.5)]
    arms = sweep_arms([0, 2], ["random"], ["shuffled"], decodings, [0, 1], [0, 1])
    names = [arm.digest(sweep) for arm in arms for sweep in ({"model": "a"}, {"model": "b"})]
    assert all(one != other for one, other in combinations(names, 2))
    assert arms[0].digest({"model": "a", "asked": 2}) == arms[0].digest({"asked": 2, "model": "a"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_shots": -1}, "num_shots must be 0 or more"),
        ({"num_shots": 2, "seed": -1}, "seed must be 0 or more"),
        ({"num_shots": 2, "order_seed": -1}, "order_seed must be 0 or more"),
        ({"num_shots": 2, "selection": "none"}, "unknown selection 'none'; choose one of random"),
        ({"num_shots": 2, "order": "backwards"}, "unknown order 'backwards'; choose one of near_last"),
        ({"num_shots": 2, "decoding": "guess"}, "method must be one of greedy"),
    ],
)
def test_an_arm_that_there_is_not_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Arm(**settings)


def test_the_exercises_metric_counts_what_the_others_do_not():
    assert score_answer("the NILE.", ["Nile"]) == {
        "answer_match": True,
        "contains": True,
        "f1": 1.0,
        "substring": True,
    }
    hedged = score_answer("Amazon or Nile", ["Nile"])
    assert (hedged["answer_match"], hedged["contains"], hedged["substring"]) == (False, True, True)
    assert 0 < hedged["f1"] < 1
    juvenile = score_answer("juvenile", ["Nile"])
    assert juvenile == {"answer_match": False, "contains": False, "f1": 0.0, "substring": True}


@pytest.mark.parametrize("decoding", [("greedy", 1), ("beam", 2), ("sample", 1), ("self_consistency", 3)])
def test_every_row_says_what_was_asked_and_what_came_out(model, tokenizer, decoding):
    arm = Arm(2, "random", "near_last", *decoding, seed=3)
    (rows,) = answer_in_context(model, tokenizer, POOL, ASKED, [arm], max_new_tokens=6, progress=False)
    assert json.loads(json.dumps(rows)) == rows
    assert [row["row"] for row in rows] == [0, 1]
    for row, question in zip(rows, ASKED, strict=True):
        assert (row["question"], row["answers"]) == (question["question"], question["answers"])
        assert row["prompt"].endswith(f"Question: {question['question']}\nAnswer:")
        assert row["prompt"].count("Question:") == len(row["demonstrations"]) + 1
        assert len(row["demonstrations"]) + row["dropped"] == 2
        assert 1 <= row["new_tokens"] <= 6 * decoding[1]
        assert row["scores"] == score_answer(row["output"], row["answers"])
        assert row["output"] in row["candidates"]
    assert 3 not in rows[1]["demonstrations"]  # the row of the pool that asks the same
    again = answer_in_context(model, tokenizer, POOL, ASKED, [arm], max_new_tokens=6, progress=False)
    assert again == [rows]


def test_a_prompt_longer_than_the_context_loses_demonstrations_and_the_row_says_how_many(model, tokenizer):
    (rows,) = answer_in_context(model, tokenizer, POOL, ASKED, [Arm(3, "fixed")], max_new_tokens=6, progress=False)
    assert [row["dropped"] for row in rows] == [1, 1]
    assert all(len(row["prompt"]) + 6 <= 160 for row in rows)


def test_a_question_without_an_accepted_answer_is_refused_before_it_is_asked(model, tokenizer):
    asked = Dataset.from_dict({"question": ["Who?", "What?"], "answers": [["I"], []]})
    with pytest.raises(ValueError, match=r"question 1 has no accepted answer.*What\?"):
        answer_in_context(model, tokenizer, POOL, asked, [Arm(0, "none", "none")])


def test_a_pool_smaller_than_the_shots_is_refused(model, tokenizer):
    with pytest.raises(ValueError, match="pool"):
        answer_in_context(model, tokenizer, POOL, ASKED, [Arm(4, "fixed")])


def test_arms_with_the_same_prompts_are_asked_together_and_answer_as_they_do_alone(model, tokenizer):
    decodings = [Decoding(), Decoding("beam", 2), Decoding("sample")]
    arms = sweep_arms([0, 2], ["random", "fixed"], ["near_last"], decodings, [0, 1], [0])
    groups = arms_by_prompt(arms)
    # no demonstrations; two draws; the first rows of the pool
    assert sorted(map(len, groups)) == [3, 3, 4, 4]
    assert sorted(map(id, arms)) == sorted(id(arm) for group in groups for arm in group)
    for group in groups:
        together = answer_in_context(model, tokenizer, POOL, ASKED, group, max_new_tokens=6, progress=False)
        for arm, rows in zip(group, together, strict=True):
            (alone,) = answer_in_context(model, tokenizer, POOL, ASKED, [arm], max_new_tokens=6, progress=False)
            assert [row["output"] for row in rows] == [row["output"] for row in alone]
            assert [row["prompt_hash"] for row in rows] == [row["prompt_hash"] for row in alone]


def test_arms_with_other_prompts_are_not_asked_together(model, tokenizer):
    with pytest.raises(ValueError, match="do not ask with the same prompts"):
        answer_in_context(model, tokenizer, POOL, ASKED, [Arm(2, seed=0), Arm(2, seed=1)])
