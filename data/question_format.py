"""The columns of a question set, and whom a question asks about."""

import re

from datasets import Features, List, Value

QUESTION_FEATURES = Features(
    {"question": Value("string"), "answers": List(Value("string")), "entity": Value("string")}
)

# Tried in order against the whole question, ignoring case.
ENTITY_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:where|when|(?:in|on) (?:what|which) \w+) (?:was|were|is) (.+) (?:born|educated|buried)\?",
        r"(?:where|when|(?:in|on|at|for) (?:what|which) \w+) did (.+) (?:die|live|study|work)\?",
        r"(?:what|which) \w+ did (.+) (?:attend|study|work (?:at|for|in))\?",
        r"(?:who|what) (?:is|was|are|were) the [\w ]+? of (.+)\?",
        r"who (?:is|was) (.+)\?",
    )
)


# What is written with a capital: words in a row, with particles ("Zoë van Łuk") between them.
_PARTICLE = r"(?:al|bin|da|das|de|del|der|di|do|dos|du|el|ibn|la|le|of|van|von|y)"
_CAPITALISED = re.compile(rf"[^\W\d_a-z][\w.'-]*(?:\s+(?:{_PARTICLE}\s+){{0,2}}[^\W\d_a-z][\w.'-]*)*")


def capitalised(question: str) -> list[str]:
    """What stands behind the first word with a capital: "On which river does Berrow lie?" has Berrow."""
    _, _, behind = question.strip().partition(" ")
    return [match[0].rstrip(".") for match in _CAPITALISED.finditer(behind) if match[0][0].isupper()]


def entity_of_question(question: str) -> str:
    """Whom or what a question asks about, by `ENTITY_PATTERNS`, or because nothing else in it has a capital.

    The whole question where neither tells.
    """
    for pattern in ENTITY_PATTERNS:
        if match := pattern.fullmatch(question.strip()):
            return match[1].strip()
    named = set(capitalised(question))
    return named.pop() if len(named) == 1 else question.strip()
