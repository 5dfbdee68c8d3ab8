"""What the heads of a trained model look at: captured attention maps, and scores that say what kind a head is.

Three scores, each a mean attention weight in [0, 1], so that 1 means "all of its attention, always":

* **previous character**: of position t to position t - 1. Such heads let a later layer know what came before a
  character, the first half of an induction circuit (Elhage et al. 2021, "A Mathematical Framework for Transformer
  Circuits").
* **induction** (Olsson et al. 2022, "In-context Learning and Induction Heads"): on a random sequence that is
  repeated, of every position of the repetition to the position *after* the same character's first occurrence:
  where what comes next can be read off.
* **name to answer**: for a question about someone, of the positions that produce the answer (the mark that ends
  the question, and every character of the answer) to the characters of the name, added up over the name.

A number alone says little, so each comes with two others. `chance` is the score of attention that is spread evenly
over a position and all before it. `control` is the score of the same head at the same places when the content
says nothing: the characters of the text shuffled, for induction another random sequence in place of the
repetition. A head that scores high in the control, too, goes by places, not by what is written there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.question_format import entity_of_question
from closedbook.data.writing.question_form import encode_prompt
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.statistics.intervals import bootstrap_interval

SCORES = ("previous_character", "induction", "name_to_answer")
_SHUFFLES = 8  # of each text, for the control
_REPEATED_SEQUENCES = 20  # of each kind


@dataclass(frozen=True)
class AttentionMap:
    """The weights of one layer on one text.

    Attributes:
        name: which layer, as a title.
        weights: `(heads, queries, keys)`; every row sums to 1.
        query_labels, key_labels: the characters, or for a Perceiver's latents their numbers.
        over_tokens: whether queries and keys both are the tokens of the text.
    """

    name: str
    weights: torch.Tensor
    query_labels: tuple[str, ...]
    key_labels: tuple[str, ...]
    over_tokens: bool


@dataclass(frozen=True)
class AskedText:
    """A text to look at; where it is a question with its answer, also which characters are the name and the
    answer.

    Attributes:
        text: a character a token.
        name: first character of the name and the one after its last, or None.
        answer: place from which on every position produces a character of the answer or its end, or None.
    """

    text: str
    name: tuple[int, int] | None = None
    answer: int | None = None


def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[AskedText]:
    """Let the model answer those texts that are questions, and find the name in them; others stay as they are.

    Raises:
        ValueError: for an empty text, or one that the model cannot read; see `answer_questions`.
    """
    if not all(texts):
        raise ValueError("there is nothing to look at in an empty text")
    questions = list(dict.fromkeys(text for text in texts if text.endswith("?")))
    answers = {}
    if questions:
        answered = answer_questions(model, tokenizer, questions, progress=False)
        answers = {question: answer.text for question, answer in zip(questions, answered, strict=True)}
    return [
        _asked(text, tokenizer.mask_token, answers[text]) if text in answers else AskedText(text) for text in texts
    ]


def _asked(question: str, mark: str, answer: str) -> AskedText:
    name = entity_of_question(question)
    place = question.find(name)
    known = name != question.strip() and place >= 0
    return AskedText(question + mark + answer, (place, place + len(name)) if known else None, len(question))


@torch.no_grad()
def attention_weights(model: PreTrainedModel, input_ids: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """`(name, weights (B, heads, queries, keys))` of every layer that has weights.

    Fused kernels keep none, so the model computes them with the eager implementation; it is given back as it was.

    Args:
        input_ids: `(B, T)`, without padding.

    Raises:
        ValueError: for an architecture without weights over tokens or latents, more tokens than the model's block,
            or weights that are not numbers.
    """
    with _eager(model):
        found = model(input_ids.to(model.device), output_attentions=True, use_cache=False).attentions
    weights = [layer.float().cpu() for layer in found or () if layer is not None]
    if not weights:
        raise ValueError(
            f"attention {model.config.attention!r} has no weights over tokens to show: it reads the past through "
            "learned landmarks. Softmax, bigbird and the synthesizers have them"
        )
    if not all(bool(torch.isfinite(layer).all()) for layer in weights):
        raise ValueError("the attention weights are not numbers (NaN): the model's own weights are damaged")
    return list(zip(_layer_names(model.config, len(weights)), weights, strict=True))


@contextmanager
def _eager(model: PreTrainedModel) -> Iterator[None]:
    training, implementation = model.training, model.config._attn_implementation
    model.eval().set_attn_implementation("eager")
    try:
        yield
    finally:
        model.train(training).set_attn_implementation(implementation)


def _layer_names(config, num_layers: int) -> list[str]:
    if config.model_type != "perceiver_gpt":
        return [f"layer {number + 1}" for number in range(num_layers)]
    last = config.latent_layout == "last"
    ends = ["into the latents"] if last else ["into the latents", "out of the latents"]
    inner = [f"among latents, layer {number + 2}" for number in range(num_layers - len(ends))]
    return [ends[0], *inner, *ends[1:]]


def attention_maps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> list[AttentionMap]:
    """The maps of every layer on a text, with labels.

    Raises:
        ValueError: as `attention_weights`.
    """
    input_ids = _encode(tokenizer, text)
    labels = tuple(tokenizer.convert_ids_to_tokens(input_ids[0].tolist()))
    maps = []
    for name, weights in attention_weights(model, input_ids):
        queries, keys = weights.shape[-2:]
        over_tokens = queries == keys == len(labels) and _over_tokens(model.config, name)
        maps.append(
            AttentionMap(
                name,
                weights[0],
                _labels(labels, queries, model.config, reads=False, name=name),
                _labels(labels, keys, model.config, reads=True, name=name),
                over_tokens,
            )
        )
    return maps


def _over_tokens(config, name: str) -> bool:
    """Latents that stand at every token are tokens; elsewhere no layer of a Perceiver mixes tokens with tokens."""
    return config.model_type != "perceiver_gpt" or config.latent_layout == "last"


def _labels(characters: tuple[str, ...], count: int, config, reads: bool, name: str) -> tuple[str, ...]:
    """Of `count` queries or keys of a layer; a latent is called by its number and the character it stands at."""
    tokens_first = (name == "into the latents") if reads else (name == "out of the latents")
    if tokens_first or _over_tokens(config, name):
        return characters
    places = range(0, len(characters), config.tokens_per_latent)[: config.num_latents]
    latents = tuple(f"latent {number} at {characters[place]!r}" for number, place in enumerate(places))
    return (*latents, *characters)[:count]  # the way out of the latents also reads the raw characters


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> torch.Tensor:
    """As a prompt that is answered: a stock model reads what its tokenizer puts before a text, too."""
    return torch.tensor([encode_prompt(tokenizer, text)])


def previous_character_score(weights: torch.Tensor) -> torch.Tensor:
    """`(..., T, T)` to `(...)`: mean weight of positions 1.. on the position right before."""
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)


def induction_score(weights: torch.Tensor) -> torch.Tensor:
    """`(..., 2 L, 2 L)` to `(...)`: mean weight of positions L + i on i + 1, in a sequence of L, repeated."""
    length = weights.shape[-1] // 2
    return weights.diagonal(offset=1 - length, dim1=-2, dim2=-1)[..., 1:].mean(-1)


def name_to_answer_score(weights: torch.Tensor, name: tuple[int, int], answer: int) -> torch.Tensor:
    """`(..., T, T)` to `(...)`: mean weight of positions `answer`.. on the characters of the name together."""
    return weights[..., answer:, name[0] : name[1]].sum(-1).mean(-1)


def even_weights(length: int) -> torch.Tensor:
    """`(length, length)`: attention spread evenly over all that comes before, for the level of chance."""
    return torch.tril(torch.ones(length, length)) / torch.arange(1, length + 1).unsqueeze(-1)


def score_heads(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[AskedText], seed: int = 0
) -> list[dict]:
    """Every head of every layer over tokens, with its scores; the head of this file says what they are.

    Args:
        asked: texts that `ask` returned. The previous character is looked at in all of them, the name where there
            is one; induction is measured on random sequences and does not depend on them.
        seed: of shuffles and random sequences.

    Returns:
        One row a head: `layer` (a name), `head` (from 1), and for each of `SCORES` a mapping of `score`, `chance`,
        `control`, `n` (texts or sequences) and `interval` (95%, bootstrap over texts; None for fewer than two) or
        None where it could not be measured. No rows where no layer mixes tokens with tokens (a Perceiver's
        latents).

    Raises:
        ValueError: as `attention_weights`, or for no texts.
    """
    if not asked:
        raise ValueError("scoring heads needs at least one text")
    if not _over_tokens(model.config, ""):
        attention_weights(model, _encode(tokenizer, asked[0].text))  # for its errors
        return []
    generator = torch.Generator().manual_seed(seed)
    measured = {name: _Measured([], [], []) for name in SCORES}
    layers: list[str] = []
    for text in asked:
        input_ids = _encode(tokenizer, text.text)[0]
        length = len(input_ids)
        layers, (own, shuffled) = _compare(model, input_ids[None], _shuffles(input_ids, generator))
        even = even_weights(length)
        if length > 1:
            measured["previous_character"].add(previous_character_score, own, shuffled, even)
        if text.name is not None and text.answer is not None:
            measured["name_to_answer"].add(
                lambda weights, text=text: name_to_answer_score(weights, text.name, text.answer),
                own,
                shuffled,
                even,
            )
    repeated, fresh = _repetitions(model, tokenizer, generator)
    if repeated is not None:
        _, (own, other) = _compare(model, repeated, fresh)
        even = even_weights(repeated.shape[1])
        for row in range(len(repeated)):
            measured["induction"].add(induction_score, own[:, row : row + 1], other, even)
    num_heads = model.config.num_attention_heads
    places = [(layer, head) for layer in range(len(layers)) for head in range(num_heads)]
    return [
        {"layer": layers[layer], "head": head + 1}
        | {name: measured[name].summary(layer, head, seed) for name in SCORES}
        for layer, head in places
    ]


@dataclass
class _Measured:
    """A score, text by text: `own` and `controls` hold `(layers, heads)`, `chances` numbers."""

    own: list[torch.Tensor]
    controls: list[torch.Tensor]
    chances: list[float]

    def add(self, score, own: torch.Tensor, control: torch.Tensor, even: torch.Tensor) -> None:
        self.own.append(score(own).mean(1))
        self.controls.append(score(control).mean(1))
        self.chances.append(float(score(even)))

    def summary(self, layer: int, head: int, seed: int) -> dict | None:
        if not self.own:
            return None
        values = [float(scores[layer, head]) for scores in self.own]
        controls = [float(scores[layer, head]) for scores in self.controls]
        return {
            "score": sum(values) / len(values),
            "chance": sum(self.chances) / len(values),
            "control": sum(controls) / len(values),
            "n": len(values),
            "interval": list(bootstrap_interval(values, seed)) if len(values) > 1 else None,
        }


def _compare(model, input_ids: torch.Tensor, control_ids: torch.Tensor):
    """Names of the layers, and for text and control weights `(layers, B, heads, T, T)`."""
    named = attention_weights(model, torch.cat([input_ids, control_ids]))
    weights = torch.stack([layer for _, layer in named])
    return [name for name, _ in named], (weights[:, : len(input_ids)], weights[:, len(input_ids) :])


def _shuffles(input_ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    orders = [torch.randperm(len(input_ids), generator=generator) for _ in range(_SHUFFLES)]
    return torch.stack([input_ids[order] for order in orders])


def _repetitions(model, tokenizer, generator: torch.Generator) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Random sequences with their repetition, `(sequences, 2 L)`, and the same with another one in its place.

    A character occurs once in a sequence, so that its first occurrence is one place. L is as large as the block
    and the vocabulary allow.
    """
    special = set(tokenizer.all_special_ids)
    characters = torch.tensor([token for token in range(len(tokenizer)) if token not in special])
    length = min(model.config.max_position_embeddings // 2, len(characters))
    if length < 2:
        return None, None

    def draw() -> torch.Tensor:
        orders = [torch.randperm(len(characters), generator=generator) for _ in range(_REPEATED_SEQUENCES)]
        return torch.stack([characters[order[:length]] for order in orders])

    first, other = draw(), draw()
    return torch.cat([first, first], dim=1), torch.cat([first, other], dim=1)
