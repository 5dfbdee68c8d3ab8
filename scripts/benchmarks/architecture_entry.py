"""One entry of `architectures.py`: an architecture at one length, trained, decoding, and its cache."""

import gc
import statistics
import sys
from collections.abc import Callable
from functools import partial

import psutil
import torch
from torch.nn import functional
from transformers import StoppingCriteria, StoppingCriteriaList

from closedbook.scripts.benchmarks.architecture_variants import (
    VARIANTS,
    VOCABULARY,
    build_model,
    config_fields,
    training_implementations,
)
from closedbook.scripts.benchmarks.measure import alternate, device, now, peak_memory_mib, reset_peak_memory
from closedbook.training.hardware import has_bf16

REFERENCE = "vanilla"
LONGEST_ANSWER = 64


def limit_memory(gib: float) -> None:
    """Make allocations fail in time, where the system would otherwise end this or another process.

    On Linux without a GPU; elsewhere nothing happens.
    """
    if sys.platform != "linux" or device().type != "cpu":
        return
    import resource  # Unix only

    allowed = gib * 2**30 if gib else 0.9 * psutil.virtual_memory().available
    resource.setrlimit(resource.RLIMIT_DATA, (int(allowed), resource.getrlimit(resource.RLIMIT_DATA)[1]))


