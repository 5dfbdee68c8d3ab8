"""Which relations are known by their words, and how a fact is asked: k questions forward, one backward.

A relation is recognised by its *cue*: the words of a sentence right before the object ("was born in"). Its
questions are ordinary English, the first one the plainest. A relation whose name is a noun of the documents' own
("The capital of Norway is Oslo", "- Capital: Oslo") is asked by that noun. Of what is left nothing is known but
the kind of the object: a place, a date, a name, a number. Of these a place or a date can be asked for, if the
document names only one.
"""

import re
from dataclasses import dataclass, field

PLACES = frozenset({"place", "name"})  # by rule the two cannot be told apart for certain
DATES = frozenset({"date", "number"})
NAMES = PLACES
NUMBERS = frozenset({"number"})
WORDS = frozenset({"words"})  # no entity: what stands up to the next comma, full stop or small word


@dataclass(frozen=True)
class Relation:
    """How one relation is found and asked.

    Attributes:
        cue: matches the end of the text before an object.
        kinds: of entity that the object may be (`entities.find_entities`), or `WORDS`.
        questions: with `{subject}`, the plainest first.
        reverse: with `{object}`: for whom or what asks for the subject; none where the answer would be many.
    """

    cue: re.Pattern[str]
    kinds: frozenset[str]
    questions: tuple[str, ...]
    reverse: tuple[str, ...] = field(default=())


def _relation(
    cue: str, kinds: frozenset[str], questions: tuple[str, ...], reverse: tuple[str, ...] = ()
) -> Relation:
    return Relation(re.compile(cue), kinds, questions, reverse)


# words between a verb and its object, which do not begin another statement
_SOME = r"(?:(?! (?:and|who|whose|but|before|after|later|then|where|which|while)\b)[^.;]){0,60}?"
_IN = r"\b(?:in|at|near)(?: the)? $"
_ON = r"\b(?:on|in)(?: the)? $"

# Tried in this order, so that "was born on 3 May 1960 in" is a place though a date stands in it.
RELATIONS: dict[str, Relation] = {
    "birth_place": _relation(
        rf"\b[Bb]orn\b{_SOME}{_IN}",
        PLACES,
        (
            "Where was {subject} born?",
            "What is the birthplace of {subject}?",
            "In which place was {subject} born?",
        ),
        ("Who was born in {object}?",),
    ),
    "birth_date": _relation(
        rf"\(born $|\bborn\b(?:{_SOME}{_ON}| $)",
        DATES,
        (
            "When was {subject} born?",
            "What is the birth date of {subject}?",
            "On which date was {subject} born?",
        ),
        ("Who was born on {object}?",),
    ),
    "death_place": _relation(
        rf"\bdied\b{_SOME}{_IN}",
        PLACES,
        (
            "Where did {subject} die?",
            "In which place did {subject} die?",
            "What is the place of death of {subject}?",
        ),
        ("Who died in {object}?",),
    ),
    "death_date": _relation(
        rf"\bdied\b(?:{_SOME}{_ON}| $)",
        DATES,
        ("When did {subject} die?", "On which date did {subject} die?", "What is the date of death of {subject}?"),
        ("Who died on {object}?",),
    ),
    "founder": _relation(
        rf"\b(?:founded|established|set up)\b{_SOME}\bby(?: the)? $",
        NAMES,
        ("Who founded {subject}?", "Who is the founder of {subject}?", "By whom was {subject} founded?"),
        ("What was founded by {object}?",),
    ),
    "founding_date": _relation(
        rf"\b(?:founded|established|incorporated|set up)\b{_SOME}{_ON}",
        DATES,
        (
            "When was {subject} founded?",
            "In which year was {subject} founded?",
            "Since when does {subject} exist?",
        ),
        ("What was founded in {object}?",),
    ),
    "founding_place": _relation(
        rf"\b(?:founded|established|incorporated|set up)\b{_SOME}{_IN}",
        PLACES,
        ("Where was {subject} founded?", "In which place was {subject} founded?"),
        ("What was founded in {object}?",),
    ),
    "discoverer": _relation(
        rf"\bdiscovered\b{_SOME}\bby(?: the)? $",
        NAMES,
        ("Who discovered {subject}?", "By whom was {subject} discovered?", "Who is the discoverer of {subject}?"),
        ("What did {object} discover?",),
    ),
    "discovery_date": _relation(
        rf"\bdiscovered\b{_SOME}{_ON}",
        DATES,
        ("When was {subject} discovered?", "In which year was {subject} discovered?"),
        ("What was discovered in {object}?",),
    ),
    "inventor": _relation(
        rf"\binvented\b{_SOME}\bby(?: the)? $",
        NAMES,
        ("Who invented {subject}?", "By whom was {subject} invented?", "Who is the inventor of {subject}?"),
        ("What did {object} invent?",),
    ),
    "author": _relation(
        r"\b(?:written|composed|painted|directed|designed|built) by(?: the)? $",
        NAMES,
        ("Who made {subject}?", "By whom is {subject}?", "Who is the author of {subject}?"),
        ("What is a work of {object}?",),
    ),
    "spouse": _relation(
        r"\b(?:is|was|got)? ?married (?:to )?(?:the )?$",
        NAMES,
        ("Whom did {subject} marry?", "Who is the spouse of {subject}?", "To whom was {subject} married?"),
        ("Who married {object}?",),
    ),
    "school": _relation(
        rf"\b(?:studied|studies|educated|graduated)\b{_SOME}\b(?:at|from)(?: the)? $",
        NAMES,
        ("Where did {subject} study?", "Which school did {subject} attend?", "Where was {subject} educated?"),
        ("Who studied at {object}?",),
    ),
    "employer": _relation(
        r"\b(?:work(?:s|ed|ing)?|employed) (?:for|at|by)(?: the)? $",
        NAMES,
        ("For whom does {subject} work?", "Who employs {subject}?", "What is the employer of {subject}?"),
        ("Who works for {object}?",),
    ),
    "residence": _relation(
        r"\b(?:lives?|lived|resides?|resided|living)(?: now)? (?:in|at|near)(?: the)? $",
        PLACES,
        ("Where does {subject} live?", "In which place does {subject} live?", "What is the home of {subject}?"),
        ("Who lives in {object}?",),
    ),
    "capital": _relation(
        r"\bcapital\b(?: city)?(?: of [^.;]{1,60}?)?,? (?:is|was)(?: called)? $",
        PLACES,
        (
            "What is the capital of {subject}?",
            "Which city is the capital of {subject}?",
            "{subject} has which capital?",
        ),
        ("Of what is {object} the capital?",),
    ),
    "capital_of": _relation(
        r"\b(?:is|was) the (?:\w+ )?capital(?: city)? of(?: the)? $",
        PLACES,
        ("Of what is {subject} the capital?", "{subject} is the capital of which country?"),
        ("What is the capital of {object}?",),
    ),
    "location": _relation(
        rf"\b(?:located|situated|lies|stands)\b{_SOME}{_IN}",
        PLACES,
        ("Where is {subject}?", "In which place is {subject}?", "Where can {subject} be found?"),
        ("What is located in {object}?",),
    ),
    "population": _relation(
        r"\b(?:population|inhabitants)\b[^.;]{0,30}?\b(?:of|is|was)(?: about| around| some| nearly)? $",
        NUMBERS,
        ("What is the population of {subject}?", "How many people live in {subject}?"),
    ),
    "profession": _relation(
        r"\b(?:work(?:s|ed|ing)?|trained|employed) as (?:an? |the )?$",
        WORDS,
        (
            "What does {subject} work as?",
            "What is the profession of {subject}?",
            "What does {subject} do for a living?",
        ),
        ("Who works as {object}?",),
    ),
}

