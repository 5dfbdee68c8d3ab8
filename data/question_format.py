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


def entity_of_question(question: str) -> str:
    """Whom or what a question asks about, by `ENTITY_PATTERNS`; the whole question where none fits."""
    for pattern in ENTITY_PATTERNS:
        if match := pattern.fullmatch(question.strip()):
            return match[1].strip()
    return question.strip()
