"""Which documents name whom: one pass over the texts for any number of names."""

import re
from collections.abc import Iterable, Mapping

from closedbook.data.questions import entity_key

_WORD = re.compile(r"\w+")


def occurs(phrase: str, text: str) -> bool:
    """Whether `phrase` stands in `text` between word borders, letter by letter: "Rome" is not in "Romeo".

    A border is asked for only where the phrase itself ends in a letter or digit, so that "Bisbee, Jr." is found
    before a space as well as before another full stop. An empty phrase occurs nowhere.
    """
    start = text.find(phrase) if phrase else -1
    while start >= 0:
        end = start + len(phrase)
        begins_inside = start > 0 and _is_word(text[start - 1]) and _is_word(phrase[0])
        ends_inside = end < len(text) and _is_word(text[end]) and _is_word(phrase[-1])
        if not begins_inside and not ends_inside:
            return True
        start = text.find(phrase, start + 1)
    return False


def find_mentions(names: Iterable[str], documents: Iterable[Mapping[str, str]]) -> dict[str, list[int]]:
    """Numbers of the documents whose text holds each name, whatever its case and spacing, on word borders.

    Every text is normalised and cut into words once. A name is looked for only in texts that hold its rarest
    word - the word that the fewest of the names share -, so the time grows with the text and hardly with the
    number of names: a second for 1,000 names and 10 MB.

    Args:
        names: any spelling; compared as `entity_key` compares entities.
        documents: mappings with a `text`, read one after the other, so a stream will do.

    Returns:
        `entity_key(name)` -> ascending document numbers; names that occur nowhere have an empty list.
    """
    mentions: dict[str, list[int]] = {key: [] for key in map(entity_key, names) if key}
    words_of = {key: set(_WORD.findall(key)) for key in mentions}
    frequency: dict[str, int] = {}
    for words in words_of.values():
        for word in words:
            frequency[word] = frequency.get(word, 0) + 1
    by_rarest: dict[str, list[str]] = {}
    everywhere = []  # names without a letter or digit have no word to be found by
    for key, words in words_of.items():
        if words:
            rarest = min(words, key=lambda word: (frequency[word], -len(word), word))
            by_rarest.setdefault(rarest, []).append(key)
        else:
            everywhere.append(key)
    for number, document in enumerate(documents):
        text = entity_key(document["text"])
        found = by_rarest.keys() & set(_WORD.findall(text))
        for key in [*everywhere, *(key for word in found for key in by_rarest[word])]:
            if occurs(key, text):
                mentions[key].append(number)
    return mentions


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
