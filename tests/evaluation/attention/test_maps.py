"""Captured maps are the model's own weights, and scores tell heads apart whose kind is known."""

import pytest
import torch

from closedbook.evaluation.attention.maps import (
    AskedText,
    ask,
    attention_maps,
    attention_weights,
    even_weights,
    induction_score,
    name_to_answer_score,
    previous_character_score,
    score_heads,
)
from closedbook.evaluation.attention.measured import (
    Setting,
    constructions_table,
    measure_errors,
    measure_identities,
    measure_scales,
    measure_spreads,
)
from closedbook.evaluation.reports.attention import LABELS_AT_MOST, draw_maps
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer

TOKENIZER = build_char_tokenizer(["Where was Ada Lovelace born? London ghijkmqxyz"])
TEXT = "was Ada born"


def model_of(**fields):
    sizes = {
        "vocab_size": len(TOKENIZER),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": 48,
        "initializer_range": 0.2,
    }
    classes = (PerceiverGPTConfig, PerceiverGPTForCausalLM)
    if "num_latents" not in fields:
        classes = (VanillaGPTConfig, VanillaGPTForCausalLM)
    torch.manual_seed(0)
    return classes[1](classes[0](**sizes | fields))


@pytest.mark.parametrize("attention", ["softmax", "bigbird", "synthesizer_dense", "synthesizer_random"])
def test_every_head_of_every_layer_is_shown_with_the_characters_of_the_text(attention):
    blocks = {"attention_block_size": 8} if attention == "bigbird" else {}
    maps = attention_maps(model_of(attention=attention, **blocks), TOKENIZER, TEXT)
    assert [item.name for item in maps] == ["layer 1", "layer 2", "layer 3"]
    for item in maps:
        assert item.over_tokens
        assert "".join(item.query_labels) == "".join(item.key_labels) == TEXT
        assert item.weights.shape == (2, len(TEXT), len(TEXT))
        torch.testing.assert_close(item.weights.sum(-1), torch.ones(2, len(TEXT)))
        assert not item.weights.triu(1).any()


def test_what_is_captured_is_what_the_first_layer_computes():
    model = model_of().eval()
    ids = TOKENIZER(TEXT, return_tensors="pt")["input_ids"]
    (_, captured), *_ = attention_weights(model, ids)
    block = model.model.layers[0]
    with torch.no_grad():
        hidden = model.model.embeddings(model.get_input_embeddings()(ids), torch.arange(len(TEXT))[None])
        normed = block.attention_norm(hidden)
        query, key = (
            block.self_attn.split_heads(part(normed)) for part in (block.self_attn.q_proj, block.self_attn.k_proj)
        )
        scores = query @ key.transpose(2, 3) / block.self_attn.head_dim**0.5
        hidden_later = torch.full_like(scores, -torch.inf).triu(1)
    torch.testing.assert_close(captured, (scores + hidden_later).softmax(-1))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_given_back_as_it_was(training):
    model = model_of().train(training)
    implementation = model.config._attn_implementation
    assert implementation != "eager"
    first, again = (attention_weights(model, torch.arange(2, 12)[None]) for _ in range(2))
    assert model.training is training
    assert model.config._attn_implementation == implementation
    assert torch.equal(first[0][1], again[0][1])  # without dropout, also in training mode


@pytest.mark.parametrize(
    ("layout", "names", "labels"),
    [
        (
            "spread",
            ["into the latents", "among latents, layer 2", "out of the latents"],
            ["latent 0 at 'w'", "latent 1 at 'A'", "latent 2 at 'b'"],
        ),
        ("prefix", ["into the latents", "among latents, layer 2", "out of the latents"], ["latent 1 at 'a'"]),
        ("last", ["into the latents", "among latents, layer 2", "among latents, layer 3"], []),
    ],
)
def test_latents_are_called_by_number_and_by_where_they_stand(layout, names, labels):
    maps = attention_maps(model_of(num_latents=12, latent_layout=layout), TOKENIZER, TEXT)
    assert [item.name for item in maps] == names
    assert all(item.over_tokens == (layout == "last") for item in maps)
    for item in maps:
        assert item.weights.shape[1:] == (len(item.query_labels), len(item.key_labels))
    assert maps[0].key_labels == tuple(TEXT)
    if layout == "last":
        assert maps[0].query_labels == tuple(TEXT)
    elif layout == "spread":  # 48 positions over 12 latents: every fourth
        assert maps[0].query_labels == tuple(labels)
        assert maps[-1].query_labels == tuple(TEXT)
        assert maps[-1].key_labels == (*labels, *TEXT)
    else:
        assert labels[0] in maps[0].query_labels
        assert len(maps[-1].key_labels) == 12


