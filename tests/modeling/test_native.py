"""What users do with any model of transformers: pipelines, adapters, half precision, placement of weights."""

import math

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from closedbook.modeling.tokenization_char import build_char_tokenizer

CORPUS = ["Where was Zoë born?", "Orléans", "a\nb"]  # 18 characters: as many as the models under test know
PROMPTS = ["Was Zoë born", "Z", "Orléans?"]
GREEDY = {"do_sample": False, "max_new_tokens": 8}

# One of each kind of attention, and one of each latent layout; the other variants are marked slow.
ADAPTED = (
    "vanilla-rotary",
    "vanilla-synthesizer_dense",
    "vanilla-synthesizer_random",
    "vanilla-linformer",
    "prefix-bigbird-rotary",
    "spread-every-3rd",
    "last-synthesizer_dense",
)


@pytest.fixture
def tokenizer():
    tokenizer = build_char_tokenizer(CORPUS)
    tokenizer.padding_side = "left"  # a prompt has to end where the answer begins
    return tokenizer


def logits(model, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens.to(model.device)).logits.cpu()


def generate(model, tokens: torch.Tensor, **options) -> torch.Tensor:
    tokens = tokens.to(model.device)
    mask = torch.ones_like(tokens)
    return model.generate(input_ids=tokens, attention_mask=mask, pad_token_id=0, **GREEDY, **options).cpu()


@pytest.fixture(autouse=True)
def no_parallel_tokenizers(monkeypatch):
    """As pipelines of texts set it for the whole process, where it is not set."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


def test_a_text_generation_pipeline_answers_a_batch_as_it_answers_one_by_one(variant, tokenizer):
    for seed in range(9):  # some random models say the same to everything, which would show nothing
        model = variant.model(seed=seed)
        ask = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
        alone = [ask(prompt, return_full_text=False, **GREEDY)[0]["generated_text"] for prompt in PROMPTS]
        if all(alone) and len(set(alone)) > 1:
            break
    assert all(alone) and len(set(alone)) > 1
    for size in (2, 3):
        batch = ask(PROMPTS, batch_size=size, return_full_text=False, **GREEDY)
        assert [answers[0]["generated_text"] for answers in batch] == alone
    prompt = tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    whole = ask(PROMPTS[0], **GREEDY)[0]["generated_text"]
    written = tokenizer.decode(generate(model, prompt)[0], skip_special_tokens=True)
    assert whole == PROMPTS[0] + alone[0] == written


def test_a_pipeline_is_made_from_a_folder(variants, tokenizer, tmp_path):
    model = variants[0].model()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ask = pipeline("text-generation", model=str(tmp_path), device="cpu")
    assert ask.tokenizer.padding_side == "left"
    made = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    options = {"batch_size": 3, "num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 5, "do_sample": False}
    assert ask(PROMPTS, **options) == made(PROMPTS, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_a_model_loaded_in_half_precision_computes_and_writes_nearly_the_same(variant, dtype, tmp_path):
    model, tokens = variant.model(), variant.tokens(4, variant.block)
    model.save_pretrained(tmp_path)
    half = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    expected = logits(model, tokens)
    # a number keeps 8 or 11 bits; errors of some forty roundings in a row, at random, relative to the spread
    tolerance = 40 * torch.finfo(dtype).eps * expected.std()
    assert (logits(half, tokens).float() - expected).abs().max() < tolerance
    written = generate(half, tokens[:, :5])
    assert written.shape == (4, 13)
    # what it writes need not be the very same, but each token is as good as the best one within the tolerance
    scores = logits(model, written)[:, 4:-1]
    chosen = scores.gather(-1, written[:, 5:, None]).squeeze(-1)
    assert (scores.amax(-1) - chosen).max() < 2 * tolerance


def test_weights_placed_by_accelerate_give_the_same_logits(variant, tmp_path):
    model, tokens = variant.model(), variant.tokens(2, 9)
    model.save_pretrained(tmp_path)
    on_cpu = AutoModelForCausalLM.from_pretrained(tmp_path, device_map="cpu")
    assert torch.equal(logits(on_cpu, tokens), logits(model, tokens))
    wherever = AutoModelForCausalLM.from_pretrained(tmp_path, device_map="auto")
    # an accelerator sums in another order
    torch.testing.assert_close(logits(wherever, tokens), logits(model, tokens), atol=1e-4, rtol=1e-4)


def test_weights_that_do_not_fit_into_memory_are_read_from_disk(variant, tmp_path):
    model, tokens = variant.model(), variant.tokens(2, 6)
    model.save_pretrained(tmp_path / "model")
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    placed = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", device_map="auto", max_memory={"cpu": size // 2}, offload_folder=tmp_path / "offload"
    )
    assert set(placed.hf_device_map.values()) == {"cpu", "disk"}
    assert any(parameter.is_meta for parameter in placed.parameters())
    tokens_written = generate(placed, tokens)
    assert torch.equal(logits(placed, tokens_written), logits(model, tokens_written))
    assert torch.equal(tokens_written, generate(model, tokens))


def adapted(variant, seed: int = 0, **options):
    """A model with a fresh adapter, and that adapter's parameters."""
    torch.manual_seed(seed)
    return get_peft_model(variant.model(), LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.0, **options))


