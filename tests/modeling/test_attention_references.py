"""Each mixer against its definition, written out a second time: loops over positions, in float64.

The references read the weights of a constructed module and nothing else of it.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.mixing import mix_tokens
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.positions import rotary_angles, rotate

WIDTH, HEADS, BLOCK = 8, 2, 24
HEAD = WIDTH // HEADS
FEW = settings(max_examples=15)
# softmax and rotary angles are float32 inside; the rest of the arithmetic is float64 on both sides
CLOSE = {"atol": 2e-6, "rtol": 2e-6}


def vanilla(implementation: str = "sdpa", seed: int = 0, **fields):
    """A float64 model of one block whose weights are far from their initial scale."""
    sizes = {
        "vocab_size": 11,
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 1,
        "max_position_embeddings": BLOCK,
        "eos_token_id": None,
    }
    config = VanillaGPTConfig(**{**sizes, **fields})
    return enlarged(VanillaGPTForCausalLM._from_config(config, attn_implementation=implementation), seed)


def enlarged(model, seed: int):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return model.double().eval()


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mix(model, inputs: torch.Tensor) -> torch.Tensor:
    """What the mixer of the only block makes of `inputs` `(T, D)`."""
    mixing = mix_tokens(model.config, inputs.unsqueeze(0), None, None, None)
    if model.config.position == "rotary":
        positions = torch.arange(inputs.shape[0]).unsqueeze(0)
        mixing["rotary"] = rotary_angles(positions, HEAD, model.config.rope_theta, inputs.dtype)
    with torch.no_grad():
        return model.model.layers[0].self_attn(inputs.unsqueeze(0), **mixing)[0][0]


# The references.


def linear(layer, vector: torch.Tensor) -> torch.Tensor:
    return layer.weight.detach() @ vector + layer.bias.detach()


def of_head(vector: torch.Tensor, head: int) -> torch.Tensor:
    return vector[head * HEAD : (head + 1) * HEAD]


def average(scores: list[float], values: list[torch.Tensor]) -> torch.Tensor:
    """Values weighted by the softmax of their scores."""
    largest = max(scores)
    weights = [math.exp(score - largest) for score in scores]
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)


def turned(vector: torch.Tensor, position: int, theta: float = 10_000.0) -> torch.Tensor:
    """Rotary positions as multiplication by a complex number of length one."""
    half = vector.shape[0] // 2
    turned = []
    for number in range(half):
        angle = position * theta ** (-number / half)
        turned.append(complex(vector[number], vector[number + half]) * complex(math.cos(angle), math.sin(angle)))
    numbers = [number.real for number in turned] + [number.imag for number in turned]
    return torch.tensor(numbers, dtype=vector.dtype)


def turn_for(config, vector: torch.Tensor, position: int) -> torch.Tensor:
    return turned(vector, position, config.rope_theta) if config.position == "rotary" else vector


def each_head(mixer, inputs: torch.Tensor, one_head) -> torch.Tensor:
    """Concatenate the heads of every position and project them back, `(T, D)`."""
    rows = []
    for position in range(len(inputs)):
        heads = [one_head(position, head) for head in range(HEADS)]
        rows.append(linear(mixer.o_proj, torch.cat(heads)))
    return torch.stack(rows)


def reference_dot_products(mixer, inputs: torch.Tensor, may_read) -> torch.Tensor:
    """Softmax attention where `may_read(query position, key position)` allows it, among earlier ones."""

    def one_head(position, head):
        query = turn_for(mixer.config, of_head(linear(mixer.q_proj, inputs[position]), head), position)
        scores, values = [], []
        for other in range(position + 1):
            if may_read(position, other):
                key = turn_for(mixer.config, of_head(linear(mixer.k_proj, inputs[other]), head), other)
                scores.append(float(query @ key) / math.sqrt(HEAD))
                values.append(of_head(linear(mixer.v_proj, inputs[other]), head))
        return average(scores, values)

    return each_head(mixer, inputs, one_head)


def reference_dense_synthesizer(mixer, inputs: torch.Tensor) -> torch.Tensor:
    def one_head(position, head):
        hidden = of_head(linear(mixer.w1_proj, inputs[position]), head).clamp(min=0)
        scores = (hidden @ mixer.w2.detach() + mixer.b2.detach()).tolist()
        scores.append(0.0)  # the last position of the block has no column of its own
        values = [of_head(linear(mixer.v_proj, inputs[other]), head) for other in range(position + 1)]
        return average(scores[: position + 1], values)

    return each_head(mixer, inputs, one_head)


def reference_random_synthesizer(mixer, inputs: torch.Tensor) -> torch.Tensor:
    def one_head(position, head):
        scores = [*mixer.position_scores[head, position].tolist(), 0.0]
        values = [of_head(linear(mixer.v_proj, inputs[other]), head) for other in range(position + 1)]
        return average(scores[: position + 1], values)

    return each_head(mixer, inputs, one_head)


def reference_linformer(mixer, inputs: torch.Tensor) -> torch.Tensor:
    """Landmarks of block b are the mean over the blocks before it of `E_j K_j`; one softmax over all."""
    size, config = mixer.config.attention_block_size, mixer.config

    def landmarks(projections, tokens: list[torch.Tensor], block: int, head: int) -> list[torch.Tensor]:
        if not config.share_landmark_projections:
            projections = projections[:, head : head + 1]
        made = []
        for number in range(config.num_landmarks):
            total = torch.zeros(HEAD, dtype=torch.float64)
            for earlier in range(block):
                for place in range(size):
                    total += projections[earlier, 0, place, number] * tokens[earlier * size + place]
            made.append(total / block)
        return made

    def one_head(position, head):
        block = position // size
        places = range(position + 1)
        keys = [turn_for(config, of_head(linear(mixer.k_proj, inputs[i]), head), i) for i in places]
        values = [of_head(linear(mixer.v_proj, inputs[i]), head) for i in places]
        query = turn_for(config, of_head(linear(mixer.q_proj, inputs[position]), head), position)
        read_keys, read_values = keys[block * size :], values[block * size :]
        if block:
            read_keys = landmarks(mixer.key_landmarks.detach(), keys, block, head) + read_keys
            read_values = landmarks(mixer.value_landmarks.detach(), values, block, head) + read_values
        return average([float(query @ key) / math.sqrt(HEAD) for key in read_keys], read_values)

    return each_head(mixer, inputs, one_head)


def reference_bigbird(mixer, inputs: torch.Tensor) -> torch.Tensor:
    config = mixer.config

    def may_read(position, other):
        block, other_block = position // config.attention_block_size, other // config.attention_block_size
        return (
            block - other_block < config.num_window_blocks
            or other_block < config.num_global_blocks
            or other_block in config.random_blocks[block]
        )

    return reference_dot_products(mixer, inputs, may_read)


# The mixers against them.

LENGTHS = (1, 2, 5, 8, 13, BLOCK)
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["eager", "sdpa"])


def compare(model, reference, lengths=LENGTHS) -> None:
    for length in lengths:
        inputs = noise(length, WIDTH, seed=length)
        expected = reference(model.model.layers[0].self_attn, inputs)
        torch.testing.assert_close(mix(model, inputs), expected, **CLOSE)


@IMPLEMENTATIONS
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_softmax_attention_is_its_definition(implementation, position):
    compare(
        vanilla(implementation, position=position),
        lambda mixer, inputs: reference_dot_products(mixer, inputs, lambda query, key: True),
    )


@IMPLEMENTATIONS
def test_the_dense_synthesizer_is_its_definition(implementation):
    compare(vanilla(implementation, attention="synthesizer_dense"), reference_dense_synthesizer)


@IMPLEMENTATIONS
def test_the_random_synthesizer_is_its_definition(implementation):
    compare(vanilla(implementation, attention="synthesizer_random"), reference_random_synthesizer)


@IMPLEMENTATIONS
@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "per-head"])
def test_causal_linformer_is_its_definition(implementation, position, shared):
    fields = {"attention_block_size": 4, "num_landmarks": 3, "share_landmark_projections": shared}
    compare(vanilla(implementation, attention="linformer", position=position, **fields), reference_linformer)


@IMPLEMENTATIONS
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_bigbird_is_its_definition(implementation, position):
    fields = {"attention_block_size": 4, "num_window_blocks": 1, "num_random_blocks": 1}
    compare(vanilla(implementation, attention="bigbird", position=position, **fields), reference_bigbird)


BLOCK_SIZES = st.sampled_from([size for size in range(1, BLOCK + 1) if BLOCK % size == 0])


@FEW
@given(BLOCK_SIZES, st.integers(1, BLOCK), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_linformer_of_any_blocks_landmarks_and_length_is_its_definition(size, length, landmarks, shared, seed):
    fields = {"attention_block_size": size, "num_landmarks": landmarks, "share_landmark_projections": shared}
    compare(vanilla(seed=seed, attention="linformer", **fields), reference_linformer, [length])


@FEW
@given(BLOCK_SIZES, st.integers(1, BLOCK), st.data())
def test_bigbird_of_any_blocks_and_length_is_its_definition(size, length, data):
    num_blocks = BLOCK // size
    window = data.draw(st.integers(1, num_blocks))
    num_global = data.draw(st.integers(0, num_blocks - window))
    fields = {
        "attention_block_size": size,
        "num_window_blocks": window,
        "num_global_blocks": num_global,
        "num_random_blocks": data.draw(st.integers(0, num_blocks - window - num_global)),
        "random_block_seed": data.draw(st.integers(0, 99)),
    }
    compare(vanilla(attention="bigbird", **fields), reference_bigbird, [length])


@FEW
@given(st.integers(1, 8), st.integers(0, 500), st.sampled_from([100.0, 10_000.0]), st.integers(0, 99))
def test_rotary_positions_multiply_by_a_complex_number(half, position, theta, seed):
    vector = noise(2 * half, seed=seed)
    angles = rotary_angles(torch.tensor([[position]]), 2 * half, theta, torch.float64)
    # angles are float32, exact to about a part in ten million of the position
    torch.testing.assert_close(
        rotate(vector.view(1, 1, 1, -1), angles).flatten(), turned(vector, position, theta), atol=3e-4, rtol=0
    )


@FEW
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 99))
def test_rotary_scores_depend_on_the_difference_of_positions_only(first, second, shift, seed):
    query, key = noise(2, 1, 1, 1, 8, seed=seed)

    def score(query_position, key_position):
        sides = []
        for vector, position in ((query, query_position), (key, key_position)):
            sides.append(rotate(vector, rotary_angles(torch.tensor([[position]]), 8, 10_000.0, torch.float64)))
        return float((sides[0] * sides[1]).sum())

    assert score(first, second) == pytest.approx(score(first + shift, second + shift), abs=2e-4)
    assert score(first, first) == pytest.approx(float((query * key).sum()), abs=2e-4)


# Perceiver AR: the whole model written out for the last stretch of the input.


def normalised(norm, vector: torch.Tensor) -> torch.Tensor:
    centred = vector - vector.mean()
    return centred / torch.sqrt((centred**2).mean() + norm.eps) * norm.weight.detach() + norm.bias.detach()


def feed_forward(block, vector: torch.Tensor) -> torch.Tensor:
    up = linear(block.mlp.up_proj, normalised(block.feed_forward_norm, vector))
    activated = torch.tensor([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in up.tolist()], dtype=up.dtype)
    return vector + linear(block.mlp.down_proj, activated)


def attended(mixer, query: torch.Tensor, at: int, sources: list[torch.Tensor], places: list[int]) -> torch.Tensor:
    heads = []
    for head in range(HEADS):
        asked = turn_for(mixer.config, of_head(linear(mixer.q_proj, query), head), at)
        scores, values = [], []
        for source, place in zip(sources, places, strict=True):
            key = turn_for(mixer.config, of_head(linear(mixer.k_proj, source), head), place)
            scores.append(float(asked @ key) / math.sqrt(HEAD))
            values.append(of_head(linear(mixer.v_proj, source), head))
        heads.append(average(scores, values))
    return linear(mixer.o_proj, torch.cat(heads))


def perceiver_ar(model, tokens: list[int], num_latents: int) -> torch.Tensor:
    """Logits at the last `num_latents` tokens: they read everything up to themselves once, then each other."""
    stack, places = model.model, range(len(tokens))
    inputs = [stack.embeddings.tokens.weight.detach()[token] for token in tokens]
    if stack.embeddings.positions is not None:
        inputs = [vector + stack.embeddings.positions.weight.detach()[i] for i, vector in enumerate(inputs)]
    latents, first = {}, len(tokens) - num_latents
    down = stack.down_block
    read = [normalised(down.attention_norm, vector) for vector in inputs]
    for place in places[first:]:
        mixed = attended(down.self_attn, read[place], place, read[: place + 1], list(places[: place + 1]))
        latents[place] = feed_forward(down, inputs[place] + mixed)
    for block in stack.layers:
        read = {place: normalised(block.attention_norm, vector) for place, vector in latents.items()}
        after = {}
        for place in latents:
            earlier = [other for other in latents if other <= place]
            mixed = attended(block.self_attn, read[place], place, [read[other] for other in earlier], earlier)
            after[place] = feed_forward(block, latents[place] + mixed)
        latents = after
    head = model.lm_head.weight.detach()
    return torch.stack([head @ normalised(stack.norm, vector) for vector in latents.values()])


@torch.no_grad()
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_the_last_layout_is_perceiver_ar_for_the_last_stretch(position):
    config = PerceiverGPTConfig(
        vocab_size=11,
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_hidden_layers=3,
        max_position_embeddings=BLOCK,
        num_latents=5,
        latent_layout="last",
        position=position,
        eos_token_id=None,
    )
    model = enlarged(PerceiverGPTForCausalLM._from_config(config, attn_implementation="sdpa"), seed=0)
    for length in (1, 4, 5, 6, 12, 15, BLOCK):
        tokens = torch.randint(2, 11, (length,), generator=torch.Generator().manual_seed(length)).tolist()
        num_latents = (length - 1) % 5 + 1
        expected = perceiver_ar(model, tokens, num_latents)
        for logits in (
            model(torch.tensor([tokens])).logits[0, -num_latents:],
            model(torch.tensor([tokens]), logits_to_keep=num_latents, use_cache=False).logits[0],
        ):
            torch.testing.assert_close(logits, expected, **CLOSE)