def test_an_architecture_without_weights_is_refused_and_the_others_are_named():
    model = model_of(attention="linformer", attention_block_size=8)
    with pytest.raises(ValueError, match="'linformer' has no weights over tokens to show.* Softmax"):
        attention_maps(model, TOKENIZER, TEXT)


def test_a_perceiver_over_landmarks_shows_its_ends():
    maps = attention_maps(model_of(num_latents=12, attention="linformer", attention_block_size=4), TOKENIZER, TEXT)
    assert [item.name for item in maps] == ["into the latents", "out of the latents"]


def test_damaged_weights_are_refused():
    model = model_of()
    torch.nn.init.constant_(model.model.layers[1].self_attn.q_proj.weight, float("nan"))
    with pytest.raises(ValueError, match="not numbers"):
        attention_maps(model, TOKENIZER, TEXT)


def one_hot(places: list[int]) -> torch.Tensor:
    """Weights of which row t lies on `places[t]` alone."""
    return torch.nn.functional.one_hot(torch.tensor(places), len(places)).float()


def test_a_perfect_head_scores_one_and_only_in_its_own_score():
    length = 12
    previous = one_hot([max(0, place - 1) for place in range(length)])
    half = length // 2
    induction = one_hot([0] * half + list(range(1, half + 1)))
    assert previous_character_score(previous) == 1
    assert induction_score(induction) == 1
    assert induction_score(previous) == 0
    assert previous_character_score(induction) == pytest.approx(1 / 11)  # the second position reads the first
    naming = one_hot([0] * 8 + [3, 4, 5, 5])
    assert name_to_answer_score(naming, (3, 6), 8) == 1
    assert name_to_answer_score(naming, (0, 3), 8) == 0
    assert name_to_answer_score(naming, (3, 5), 8) == 0.5


def test_even_attention_scores_what_counting_says():
    even = even_weights(10)
    torch.testing.assert_close(even.sum(-1), torch.ones(10))
    assert previous_character_score(even) == pytest.approx(sum(1 / (t + 1) for t in range(1, 10)) / 9)
    assert induction_score(even) == pytest.approx(sum(1 / (t + 1) for t in range(5, 10)) / 5)
    assert name_to_answer_score(even, (2, 5), 7) == pytest.approx(sum(3 / (t + 1) for t in (7, 8, 9)) / 3)


def test_scores_work_on_any_leading_axes():
    weights = torch.rand(3, 2, 4, 8, 8)
    for score in (
        previous_character_score,
        induction_score,
        lambda given: name_to_answer_score(given, (1, 3), 5),
    ):
        torch.testing.assert_close(score(weights)[1, 0, 2], score(weights[1, 0, 2]))


def induction_model() -> VanillaGPTForCausalLM:
    """Two layers of one head, set by hand: the first reads the previous character, the second finds itself there.

    The stream has three parts: the character (one-hot), the place (one-hot), the previous character (written by
    the first layer). A norm stands before each attention, but only makes scores larger or smaller.
    """
    characters, places = len(TOKENIZER), 2 * (len(TOKENIZER) - 2)
    size = 2 * characters + places
    config = VanillaGPTConfig(
        vocab_size=characters,
        hidden_size=size,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=1,
        max_position_embeddings=places,
    )
    model = VanillaGPTForCausalLM(config)
    who, where, before = torch.eye(size).split((characters, places, characters))
    with torch.no_grad():
        for layer in model.model.layers:
            for part in (*layer.self_attn.children(), layer.mlp.down_proj):
                part.weight.zero_()
                part.bias.zero_()
        model.model.embeddings.tokens.weight.copy_(who)
        model.model.embeddings.positions.weight.copy_(where)
        first, second = (layer.self_attn for layer in model.model.layers)
        first.q_proj.weight.copy_(100 * where[:-1].T @ where[1:])  # asks for the place before its own
        first.k_proj.weight.copy_(where.T @ where)
        first.v_proj.weight.copy_(who.T @ who)
        first.o_proj.weight.copy_(before.T @ who)
        second.q_proj.weight.copy_(100 * before.T @ who)  # asks who came after a character like itself
        second.k_proj.weight.copy_(before.T @ before)
    return model