def train(model, tokens: torch.Tensor, steps: int = 4) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    model.train()
    for _ in range(steps):
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


def check_adapter(variant, folder) -> None:
    """Train, save, load onto a fresh base, merge, save and load what was merged; generate at each station."""
    base, tokens = variant.model(), variant.tokens(4, variant.block)
    untouched = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = adapted(variant, target_modules="all-linear")
    assert torch.equal(logits(model, tokens), logits(base, tokens))  # a fresh adapter adds nothing
    inner = [name for name, module in base.named_modules() if isinstance(module, torch.nn.Linear)]
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * (len(inner) - 1)  # two matrices for each map but the head
    assert all("lora_" in name for name in trained)
    losses = train(model, tokens)
    assert losses[-1] < losses[0]
    expected, answer = logits(model, tokens), generate(model, tokens[:, :5])
    assert not torch.allclose(expected, logits(base, tokens), atol=1e-2)
    model.save_pretrained(folder / "adapter")

    loaded = PeftModel.from_pretrained(variant.model(), folder / "adapter").eval()
    assert torch.equal(logits(loaded, tokens), expected)
    assert torch.equal(generate(loaded, tokens[:, :5]), answer)
    for name, tensor in loaded.unload().state_dict().items():
        assert torch.equal(tensor, untouched[name]), name

    native = variant.model()  # transformers' own way to load an adapter
    native.load_adapter(str(folder / "adapter"))
    assert torch.equal(logits(native, tokens), expected)

    merged = model.merge_and_unload()
    # sums in another order
    torch.testing.assert_close(logits(merged, tokens), expected, atol=1e-4, rtol=1e-4)
    merged.save_pretrained(folder / "merged")
    again, info = AutoModelForCausalLM.from_pretrained(folder / "merged", output_loading_info=True)
    assert not any(info.values())
    assert torch.equal(logits(again, tokens), logits(merged, tokens))
    assert torch.equal(generate(again, tokens[:, :5]), generate(merged, tokens[:, :5]))


@pytest.mark.parametrize("name", ADAPTED)
def test_a_lora_adapter_is_trained_saved_loaded_and_merged(variants, name, tmp_path):
    check_adapter(next(variant for variant in variants if variant.name == name), tmp_path)


@pytest.mark.slow
def test_every_variant_takes_a_lora_adapter(variant, tmp_path):
    check_adapter(variant, tmp_path)


def test_an_adapter_can_be_given_to_named_maps_only(variant):
    model = adapted(variant, target_modules=["v_proj", "o_proj"])
    owners = {name.split(".lora_")[0].rsplit(".", 1)[1] for name, p in model.named_parameters() if p.requires_grad}
    assert owners == {"v_proj", "o_proj"}
    tokens = variant.tokens(4, variant.block)
    losses = train(model, tokens)
    assert losses[-1] < losses[0] and all(map(math.isfinite, losses))


def test_checkpointing_changes_no_gradient_of_an_adapter(variant):
    tokens, gradients = variant.tokens(2, 12), []
    for checkpointing in (False, True):
        model = adapted(variant, target_modules="all-linear", init_lora_weights=False).train()
        if checkpointing:
            model.enable_input_require_grads()  # the first block is frozen, and has to be told to look back
            model.base_model.model.activation_checkpointing_enable()
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert any(gradient is not None for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        if gradient is None:
            assert gradients[1][name] is None, name
        else:
            torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_the_folder_of_a_model_gives_its_tokenizer_to_the_pipeline_of_an_adapter(variants, tokenizer, tmp_path):
    variants[0].model().save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
    torch.manual_seed(0)
    model = get_peft_model(base, config)
    model.save_pretrained(tmp_path / "adapter")
    # the adapter remembers where its base lies
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter")
    reader = AutoTokenizer.from_pretrained(tmp_path / "base")
    ask = pipeline("text-generation", model=loaded, tokenizer=reader, device="cpu")
    prompt = tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    written = tokenizer.decode(generate(model, prompt)[0], skip_special_tokens=True)
    assert ask(PROMPTS[0], **GREEDY)[0]["generated_text"] == written
