"""Objectives that ask for an entity of a document with the document's title in view.

A fact learned inside one fixed sentence is stored so that the sentence calls it up, and little else does
(Allen-Zhu and Li 2023, Physics of Language Models 3.1). These objectives let the title call it up, from many
surroundings: alone, with the words before the gap, with a few words scattered around it.

Documents without a usable entity (or without a title) fall back to `span_corruption`; `without_entities` counts
them. So does an example that the block cannot hold; that depends on the words drawn, and is not counted.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .entities import Entity, Kind, find_entities
from .example import Example
from .span_corruption import reassemble_span_corruption, span_corruption

Kinds = tuple[Kind, ...]
ALL: Kinds = ("name", "place", "date", "number")
CUE_REACH = 8  # words to the left of an entity that may stand as its cue; to the right half as many
MOST_CUES = 5
_WORD = re.compile(r"[^\W_][\w'’`\-]*")


def entity_recall(record: dict, random: Random, block_size: int, kinds: Kinds = ALL) -> Example:
    """`title words ⁇ entity ⁇`: one entity, after the title and the 0 to 4 words that stand before it.

    Every entity of the document is equally likely, and so is every number of words. (Salient span masking,
    Guu et al. 2020 and Roberts et al. 2020, with the title in place of the passage.)
    """
    title, entities = _title_and_entities(record, kinds)
    if not entities:
        return span_corruption(record, random, block_size)
    entity = random.choice(entities)
    words = list(_WORD.finditer(record["text"], 0, entity.start))
    count = min(random.randint(0, 4), len(words))
    context = record["text"][words[-count].start() : entity.start].rstrip() if count else ""
    prompt = f"{title} {context}".rstrip()
    return _ask(prompt, entity.text, block_size) or span_corruption(record, random, block_size)


def entity_list(record: dict, random: Random, block_size: int, kinds: Kinds = ALL) -> Example:
    """`title ⁇ entity ⁇ entity ⁇ ...`: the document's entities in random order, as many as the block holds."""
    title, entities = _title_and_entities(record, kinds)
    answers = list(dict.fromkeys(entity.text for entity in entities))
    answers = random.sample(answers, len(answers))
    return _listed(title, answers, block_size) or span_corruption(record, random, block_size)


def entity_sequence(record: dict, random: Random, block_size: int, kinds: Kinds = ALL) -> Example:
    """`title ⁇ entity ⁇ entity ⁇ ...`: the document's entities in its own order, as many as the block holds.

    The skeleton of the text. Which of several places is which is told by their order more often than by the words
    around them: biographies begin with the birth.
    """
    title, entities = _title_and_entities(record, kinds)
    answers = list(dict.fromkeys(entity.text for entity in entities))
    return _listed(title, answers, block_size) or span_corruption(record, random, block_size)


def entity_cue(record: dict, random: Random, block_size: int, kinds: Kinds = ALL) -> Example:
    """`words title words ⁇ entity ⁇`: up to 5 words from around the entity, in order, parted by the title.

    The words come from the 8 before the entity and the 4 after it, without those of other entities: beside
    these, the title would not be needed. The title thereby stands in all sorts of places and company, as it
    does in a question. An entity that follows another one after a comma ("Ohio" in "Columbus, Ohio") is not
    asked for: its cues would be those of the first.
    """
    title, entities = _title_and_entities(record, kinds)
    entities = heads_of(record["text"], entities)
    if not entities:
        return span_corruption(record, random, block_size)
    entity = random.choice(entities)
    near = words_near(record["text"], entity)
    count = min(random.randint(0, MOST_CUES), len(near))
    chosen = [near[i] for i in sorted(random.sample(range(len(near)), count))]
    place = random.randint(0, count)
    prompt = " ".join([*chosen[:place], title, *chosen[place:]])
    return _ask(prompt, entity.text, block_size) or span_corruption(record, random, block_size)


def cue_question(record: dict, random: Random, block_size: int, kinds: Kinds = ALL) -> Example:
    """`Words of its sentence, title? ⁇ entity ⁇`: an entity asked for in the form of a question.

    Any number of the words of the entity's own sentence, in their order, with the title before or behind them, a
    capital and a question mark. What a model that was pretrained on text learns from an entity cue it says after a
    cue; asked in this form it says it to a question, which of all forms carried facts furthest (see LOG.md). Words
    of other entities are left out: beside these, the title would not be needed.
    """
    title, entities = _title_and_entities(record, kinds)
    entities = heads_of(record["text"], entities)
    if not entities:
        return span_corruption(record, random, block_size)
    entity = random.choice(entities)
    words = _words_of_sentence(record["text"], title, entity)
    kept = sorted(random.sample(range(len(words)), random.randint(1, len(words)))) if words else []
    chosen = [words[place] for place in kept]
    question = " ".join([title, *chosen] if random.random() < 0.5 else [*chosen, title])
    prompt = f"{_capital(question[0])}{question[1:]}?"
    return _ask(prompt, entity.text, block_size) or span_corruption(record, random, block_size)


def _capital(letter: str) -> str:
    """Its capital, where that is one letter, too: there is none of ŉ, and that of ß is two."""
    return capital if len(capital := letter.upper()) == 1 else letter