def test_a_circuit_set_by_hand_is_recognised():
    previous, induction = score_heads(induction_model(), TOKENIZER, [AskedText(TEXT), AskedText("London born")])
    assert (previous["layer"], induction["layer"], previous["head"]) == ("layer 1", "layer 2", 1)
    assert previous["previous_character"]["score"] > 0.99
    assert previous["previous_character"]["control"] > 0.99  # it goes by places, whatever stands there
    assert previous["induction"]["score"] < 0.01
    # the first character has none before it and counts as its own: the first of the repetition finds two places
    length = len(TOKENIZER) - 2
    assert induction["induction"]["score"] == pytest.approx(1 - 0.5 / length, abs=1e-3)
    assert induction["induction"]["control"] < 0.2  # it goes by content: nothing is repeated
    assert induction["previous_character"]["score"] < 0.5
    assert previous["name_to_answer"] is None
    assert previous["previous_character"]["n"] == 2
    assert previous["previous_character"]["chance"] == pytest.approx(
        sum(float(previous_character_score(even_weights(length))) for length in (12, 11)) / 2
    )


def test_scores_repeat_with_their_seed():
    model, asked = model_of(), [AskedText(TEXT)]
    assert score_heads(model, TOKENIZER, asked, seed=1) == score_heads(model, TOKENIZER, asked, seed=1)
    assert score_heads(model, TOKENIZER, asked, seed=1) != score_heads(model, TOKENIZER, asked, seed=2)


def test_latents_have_no_scores():
    assert score_heads(model_of(num_latents=12), TOKENIZER, [AskedText(TEXT)]) == []


def test_a_question_is_answered_and_its_name_found():
    question = "Where was Ada Lovelace born?"
    asked, plain = ask(model_of(), TOKENIZER, [question, TEXT])
    assert asked.text.startswith(question + "⁇")
    assert asked.text[slice(*asked.name)] == "Ada Lovelace"
    assert asked.text[asked.answer] == "⁇"
    assert plain == AskedText(TEXT)
    (row, *_) = score_heads(model_of(), TOKENIZER, [asked])
    assert 0 <= row["name_to_answer"]["score"] <= 1
    assert row["name_to_answer"]["interval"] is None


def test_texts_that_cannot_be_looked_at_are_refused():
    with pytest.raises(ValueError, match="empty text"):
        ask(model_of(), TOKENIZER, [""])
    with pytest.raises(ValueError, match="at least one text"):
        score_heads(model_of(), TOKENIZER, [])
    with pytest.raises(ValueError, match="beyond this model's block of 48"):
        attention_maps(model_of(), TOKENIZER, "a" * 49)


def test_a_text_too_long_to_read_is_not_drawn(tmp_path):
    with pytest.raises(ValueError, match=f"at most {LABELS_AT_MOST} characters"):
        draw_maps([], AskedText("a" * (LABELS_AT_MOST + 1)), [], "title", tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_every_construction_holds_wherever_it_is_measured():
    setting = Setting(num_tokens=6, size=8, scale=12, draws=200, seed=3)
    errors = measure_errors(setting)
    assert len(errors) == 6 * 2 * 2
    assert all(row["holds"] and row["error"] <= row["tolerance"] for row in errors)
    for row in measure_scales(setting, [0.0, 5.0, 12.0]):
        for precision in ("float32", "float64"):
            assert row[precision] <= row[f"{precision}_tolerance"]
            assert row["bound"] <= row[f"{precision}_tolerance"]
    for row in measure_identities(setting, [0.0, 1.0, 3.0]):
        assert row["distance"] == pytest.approx(row["theory"], abs=1e-9)
    spreads = measure_spreads(setting, [0.1, 0.5])
    for row in spreads:
        allowed = 4 * row["std_standard_error"] + row["bias_at_most"]
        assert abs(row["std"] - row["theory_std"]) <= allowed
    table = constructions_table(errors, spreads, setting.draws)
    assert table.count("\n|") == 2 + len(errors) + 2 + len(spreads)


def test_settings_without_room_for_the_keys_are_refused():
    with pytest.raises(ValueError, match="num_tokens must lie between 6 and size"):
        Setting(num_tokens=9, size=8)
    with pytest.raises(ValueError, match="draws at least 2"):
        Setting(draws=1)
