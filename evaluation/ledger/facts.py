"""Facts: subject, relation, object, and the sentence of a document that states it; found by rule, or given.

By rule a document is about its title. Of every sentence that names the title (whole, or by its first or last
word), begins with a pronoun, or opens with a participle ("Born in Oslo, ..."), the entities
(`data/objectives/entities.py`) are looked at: what stands right before one tells the relation (`wordings.py`);
else its kind is all that is known. No labels, no other model: facts are missed and some are odd, which is why
every row of a ledger shows its sentence.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from closedbook.data.mentions import occurs
from closedbook.data.objectives.entities import Entity, find_entities
from closedbook.data.questions import entity_key
from closedbook.evaluation.ledger.sentences import Sentence, sentences
from closedbook.evaluation.ledger.wordings import (
    ASKED_BY_KIND,
    DATES,
    FIELD,
    GENERIC_QUESTIONS,
    NOUN_CUE,
    PLACES,
    RELATIONS,
    WORDS,
    beginning,
    questions_about,
    reverse_questions,
)
from closedbook.evaluation.metrics.answer_match.normalisation import normalize

SEVERAL = "the documents name several for this subject"
KIND_ONLY = "nothing is known of it but that a {} stands there"
_PRONOUN = re.compile(r"[\"'“‘(*_]*(?:He|She|It|They|His|Her|Its|Their)\b")
_OPENS_WITH_PARTICIPLE = re.compile(r"(?:Born|Founded|Educated|Raised|Located|Situated|Discovered|Established)\b")
_LINE_OF_FILE = (".txt", ".md", ".markdown", ".rst", "")  # a line break of the text is one of the file
_WORDS_OBJECT = re.compile(
    r"[a-z][a-z-]*(?: [a-z][a-z-]*){0,3}?(?=[.,;:!?)]|$| (?:in|at|for|of|from|and|who|with|on|until)\b)"
)
_MARKUP = '[*_"“‘'


@dataclass(frozen=True)
class Fact:
    """One fact, and how it is asked.

    Attributes:
        subject: what it is about: the title of a document, or as given.
        relation: a name of `wordings.RELATIONS`, a noun of the documents, a kind of entity, or "question".
        object: as the document writes it; the canonical answer.
        aliases: what is accepted beside it.
        kind: of the object: "place", "name", "date", "number" or "words".
        document: number of the document that states it first, from 0; None where none does.
        source: where: "file:line", or "document 12"; "" where it is stated nowhere.
        sentence: the sentence that states it; "" where it is stated nowhere.
        beginning: what a model reads before it is to go on with the object; "" where there is no such text.
        ending: what follows the object in the sentence.
        stated: in how many sentences of the documents on this subject the object stands.
        questions: for the object.
        reverse: questions for the subject.
        subjects: what is accepted as an answer to those: all subjects of the same relation and object.
        unasked: why nothing is asked; "" where something is.
    """

    subject: str
    relation: str
    object: str
    aliases: tuple[str, ...] = ()
    kind: str = "words"
    document: int | None = None
    source: str = ""
    sentence: str = ""
    beginning: str = ""
    ending: str = ""
    stated: int = 0
    questions: tuple[str, ...] = ()
    reverse: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    unasked: str = ""

    @property
    def answers(self) -> tuple[str, ...]:
        """Everything that is accepted, the canonical one first."""
        return (self.object, *self.aliases)

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name the fact wherever it is found again."""
        said = "\n".join((entity_key(self.subject), self.relation, normalize(self.object)))
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """What was found in documents.

    Attributes:
        facts: in the order of the documents, each once.
        without: documents in which no fact was found: title, or source, each with the reason.
    """

    facts: list[Fact]
    without: list[tuple[str, str]]


def find_facts(documents: Iterable[Mapping[str, Any]], k: int = 3) -> Found:
    """The facts of documents by rule, each with up to `k` questions.

    Args:
        documents: mappings with `title`, `text` and optionally `source` ("file:line" of their beginning).
        k: wordings of a question.
    """
    facts: list[Fact] = []
    without = []
    texts: dict[str, list[str]] = defaultdict(list)
    for number, document in enumerate(documents):
        title, text = document["title"].strip() or first_name(document["text"]), document["text"]
        if not title:
            without.append((place(document, number, 0), "it has no title and begins with no name"))
            continue
        texts[entity_key(title)] += [sentence.text for sentence in sentences(text)]
        found = [fact for sentence in sentences(text) for fact in _of_sentence(title, sentence)]
        if not found:
            without.append((title, "no sentence says something of its title that a rule can read"))
        facts += [replace(fact, document=number, source=place(document, number, line)) for fact, line in found]
    return Found(asked_in_wordings(_once(facts, texts), k), without)


