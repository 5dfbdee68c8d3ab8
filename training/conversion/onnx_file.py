"""A causal language model as an ONNX graph with its cache, for programs without torch.

Inputs and outputs have the names that Optimum and transformers.js know: `input_ids`, `attention_mask`,
`position_ids` and `past_key_values.N.key` and `.value` go in, `logits` and `present.N.key` and `.value` come out.
Batch, tokens and what the cache holds are free. The graph is run beside the model before it is left behind.
"""

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from closedbook.data.writing.question_form import DEFAULT_PROMPT, PLACE
from closedbook.evaluation.files import write_text_atomic
from closedbook.modeling.tokenization_char import CharTokenizer
from closedbook.training.bases.loading import context_length
from closedbook.training.conversion.gpt2 import as_gpt2, as_plain
from closedbook.training.conversion.source import Source

FILE = "model.onnx"
FOLDER = "onnx"  # where Optimum and transformers.js look for it
OPSET = 18  # of the graph; what torch's exporter writes by default, and onnxruntime reads since 1.14
_ONE_FILE = 1_900_000_000  # bytes; a graph of more than 2 GB keeps its weights beside it
# batch, tokens in the cache, tokens read, tokens of padding before the first example
_CASES = ((1, 0, 1, 0), (1, 0, 7, 0), (3, 0, 5, 2), (1, 6, 1, 0), (2, 5, 3, 4), (2, 9, 1, 8))
_ALLOWED = 1e-4  # difference of logits, as a share of the largest one
_CARD = """---
library_name: {library}
pipeline_tag: text-generation
tags: [closedbook, onnx]
---

# {name} as ONNX

The model {name}, exported by closedbook with its cache. Logits differ from
the original's by {difference:.1e} at most, in batches of other sizes, with and
without padding and with a cache.
{asking}
```python
import numpy as np
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
session = onnxruntime.InferenceSession("onnx/model.onnx")
inputs = {{one.name: one.shape for one in session.get_inputs()}}
# an empty cache: each step reads the whole text; "present.*" of a run is the next one's "past_key_values.*"
held = {{name: shape for name, shape in inputs.items() if name.startswith("past")}}
past = {{name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in held.items()}}
ids = tokenizer.encode({prompt!r})
for _ in range(32):
    read = np.array([ids])
    feed = {{"input_ids": read, "attention_mask": np.ones_like(read), "position_ids": np.arange(len(ids))[None]}}
    feed = {{name: value for name, value in feed.items() if name in inputs}}
    ids.append(int(session.run(["logits"], feed | past)[0][0, -1].argmax()))
    if ids[-1] == tokenizer.eos_token_id:
        break
print(tokenizer.decode(ids))
```
"""
_ASKING = "\nIt is asked with the question and the mark `{mark}`, and writes the answer up to the next mark.\n"
_QUESTION = "Where was Ada Lovelace born?"


def check_installed() -> None:
    """Refuse where a package is missing that the export takes.

    Raises:
        ValueError: naming it.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ValueError(f"an export as ONNX needs {', '.join(missing)}: pip install 'closedbook[onnx]'")


def write_onnx(folder: Path, source: Source) -> dict[str, Any]:
    """Write graph, configuration, tokenizer and card, and return what is to be recorded.

    Raises:
        ValueError: for a model whose cache is not one of tokens at every layer.
        RuntimeError: if the graph computes something else.
    """
    difference = write_graph(folder / FOLDER / FILE, source.model)
    own = isinstance(source.tokenizer, CharTokenizer)
    try:
        config = as_gpt2(source.model).config  # the same function under a name that others know
    except ValueError:
        config = source.model.config
    config.save_pretrained(folder)
    source.model.generation_config.save_pretrained(folder)
    (as_plain(source.tokenizer) if own else source.tokenizer).save_pretrained(folder)
    asking = _ASKING.format(mark=source.tokenizer.mask_token) if own else ""
    library = "transformers.js" if config.model_type == "gpt2" else "onnx"
    prompt = _QUESTION + source.tokenizer.mask_token if own else DEFAULT_PROMPT.replace(PLACE, _QUESTION)
    card = _CARD.format(name=source.name, difference=difference, asking=asking, library=library, prompt=prompt)
    write_text_atomic(folder / "README.md", card)
    return {"parameters": source.model.num_parameters(), "largest_difference": difference, "opset": OPSET}


def write_graph(path: Path, model: PreTrainedModel) -> float:
    """Write the graph, run it beside the model, and return the largest difference of logits.

    Raises:
        ValueError: for a model whose cache is not one of tokens at every layer.
        RuntimeError: if the difference is more than rounding.
    """
    model = model.float().eval()
    example = _Example(model)
    ids, mask, positions, past = example.make(2, 3, 4, 1)
    names = [f"{layer}.{part}" for layer in range(example.layers) for part in ("key", "value")]
    batch, held, tokens = (torch.export.Dim(name) for name in ("batch", "held", "tokens"))
    free: dict[str, Any] = {"input_ids": {0: batch, 1: tokens}}
    free |= {"attention_mask": {0: batch, 1: torch.export.Dim.AUTO}}  # as long as both together
    free |= {"position_ids": {0: batch, 1: tokens} if example.takes_positions else None}
    free |= {"past": [({0: batch, 2: held}, {0: batch, 2: held}) for _ in past]}
    inputs = ["input_ids", "attention_mask", *(["position_ids"] if example.takes_positions else [])]
    path.parent.mkdir(parents=True, exist_ok=True)
    size = sum(weight.numel() for weight in model.parameters()) * 4
    with _quiet():
        program = torch.onnx.export(
            _Flat(model).eval(),
            (ids, mask, positions if example.takes_positions else None, past),
            dynamo=True,
            dynamic_shapes=free,
            input_names=inputs + [f"past_key_values.{name}" for name in names],
            output_names=["logits"] + [f"present.{name}" for name in names],
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None, "dynamo gives a program"
        program.save(str(path), external_data=size > _ONE_FILE)
    _forget_origins(path)
    return _hold_to_original(path, model, example)


def _forget_origins(path: Path) -> None:
    """Take out of a graph from which line of which file on this machine each of its nodes comes."""
    import onnx

    def clear(message: Any) -> None:
        for described, value in message.ListFields():
            if described.name in ("metadata_props", "doc_string"):
                message.ClearField(described.name)
            elif described.message_type is not None:
                for part in [value] if hasattr(value, "ListFields") else value:
                    clear(part)

    graph = onnx.load(path, load_external_data=False)
    clear(graph)
    onnx.save(graph, path)


class _Flat(torch.nn.Module):
    """A model whose cache goes in and comes out as tensors."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any, position_ids: Any, past: Any) -> tuple:
        cache = DynamicCache(past)
        more = {} if position_ids is None else {"position_ids": position_ids}
        found = self.model(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **more
        )
        return found.logits, *(part for layer in cache.layers for part in (layer.keys, layer.values))