def if_it_fits(work: Callable[[], dict]) -> dict:
    """What `work` returns, or `{"out_of_memory": True}`."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        told = ("out of memory", "can't allocate memory", "bad_alloc", "could not create a memory")
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in told):
            raise
    gc.collect()  # outside of the handler, which keeps the failed frames and their tensors
    return {"out_of_memory": True}


class Training:
    """A model with its optimizer and one fixed batch of random tokens."""

    def __init__(self, name: str, length: int, tokens: int):
        self.model = build_model(name, length).to(device()).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.bf16 = has_bf16(device().type == "cpu")
        self.ids = torch.randint(VOCABULARY, (max(1, tokens // length), length), device=device())
        self.kept = self.model.config.num_latents if VARIANTS[name].learns_end_only else 0

    def step(self) -> None:
        with torch.autocast(device().type, torch.bfloat16, enabled=self.bf16):
            if self.kept:
                logits = self.model(input_ids=self.ids, use_cache=False, logits_to_keep=self.kept).logits
                targets = self.ids[:, 1 - self.kept :]
                loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets.flatten())
            else:
                loss = self.model(input_ids=self.ids, labels=self.ids, use_cache=False).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def tokens_per_second(self, implementation: str, steps: int) -> float:
        self.model.set_attn_implementation(implementation)
        start = now()
        for _ in range(steps):
            self.step()
        return self.ids.numel() * steps / (now() - start)


def measure_training(args, name: str, length: int) -> dict:
    """By implementation: tokens a second, the ratio to vanilla with SDPA, peak memory."""
    before = peak_memory_mib()
    training = Training(name, length, args.tokens)
    result = {}

    def first_steps(implementation: str) -> dict:
        reset_peak_memory()
        training.tokens_per_second(implementation, args.warmup_steps)
        return {"peak_memory_mib": peak_memory_mib()}

    for implementation in training_implementations(name, device().type):
        result[implementation] = if_it_fits(partial(first_steps, implementation))
        training.optimizer.zero_grad()
    fitting = [implementation for implementation in result if "peak_memory_mib" in result[implementation]]
    sides = {each: partial(training.tokens_per_second, each, args.steps) for each in fitting}
    if name != REFERENCE and fitting:
        reference = Training(REFERENCE, length, args.tokens)
        reference.tokens_per_second("sdpa", args.warmup_steps)
        sides[REFERENCE] = partial(reference.tokens_per_second, "sdpa", args.steps)
    taken = alternate(sides, args.repeats, args.seconds)
    result |= {
        each: result[each] | _speed(taken, each, REFERENCE if name != REFERENCE else "sdpa") for each in fitting
    }
    facts = {
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "rows": len(training.ids),
        "predicted_tokens_of_a_row": (training.kept or length) - 1,
        "peak_before_mib": before,
    }
    if REFERENCE in taken:
        facts["reference"] = {"repeats": taken[REFERENCE]}
    return facts | {"implementations": result}


def _speed(taken: dict[str, list[float]], side: str, reference: str) -> dict:
    """Median, repeats, and the ratio to the reference if that was measured."""
    speed = {"tokens_per_second": statistics.median(taken[side]), "repeats": taken[side]}
    if reference in taken:
        speed["ratio"] = speed["tokens_per_second"] / statistics.median(taken[reference])
    return speed


class FirstAndLast(StoppingCriteria):
    """Never stops, and notes when the first and the last of `steps` new tokens were there."""

    def __init__(self, steps: int):
        self.steps, self.done, self.first, self.last = steps, 0, 0.0, 0.0

    def __call__(self, input_ids, scores, **kwargs):
        self.done += 1
        if self.done == 1:
            self.first = now()
        if self.done == self.steps:
            self.last = now()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def decode(model, prompt: torch.Tensor, new_tokens: int) -> tuple[float, float]:
    """Tokens a second after the first one, and seconds up to that one."""
    watch = FirstAndLast(new_tokens)
    start = now()
    model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=new_tokens,
        eos_token_id=None,
        pad_token_id=0,
        stopping_criteria=StoppingCriteriaList([watch]),
    )
    assert watch.done == new_tokens, "generation ended early"
    return len(prompt) * (new_tokens - 1) / (watch.last - watch.first), watch.first - start


def measure_decoding(args, name: str, length: int) -> dict:
    """Tokens a second of `generate`, the ratio to vanilla, and the cache."""
    new_tokens = min(LONGEST_ANSWER, length // 2)
    prompt = torch.randint(VOCABULARY, (args.decoding_rows, length // 2), device=device())
    models = {each: build_model(each, length).to(device()).eval() for each in dict.fromkeys((name, REFERENCE))}
    prompt_seconds = {each: [] for each in models}

    def tokens_per_second(each: str) -> float:
        speed, seconds = decode(models[each], prompt, new_tokens)
        prompt_seconds[each].append(seconds)
        return speed

    for model in models.values():
        decode(model, prompt[:, :8], 4)  # warms up
    taken = alternate({each: partial(tokens_per_second, each) for each in models}, args.repeats, args.seconds)
    return {
        **_speed(taken, name, REFERENCE),
        "prompt_seconds": statistics.median(prompt_seconds[name]),
        "prompt_ratio": statistics.median(prompt_seconds[REFERENCE]) / statistics.median(prompt_seconds[name]),
        "reference": {"repeats": taken[REFERENCE], "prompt_seconds": prompt_seconds[REFERENCE]},
        "rows": len(prompt),
        "prompt_tokens": prompt.shape[1],
        "new_tokens": new_tokens,
    }


@torch.no_grad()
def measure_cache(name: str, length: int) -> dict:
    """Bytes of one row after a prompt of half the length, and what each token of its second half added."""
    model = build_model(name, length).to(device()).eval()
    prompt = torch.randint(VOCABULARY, (1, length // 2), device=device())
    whole, half = (
        cache_bytes(model(input_ids=part, use_cache=True).past_key_values)
        for part in (prompt, prompt[:, : length // 4])
    )
    further = (whole - half) / (length // 2 - length // 4)
    return {
        "tokens": length // 2,
        "bytes_per_row": whole,
        "bytes_per_token": whole / (length // 2),
        "bytes_per_further_token": further,
        "constant": further == 0,
    }


def cache_bytes(cache) -> int:
    """Of keys, values and, where a layer keeps them, the places of its columns."""
    tensors = [
        tensor
        for layer in cache.layers
        for tensor in (layer.keys, layer.values, *(getattr(layer, "columns", None) or ()))
    ]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure_entry(args, name: str, length: int) -> dict:
    """All that is measured of one architecture at one length, with the flags of `architectures.py`."""
    entry = {"config": config_fields(name, length)}
    entry["training"] = if_it_fits(partial(measure_training, args, name, length))
    gc.collect()
    if not VARIANTS[name].learns_end_only:
        entry["decoding"] = if_it_fits(partial(measure_decoding, args, name, length))
        entry["cache"] = if_it_fits(partial(measure_cache, name, length))
    return entry