def first_name(text: str) -> str:
    """The name with which a text begins, or an empty string."""
    found = find_entities(text.lstrip()[:200])
    return found[0].text if found and found[0].start == 0 and found[0].kind in ("name", "place") else ""


def place(document: Mapping[str, Any], number: int, line: int) -> str:
    """Where a sentence stands `line` line breaks into a document: "file:line", or "document 12"."""
    source = document.get("source") or ""
    name, colon, first = source.rpartition(":")
    if not colon or not first.isdecimal():
        return source or f"document {number + 1}"
    return f"{name}:{int(first) + line}" if Path(name).suffix.lower() in _LINE_OF_FILE else source


def _of_sentence(title: str, sentence: Sentence) -> list[tuple[Fact, int]]:
    """The facts of one sentence, each with the line break count of its sentence."""
    subject = subject_in(title, sentence.text)
    if entry := FIELD.fullmatch(sentence.text):
        return [_fact(title, entry["noun"].lower(), sentence, *entry.span("object"), kind_of(entry["object"]))]
    if subject is None:
        return []
    found: list[tuple[Fact, int]] = []
    taken: set[str] = set()
    own, text, reached = set(entity_key(title).split()), sentence.text.replace("\n", " "), subject[1]
    spans = [*find_entities(text), *_words_objects(text)]
    for entity in sorted(spans, key=lambda span: span.start):
        kind: str = entity.kind
        if entity.start < reached or set(entity_key(entity.text).split()) <= own:
            continue
        if text[entity.end : entity.end + 1].isalnum() or occurs(entity.text, text[: entity.start]):
            continue  # "1860s"; and what is read already need not be known
        relation = relation_of(title, text[: entity.start], entity, text[entity.end :])
        if relation in taken and relation not in GENERIC_QUESTIONS:
            relation = kind
        taken.add(relation)
        found.append(_fact(title, relation, sentence, entity.start, entity.end, kind))
        if kind != "words":  # "Ohio" of "Columbus, Ohio" is no fact of its own
            reached = max(entity.end, *(entity.start + len(alias) for alias in found[-1][0].aliases), 0)
    return found


def subject_in(title: str, text: str) -> tuple[int, int] | None:
    """Where a sentence names what its document is about; an empty span where it is meant and not named."""
    if _OPENS_WITH_PARTICIPLE.match(text):
        return 0, 0
    bare = re.sub(r"\s*\(.*\)$", "", title) or title
    for name in (title, bare, bare.split()[-1], bare.split()[0]):
        if len(name) > 2 and name not in ("The", "the") and occurs(name, text):
            start = text.find(name)
            return start, start + len(name)
    pronoun = _PRONOUN.match(text)
    return pronoun.span() if pronoun else None


def relation_of(title: str, before: str, entity: Entity, after: str) -> str:
    """What the words around an object tell of it; its kind where they tell nothing."""
    bare = before.rstrip(_MARKUP)
    words = " ".join(bare.split()) + ("" if bare.endswith("(") else " ")
    kind = entity.kind
    is_year = kind != "number" or re.fullmatch(r"\d{4}", entity.text)
    for name, relation in RELATIONS.items():
        if kind in relation.kinds and relation.cue.search(words) and (is_year or relation.kinds != DATES):
            return name
    if name := _in_lifetime(words, kind, after):
        return name
    if (noun := NOUN_CUE.search(words)) and (noun["own"] or occurs(noun["whose"].strip(), title)):
        return noun["own"] or noun["of"]
    return kind


def _in_lifetime(before: str, kind: str, after: str) -> str:
    """ "(26 February 1840 Columbus - 2 August 1904 New York)": what stands where; "" for anything else."""
    opened = before.rpartition("(")[2].strip() if "(" in before and ")" not in before.rpartition("(")[2] else None
    if opened is None:
        return ""
    first, dash, second = re.match(r"(.*?)( ?(?:[–—]|-{1,2}) ?(?=.*)|$)(.*)", opened).groups()  # type: ignore[union-attr]
    is_life = bool(dash) or re.match(r"[^()]{0,60}?(?:[–—]| -{1,2} )[^()]*\d{4}", after)
    told, side = (second, "death") if dash else (first, "birth")
    if not is_life or (dash and not re.search(r"\d{4}", first)):
        return ""
    if kind in DATES and not told.strip():
        return f"{side}_date"
    return f"{side}_place" if kind in PLACES and re.fullmatch(r"[^()]*\d{4},?", told.strip()) else ""


def _words_objects(text: str) -> list[Entity]:
    """Objects that are no entities, of the relations that have such, in the form of entities."""
    found = []
    for relation in RELATIONS.values():
        cue = re.search(relation.cue.pattern.removesuffix("$"), text) if relation.kinds == WORDS else None
        said = _WORDS_OBJECT.match(text, cue.end()) if cue else None
        if said:
            found.append(Entity(said.group(), *said.span(), "words"))  # type: ignore[arg-type]
    return found


