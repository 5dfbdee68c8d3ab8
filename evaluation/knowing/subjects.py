"""Whom a question is about, where nobody says so: by the wordings that are known, else by capital letters."""

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"\w(?:[\w'’.-]*\w)?\.?")
_PARTICLE = 3  # letters that a word without a capital may have inside a name, as "van" or "de la"
MOST_WORDINGS = 64  # a record of more would be one of questions, and not of wordings


def question_wordings(asked: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What stands before and behind the subject, the most frequent wording first.

    Args:
        asked: pairs of a question and its subject; those in which the subject does not stand tell nothing.

    Returns:
        At most `MOST_WORDINGS` different pairs of texts.
    """
    found: Counter[tuple[str, str]] = Counter()
    for question, subject in asked:
        if subject and subject in question:
            before, _, behind = question.partition(subject)
            found[before, behind] += 1
    return [wording for wording, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))][:MOST_WORDINGS]


def find_subject(question: str, wordings: Iterable[tuple[str, str]] = ()) -> str:
    """The subject of a question: what a known wording leaves, else its longest name, else all of it.

    Args:
        question: not empty.
        wordings: as `question_wordings` gives them; of several that fit, the one that leaves least counts.
    """
    fitting = [
        question[len(before) : len(question) - len(behind)]
        for before, behind in wordings
        if question.startswith(before) and question.endswith(behind) and len(before) + len(behind) < len(question)
    ]
    left = [subject for subject in fitting if subject.strip()]
    if left:
        return min(left, key=len)
    return max(_names(question), key=len, default="") or question.strip(" ?!.") or question


def _names(question: str) -> list[str]:
    """Runs of words with a capital, particles between them included; the first word has one whatever it is."""
    words = list(_WORD.finditer(question))[1:]
    names, start, end = [], None, 0
    for number, word in enumerate(words):
        capital = word[0][0].isupper()
        if start is not None and not capital and (len(word[0]) > _PARTICLE or number - end > 2):
            start = None
        if capital:
            start = number if start is None else start
            end = number
            names.append(question[words[start].start() : word.end()])
    return names
