"""Law 2, through the stock `generate`: a cache changes the speed and nothing else."""

import pytest
import torch

STRATEGIES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "temperature": 1.3, "top_k": 8},
    "beam": {"do_sample": False, "num_beams": 3},
    "beam-sampling": {"do_sample": True, "num_beams": 2},
}


def prompts(variant, lengths: list[int]) -> dict[str, torch.Tensor]:
    """Left-padded prompts of the given lengths."""
    total = max(lengths)
    mask = torch.stack([(torch.arange(total) >= total - length).long() for length in lengths])
    return {"input_ids": variant.tokens(len(lengths), total) * mask, "attention_mask": mask}


def generate(model, inputs, seed: int = 0, **options) -> torch.Tensor:
    torch.manual_seed(seed)
    return model.generate(**inputs, pad_token_id=0, **options)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_generation_is_the_same_with_and_without_a_cache(variant, strategy):
    model = variant.model()
    inputs = prompts(variant, [9, 1, 4, 6])
    options = {**STRATEGIES[strategy], "max_new_tokens": variant.block - 9}
    cached = generate(model, inputs, use_cache=True, **options)
    uncached = generate(model, inputs, use_cache=False, **options)
    assert cached.shape == (4, variant.block)
    assert torch.equal(cached, uncached)


def test_prompts_of_every_length_can_be_continued_to_the_end_of_the_block(variant):
    model = variant.model()
    for length in (1, 3, 8, variant.block // 2, 17, variant.block - 1):
        inputs = prompts(variant, [length])
        options = {"do_sample": False, "max_new_tokens": variant.block - length}
        cached = generate(model, inputs, use_cache=True, **options)
        assert cached.shape == (1, variant.block)
        if length in (1, variant.block // 2, variant.block - 1):
            assert torch.equal(cached, generate(model, inputs, use_cache=False, **options))


def test_greedy_generation_takes_the_most_probable_token_of_a_plain_forward_pass(variant):
    model, tokens = variant.model(), variant.tokens(1, 5)
    generated = generate(model, {"input_ids": tokens}, do_sample=False, max_new_tokens=variant.block - 5)
    with torch.no_grad():
        best = model(generated, use_cache=False).logits.argmax(-1)
    assert torch.equal(generated[:, 5:], best[:, 4:-1])


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_an_answer_does_not_depend_on_its_batch_mates(variant, strategy):
    model = variant.model()
    lengths = [9, 1, 4, 6]
    inputs = prompts(variant, lengths)
    options = {**STRATEGIES[strategy], "max_new_tokens": 8}
    together = generate(model, inputs, **options)[:, 9:]
    for row, length in enumerate(lengths):
        alone = generate(model, {"input_ids": inputs["input_ids"][row : row + 1, -length:]}, **options)
        assert torch.equal(together[row : row + 1], alone[:, length:])


def test_an_end_token_stops_each_row_on_its_own(variant):
    model = variant.model()
    inputs = prompts(variant, [6, 3, 5, 2])
    free = generate(model, inputs, do_sample=False, max_new_tokens=12)
    end = int(free[0, 8])
    options = {"do_sample": False, "max_new_tokens": 12, "eos_token_id": end}
    cached = generate(model, inputs, use_cache=True, **options)
    assert torch.equal(cached, generate(model, inputs, use_cache=False, **options))
    for row in range(4):
        tail = cached[row, 6:].tolist()
        length = tail.index(end) + 1 if end in tail else len(tail)
        assert tail[:length] == free[row, 6 : 6 + length].tolist()
        assert not any(tail[length:])


def test_prompt_lookup_finds_the_greedy_answer_or_is_refused(variant):
    model = variant.model()
    tokens = variant.tokens(1, 3).repeat(1, 3)  # repetitive, so that lookup has something to propose
    # the library may look up past the last token that it is asked for, so the block must have room for that
    options = {"do_sample": False, "max_new_tokens": variant.block - 9 - 3}
    expected = generate(model, {"input_ids": tokens}, **options)
    lookup = {"prompt_lookup_num_tokens": 3, **options}
    if variant.croppable:
        assert torch.equal(generate(model, {"input_ids": tokens}, **lookup), expected)
    else:
        with pytest.raises(ValueError, match="no token can be taken back"):
            generate(model, {"input_ids": tokens}, **lookup)


@pytest.mark.parametrize("returned", [["output_attentions"], ["output_attentions", "output_hidden_states"]])
def test_checking_candidates_returns_attentions_or_says_why_not(variant, returned):
    model = variant.model("eager")
    options = {"do_sample": False, "max_new_tokens": variant.block - 9 - 3, "return_dict_in_generate": True}
    lookup = {"prompt_lookup_num_tokens": 3, **dict.fromkeys(returned, True)}
    prompt = {"input_ids": variant.tokens(1, 3).repeat(1, 3)}
    if variant.croppable and variant.has_attentions:
        checked = generate(model, prompt, **options, **lookup)
        assert torch.equal(checked.sequences, generate(model, prompt, **options).sequences)
        assert checked.attentions
    else:
        with pytest.raises(ValueError, match=r"leave out output_attentions|no token can be taken back"):
            generate(model, prompt, **options, **lookup)


def test_embeddings_can_stand_in_for_a_prompt(variant):
    model, tokens = variant.model(), variant.tokens(2, 6)
    expected = generate(model, {"input_ids": tokens}, do_sample=False, max_new_tokens=8)[:, 6:]
    embeddings = model.get_input_embeddings()(tokens)
    continued = generate(model, {"inputs_embeds": embeddings}, do_sample=False, max_new_tokens=8)
    assert torch.equal(continued, expected)


def test_a_static_cache_gives_the_same_or_is_refused_clearly(variant):
    model, inputs = variant.model(), prompts(variant, [7, 3])
    options = {"do_sample": False, "max_new_tokens": 9}
    static = {"cache_implementation": "static", "disable_compile": True}
    if variant.static_cache:
        assert torch.equal(generate(model, inputs, **options, **static), generate(model, inputs, **options))
    else:
        with pytest.raises(ValueError, match="dynamic cache only.*leave out cache_implementation"):
            generate(model, inputs, **options, **static)


@pytest.mark.parametrize("use_cache", [False, True], ids=["plain", "cache"])
def test_generating_beyond_the_block_is_an_error_that_names_the_limit(variant, use_cache):
    model = variant.model()
    with pytest.raises(ValueError, match=f"block of {variant.block} tokens"):
        generate(
            model,
            {"input_ids": variant.tokens(1, variant.block - 3)},
            do_sample=False,
            max_new_tokens=3 + 2,
            use_cache=use_cache,
        )