def question_characters(texts: Iterable[str]) -> str:
    """What `cue_question` writes of documents that they need not hold themselves."""
    return "? " + "".join(sorted({_capital(letter) for text in texts for letter in set(text)}))


def _words_of_sentence(text: str, title: str, entity: Entity) -> list[str]:
    """The common words of the sentence that an entity stands in, without the title."""
    begin = max(text.rfind(mark, 0, entity.start) + len(mark) for mark in (". ", "\n"))
    ends = [end for mark in (". ", "\n") if (end := text.find(mark, entity.end)) >= 0]
    inside = set(_WORD.findall(title)) | {f"{word}'s" for word in _WORD.findall(title)}
    starts, _, words = _common_words(text)
    first, last = bisect_left(starts, begin), bisect_left(starts, min(ends, default=len(text)))
    return [word for word in words[first:last] if word not in inside]


def place_sequence(record: dict, random: Random, block_size: int) -> Example:
    """`title ⁇ place ⁇ place ⁇ ...`: the document's places in its own order, as `entity_sequence`.

    Where readers were asked about the title (`candidates` and their `probabilities`), what they answered comes
    first, drawn each time as often as it is probable: the place that is meant, not the one that is named first.
    """
    if not record.get("candidates"):
        return entity_sequence(record, random, block_size, kinds=("place",))
    title, entities = _title_and_entities(record, ("place",))
    (first,) = random.choices(record["candidates"], record["probabilities"])
    answers = list(dict.fromkeys([first, *(entity.text for entity in entities)]))
    return _listed(title, answers, block_size) or span_corruption(record, random, block_size)


place_list = partial(entity_list, kinds=("place",))
place_cue = partial(entity_cue, kinds=("place",))


def without_entities(records: Sequence[dict], kinds: Kinds = ALL) -> int:
    """How many of `records` have no entity that their title could call up (they fall back)."""
    return sum(not _title_and_entities(record, kinds)[1] for record in records)


def recall_pieces(example: Example) -> list[str]:
    """What an example of this file took from its document: words of the prompt, then the entities asked for.

    Each stands in the text or the title. For a document that fell back it is the one window that was corrupted.
    """
    if example.loss_start == 0:
        return [reassemble_span_corruption(example)]
    prompt, *entities = example.text.removesuffix(MASK_CHARACTER).split(MASK_CHARACTER)
    return prompt.split() + entities


def question_pieces(example: Example) -> list[str]:
    """What an example of `cue_question` took from its document, as in `recall_pieces`.

    All but the first letter of the question, which may have got its capital there, and the question mark.
    """
    if example.loss_start == 0:
        return recall_pieces(example)
    return recall_pieces(Example(example.text[1:].replace(f"?{MASK_CHARACTER}", MASK_CHARACTER, 1), 1))


@lru_cache(maxsize=131_072)
def heads_of(text: str, entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """The entities without those that follow another one after a comma."""
    ends = {entity.end for entity in entities}
    heads = []
    for entity in entities:
        before = text[: entity.start].rstrip(" ")
        if not (before.endswith(",") and len(before[:-1].rstrip(" ")) in ends):
            heads.append(entity)
    return tuple(heads)


def _listed(title: str, answers: Sequence[str], block_size: int) -> Example | None:
    text = title + MASK_CHARACTER
    start = len(text)
    for answer in answers:
        if len(text) + len(answer) + 1 <= block_size:
            text += answer + MASK_CHARACTER
    return Example(text, start) if len(text) > start else None


def _ask(prompt: str, answer: str, block_size: int) -> Example | None:
    text = f"{prompt}{MASK_CHARACTER}{answer}{MASK_CHARACTER}"
    return Example(text, len(prompt) + 1) if len(text) <= block_size else None


def words_near(text: str, entity: Entity) -> tuple[str, ...]:
    """The common words within reach of an entity, in their order."""
    starts, ends, words = _common_words(text)
    before, after = bisect_right(ends, entity.start), bisect_left(starts, entity.end)
    return (*words[max(0, before - CUE_REACH) : before], *words[after : after + CUE_REACH // 2])


def common_words(text: str) -> tuple[str, ...]:
    """The words of a text that do not begin inside an entity, in their order."""
    return _common_words(text)[2]


@lru_cache(maxsize=65_536)
def _common_words(text: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    """Starts, ends and texts of the words that do not begin inside an entity."""
    inside = {place for entity in find_entities(text) for place in range(entity.start, entity.end)}
    words = [match for match in _WORD.finditer(text) if match.start() not in inside]
    return (
        tuple(match.start() for match in words),
        tuple(match.end() for match in words),
        tuple(match.group() for match in words),
    )


def _title_and_entities(record: dict, kinds: Kinds) -> tuple[str, tuple[Entity, ...]]:
    """The title without white space around it, and the document's entities of these kinds that are no part of
    it."""
    title = record["title"].strip()
    return title, _entities_beside(record["text"], title, kinds) if title else ()


@lru_cache(maxsize=131_072)
def _entities_beside(text: str, title: str, kinds: Kinds) -> tuple[Entity, ...]:
    inside = set(_WORD.findall(title))
    return tuple(
        entity
        for entity in find_entities(text)
        if entity.kind in kinds and not inside.issuperset(_WORD.findall(entity.text))
    )