class _Example:
    """What a model reads: random tokens, with a cache of its own making.

    Raises:
        ValueError: for a model whose cache is not one of tokens at every layer.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._block = context_length(model) or 1024
        self._generator = torch.Generator().manual_seed(0)
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        with torch.no_grad():
            found = model(input_ids=torch.zeros(1, 3, dtype=torch.long), use_cache=True)
        cache = getattr(found, "past_key_values", None)
        layers = getattr(cache, "layers", [])
        plain = [type(layer) is DynamicLayer and layer.keys.shape[2] == 3 for layer in layers]
        if not isinstance(cache, DynamicCache) or not plain or not all(plain):
            raise ValueError(
                f"{type(model).__name__} keeps no cache of every token at every layer, which is all that an ONNX "
                "graph can be given here: export a vanilla model, or share the folder as it is (scripts/push.py)"
            )
        self.layers = len(layers)
        self.nothing = [(layer.keys[:, :, :0], layer.values[:, :, :0]) for layer in layers]

    @torch.no_grad()
    def make(self, batch: int, held: int, tokens: int, padding: int) -> tuple[Any, Any, Any, list]:
        """Ids, mask, positions and cache; the first example begins with `padding` tokens of padding."""
        vocabulary = self._model.config.get_text_config().vocab_size
        ids = torch.randint(0, vocabulary, (batch, held + tokens), generator=self._generator)
        mask = torch.ones_like(ids)
        mask[0, :padding] = 0
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        past = [tuple(part.expand(batch, -1, -1, -1) for part in layer) for layer in self.nothing]
        if held:
            more = {"position_ids": positions[:, :held]} if self.takes_positions else {}
            cache = self._model(
                input_ids=ids[:, :held], attention_mask=mask[:, :held], use_cache=True, **more
            ).past_key_values
            past = [(layer.keys, layer.values) for layer in cache.layers]
        return ids[:, held:], mask, positions[:, held:], past

    def cases(self) -> Iterator[tuple[Any, Any, Any, list]]:
        """Every shape that is tried, as far as the block goes, and the whole block."""
        for batch, held, tokens, padding in (*_CASES, (1, 0, min(self._block, 1024), 0)):
            if held + tokens <= self._block:
                yield self.make(batch, held, tokens, padding)


@torch.no_grad()
def _hold_to_original(path: Path, model: PreTrainedModel, example: _Example) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for ids, mask, positions, past in example.cases():
        # as `transformers` itself goes on from a cache, and not as the graph was made
        cache = DynamicCache([tuple(part.clone() for part in layer) for layer in past])
        more = {"position_ids": positions} if example.takes_positions else {}
        wanted = model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **more).logits
        feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        feed |= {name: value.numpy() for name, value in more.items()}
        for number, layer in enumerate(past):
            feed |= {
                f"past_key_values.{number}.{part}": t.numpy()
                for part, t in zip(("key", "value"), layer, strict=True)
            }
        (found,) = session.run(["logits"], feed)
        read = mask[:, -ids.shape[1] :].bool().numpy()  # what is said after padding means nothing
        scale = max(1.0, float(np.abs(wanted.numpy()).max()))
        difference = float(np.abs(found - wanted.numpy())[read].max())
        if not difference <= _ALLOWED * scale:
            raise RuntimeError(
                f"the graph says something else than the model: logits differ by {difference:.1e} with "
                f"{tuple(ids.shape)} tokens after {past[0][0].shape[2]}"
            )
        largest = max(largest, difference)
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter tells of libraries that are not there and of its own names."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