def kind_of(text: str) -> str:
    """The kind of entity that a whole text is; "words" where it is none."""
    found = find_entities(text)
    return found[0].kind if len(found) == 1 and found[0].text == text else "words"


def _fact(title: str, relation: str, sentence: Sentence, start: int, end: int, kind: str) -> tuple[Fact, int]:
    text = sentence.text.replace("\n", " ")
    own = set(entity_key(title).split())
    more = re.match(r"(?:, [A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*)+", text[end:]) if kind in PLACES else None
    if more and set(re.findall(r"\w+", entity_key(more.group()))) & own:  # "Born in Glasgow, Stephen became"
        more = None
    fact = Fact(
        subject=title,
        relation=relation,
        object=" ".join(text[start:end].split()),
        aliases=(text[start : end + more.end()],) if more else (),
        kind=kind,
        sentence=" ".join(text.split()),
        beginning=with_subject(title, text[:start]),
        ending=text[end:],
    )
    return fact, sentence.line + sentence.text.count("\n", 0, start)


def with_subject(title: str, before: str) -> str:
    """The words before an object, after the title where they do not name it."""
    before = " ".join(before.split()) + before[len(before.rstrip()) :].replace("\n", " ")[:1]
    return before if occurs(title, before) else f"{title}. {before}"


def _once(facts: Sequence[Fact], texts: Mapping[str, Sequence[str]]) -> list[Fact]:
    """Each fact once, with the number of sentences that hold its object."""
    first: dict[str, Fact] = {}
    known: dict[tuple[str, str], str] = {}  # subject and object whose relation is known
    for fact in facts:
        if fact.relation not in GENERIC_QUESTIONS:
            known[entity_key(fact.subject), normalize(fact.object)] = fact.key
    for fact in facts:
        better = known.get((entity_key(fact.subject), normalize(fact.object)))
        if fact.relation in GENERIC_QUESTIONS and better is not None:
            continue  # the same two, stated once with more to it
        first.setdefault(fact.key, fact)
    return [
        replace(fact, stated=sum(occurs(fact.object, text) for text in texts[entity_key(fact.subject)]))
        for fact in first.values()
    ]


def asked_in_wordings(facts: Sequence[Fact], k: int) -> list[Fact]:
    """The facts with their questions, or with the reason why there are none.

    A question has one answer only: of a subject with several objects of a relation nothing is asked.
    """
    objects: dict[tuple[str, str], set[str]] = defaultdict(set)
    subjects: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for fact in facts:
        objects[entity_key(fact.subject), fact.relation].add(normalize(fact.object))
        subjects[fact.relation, normalize(fact.object)].setdefault(entity_key(fact.subject), fact.subject)
    asked = []
    for fact in facts:
        several = len(objects[entity_key(fact.subject), fact.relation]) > 1
        unasked = SEVERAL if several and not fact.questions else ""
        if fact.relation in GENERIC_QUESTIONS and fact.relation not in ASKED_BY_KIND:
            unasked = KIND_ONLY.format(fact.relation)
        questions = fact.questions[:k] or questions_about(fact.subject, fact.relation, k)
        asked.append(
            replace(
                fact,
                questions=() if unasked else questions,
                reverse=reverse_questions(fact.relation, fact.object) if fact.relation != "question" else (),
                subjects=tuple(subjects[fact.relation, normalize(fact.object)].values()),
                unasked=unasked,
            )
        )
    return asked


def stated_in(fact: Fact, documents: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> Fact:
    """A given fact with the first sentence of some documents that states it; as it was where none does.

    Args:
        fact: to be found.
        documents: mappings with `title`, `text` and optionally `source`.
        numbers: of those that name the subject.
    """
    first: Fact | None = None
    stated = 0
    for number in numbers:
        document = documents[number]
        is_about = entity_key(document["title"]) == entity_key(fact.subject)
        for sentence in sentences(document["text"]):
            answer = next((answer for answer in fact.answers if occurs(answer, sentence.text)), None)
            if answer is None or not (is_about or subject_in(fact.subject, sentence.text)):
                continue
            stated += 1
            if first is not None:
                continue
            start = next(at.start() for at in re.finditer(re.escape(answer), sentence.text))
            first = replace(
                fact,
                document=number,
                source=place(document, number, sentence.line + sentence.text.count("\n", 0, start)),
                sentence=" ".join(sentence.text.split()),
                beginning=with_subject(fact.subject, sentence.text[:start]),
                ending=sentence.text[start + len(answer) :],
                object=answer,
                aliases=tuple(other for other in fact.answers if other != answer),
            )
    if first is None:
        text = beginning(fact.subject, fact.relation) if fact.relation != "question" else ""
        return replace(fact, beginning=text and f"{text} ")
    return replace(first, stated=stated)