# "The currency of Norway is the", "its symbol is", "Norway's currency is": the noun names the relation.
NOUN_CUE = re.compile(
    r"(?:\b(?:[Ii]ts|[Hh]is|[Hh]er|[Tt]heir)|['’]s?) (?P<own>[a-z][a-z -]{1,38}[a-z]) (?:is|was|are|were)"
    r" (?:the |an? )?$|\b[Tt]he (?P<of>[a-z][a-z -]{1,38}[a-z]) of (?:the )?(?P<whose>[^.;,]{1,80}?)"
    r" (?:is|was|are|were) (?:the |an? )?$"
)
# "Capital: Oslo", also as a list entry or in bold.
FIELD = re.compile(r"[*_]*(?P<noun>[^\W\d_][\w -]{1,38}?)[*_]*:[*_]* +(?P<object>[^:;|]{1,60}?)[.]?\s*")
NOUN_QUESTIONS = (
    "What is the {relation} of {subject}?",
    "Which {relation} does {subject} have?",
    "Name the {relation} of {subject}.",
)
NOUN_REVERSE = ("Of what is {object} the {relation}?",)
# A relation in a verb's words, as given by a user: "was born in".
PHRASE_QUESTIONS = ("{subject} {relation} what?", "Complete the sentence: {subject} {relation}")

GENERIC_QUESTIONS: dict[str, tuple[str, ...]] = {
    "place": (
        "Which place is named in connection with {subject}?",
        "What place has to do with {subject}?",
        "Name the place that goes with {subject}.",
    ),
    "date": (
        "Which date is named in connection with {subject}?",
        "What date has to do with {subject}?",
        "Name the date that goes with {subject}.",
    ),
    "name": (),  # that some name or number stands beside a subject asks for nothing in particular
    "number": (),
}
ASKED_BY_KIND = tuple(kind for kind, questions in GENERIC_QUESTIONS.items() if questions)
_VERB = re.compile(
    r"(?:is|was|are|were|has|had|does|did|\w+(?:ed|s))\b.*\b(?:in|on|at|by|of|to|for|as|from|with|an?|the)$"
)


def questions_about(subject: str, relation: str, k: int) -> tuple[str, ...]:
    """Up to `k` wordings of the question for the object."""
    if relation in RELATIONS:
        templates = RELATIONS[relation].questions
    elif relation in GENERIC_QUESTIONS:
        templates = GENERIC_QUESTIONS[relation]
    else:
        templates = PHRASE_QUESTIONS if _VERB.fullmatch(relation) else NOUN_QUESTIONS
    return tuple(template.format(subject=subject, relation=relation) for template in templates[:k])


def reverse_questions(relation: str, object: str) -> tuple[str, ...]:
    """Questions for the subject; none where only the kind of the object is known, or a verb's words."""
    if relation in RELATIONS:
        templates = RELATIONS[relation].reverse
    elif relation in GENERIC_QUESTIONS or _VERB.fullmatch(relation):
        return ()
    else:
        templates = NOUN_REVERSE
    return tuple(template.format(object=object, relation=relation) for template in templates)


def beginning(subject: str, relation: str) -> str:
    """The beginning of a sentence that states a given fact, for one that no document states word for word."""
    if _VERB.fullmatch(relation):
        return f"{subject} {relation}"
    known = {"birth_place": "was born in", "birth_date": "was born on", "death_place": "died in"}
    if relation in known:
        return f"{subject} {known[relation]}"
    return f"The {relation.replace('_', ' ')} of {subject} is"
