"""Reading with the book open: which of a text's entities does a question ask for?

The names and places of a text are numbered ("born in [1] Columbus, [2] Ohio"), and an answer is a number. A
model that points has nothing to copy: what a small one has to learn is only which words around an entity a
question means. `entity_marks` teaches it without a label, from the words around the entities; questions with
a numbered text in front (`open_book.py`) are what it is for. (Pointing at candidates: Vinyals et al. 2015,
Pointer Networks.)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .entities import Entity, find_entities
from .entity_recall import heads_of, words_near
from .example import Example
from .span_corruption import reassemble_span_corruption, span_corruption

MOST_MARKED = 9  # entities of a text that have a number: one digit each
MOST_ASKED = 3  # of them an example of `entity_marks` asks for
MOST_CUES = 5
MARK = re.compile(r"\[[1-9]\] ")
SHORT_MONTH = re.compile(r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)(?=\.? \d)")


@dataclass(frozen=True)
class Marked:
    """A text whose names and places are numbered.

    Attributes:
        text: with the numbers; equal names have the same one.
        names: entity number k is `names[k - 1]`.
        entities: those that are numbered, where they stand in the text without numbers.
        is_cut: whether names or places have no number because there is no room for them.
    """

    text: str
    names: tuple[str, ...]
    entities: tuple[Entity, ...]
    is_cut: bool = False

    def number_of(self, answers: Iterable[str]) -> int | None:
        """The number of the first of these answers that is one of the names; None if none is."""
        return next((self.names.index(answer) + 1 for answer in answers if answer in self.names), None)


def text_beside_title(record: dict) -> str:
    """The text of a record without its title in front."""
    title = record["title"].strip()
    return record["text"].removeprefix(f"{title}. ") if title else record["text"]


def mark_entities(record: dict, room: int, most_words: int | None = None) -> Marked:
    """The first entities of a record's text, with their numbers.

    The title in front of its text, and entities that are a part of it, are nobody's answer; nor is a month ("5
    Nov 1952").

    Args:
        record: `title` and `text`.
        room: characters that the text may have with its numbers; the rest is left out.
        most_words: entities of more words have no number.
    """
    title, text = record["title"].strip(), text_beside_title(record)
    inside = set(re.findall(r"\w+", title))
    marked, names, entities, last, is_cut = "", [], [], 0, False
    for entity in find_entities(text):
        if entity.kind not in ("name", "place") or inside.issuperset(re.findall(r"\w+", entity.text)):
            continue
        too_long = most_words is not None and len(entity.text.split()) > most_words
        month = SHORT_MONTH.match(text, entity.start)
        if too_long or (month is not None and month.end() == entity.end):
            continue
        number = names.index(entity.text) + 1 if entity.text in names else len(names) + 1
        piece = f"{text[last : entity.start]}[{number}] {entity.text}"
        is_cut = number <= MOST_MARKED and len(marked) + len(piece) > room
        if number > MOST_MARKED or is_cut:
            break
        if number > len(names):
            names.append(entity.text)
        entities.append(entity)
        marked, last = marked + piece, entity.end
    return Marked((marked + text[last:])[:room], tuple(names), tuple(entities), is_cut)


def entity_marks(record: dict, random: Random, block_size: int) -> Example:
    """`numbered text ⁇ words ⁇ number ⁇ words ⁇ number ⁇`: which entity do these words stand around?

    1 to 5 of the words near an entity, in their order, for up to three of its entities. The text is
    predicted, too: its letters teach a model that knows nothing yet to read words; only its first character
    is not, which tells these examples from those that fell back to `span_corruption`: of documents without an
    entity, or with none that the block can hold.
    """
    marked, text = mark_entities(record, block_size * 2 // 3), text_beside_title(record)
    heads = heads_of(text, marked.entities)
    example = marked.text + MASK_CHARACTER
    asked = 0
    for entity in random.sample(heads, min(MOST_ASKED, len(heads))):
        near = words_near(text, entity)
        count = min(random.randint(1, MOST_CUES), len(near))
        words = " ".join(near[place] for place in sorted(random.sample(range(len(near)), count)))
        piece = f"{words}{MASK_CHARACTER}{marked.names.index(entity.text) + 1}{MASK_CHARACTER}"
        if count and len(example) + len(piece) <= block_size:
            example, asked = example + piece, asked + 1
    return Example(example, 1) if asked else span_corruption(record, random, block_size)


def marked_pieces(example: Example) -> list[str]:
    """What an example of `entity_marks` took from its document: the text between the numbers, and the words.

    For a document that fell back it is the one window that was corrupted.
    """
    if example.loss_start == 0:
        return [reassemble_span_corruption(example)]
    text, *asked = example.text.removesuffix(MASK_CHARACTER).split(MASK_CHARACTER)
    return [*MARK.split(text), *(word for words in asked[::2] for word in words.split())]


def marks(texts: Iterable[str]) -> str:
    """What `entity_marks` writes of documents that they need not hold themselves."""
    return "[] " + "".join(map(str, range(1, MOST_MARKED + 1)))
