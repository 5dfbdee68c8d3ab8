"""Questions: named loaders that give `question`, `answers` and `entity`, and checks made before training.

`answers` is a list: the canonical answer first, the aliases after it, and empty where nobody gave one.
`entity` is whom or what the question asks about; two questions with the same entity must not stand on both
sides of an evaluation, so splits and overlaps go by entity and never by row.

To add a question set: write its loader here and give it a line in `QUESTION_SETS`. Files of one's own are read in
`question_files.py`; published sets in columns of their own are in `hub_questions.py`.
"""

import hashlib
import logging
import unicodedata
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset

from closedbook.data.hub_questions import ATTRIBUTE_FEATURES, HUB_QUESTION_SETS
from closedbook.data.hub_rows import with_options
from closedbook.data.question_columns import question_blocks
from closedbook.data.question_files import load_question_file, load_self_questions
from closedbook.data.real_facts import REAL_FACTS, real_facts

logger = logging.getLogger(__name__)

# Padding and mask token of the character tokenizer: in a question they would be read as structure.
SPECIAL_CHARACTERS = "\u25a1\u2047"
_SHOWN = 5  # complaints of a kind that a message lists


def entity_key(entity: str) -> str:
    """What makes two spellings the same entity: equal after Unicode NFKC, case folding and single spaces."""
    return " ".join(unicodedata.normalize("NFKC", entity).casefold().split())


def load_cs224n(path: str | Path, *, with_answers: bool = True) -> Dataset:
    """Questions of CS224N's `birth_*.tsv`, row for row as the reference reads them.

    Its training file asks about nine people twice with different answers (Beijing, then China), so conflicts
    are kept: 2,000 rows. The file of test questions has no answers: `with_answers=False`.
    """
    return load_question_file(path, with_answers=with_answers, on_conflict="keep")


def load_real_facts(
    name: str, split: str, *, with_answers: bool = True, relation: str | None = None, wordings: str | int = 1
) -> Dataset:
    """Questions about real facts (see `real_facts.py`), of the `train` or `test` part of the subjects, or `all`.

    Six subjects of ten are in `train`; nobody is in both. The further column `attribute` is the relation.

    Args:
        name: a field, such as "elements".
        split: the part.
        with_answers: `False` leaves the answers out.
        relation: only this one.
        wordings: how many of the wordings each fact is asked in, from the plainest on.

    Raises:
        ValueError: for another split, relation or number of wordings, naming what there is; where a package is
            missing.
    """
    facts = real_facts(name)
    relations = list(REAL_FACTS[name].relations)
    if split not in (*FACT_SPLITS, "all"):
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(FACT_SPLITS)}, all")
    if relation is not None and relation not in relations:
        raise ValueError(f"{name} has no relation {relation!r}; it has: {', '.join(relations)}")
    most = min(map(len, facts["questions"][:]))
    if str(wordings) not in map(str, range(1, most + 1)):
        raise ValueError(f"wordings={wordings} of {name}: give 1 to {most}")
    rows = [
        {
            "question": question,
            "answers": fact["answers"] if with_answers else [],
            "entity": fact["subject"],
            "attribute": fact["relation"],
        }
        for fact in facts
        if relation in (None, fact["relation"])
        for question in fact["questions"][: int(wordings)]
    ]
    questions = Dataset.from_list(rows, features=ATTRIBUTE_FEATURES)
    return questions if split == "all" else split_by_entity(questions, FACT_SPLITS, seed=0)[split]


QUESTION_SETS = {
    "file": load_question_file,
    "cs224n": load_cs224n,
    "self": load_self_questions,
    **HUB_QUESTION_SETS,
    **{name: with_options(partial(load_real_facts, name)) for name in REAL_FACTS},
}
FACT_SPLITS = {"train": 0.6, "test": 0.4}  # shares of the subjects


def split_by_entity(dataset: Dataset, fractions: dict[str, float], seed: int) -> dict[str, Dataset]:
    """Parts that share no entity, such as `{"train": 0.8, "dev": 0.2}`; the fractions are of entities.

    Works on any dataset with an `entity` column. Entities are ordered by a hash of `(seed, entity_key)` and
    cut where the running sum of the fractions falls. So the parts depend on the seed and on which entities
    there are, not on the order of rows, the process or the machine, and a new entity moves few others. Rows
    keep their order within a part.

    Raises `ValueError` where fractions are not positive, do not sum to 1, or leave a part without an entity.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise ValueError(f"fractions have to be positive and sum to 1, got {fractions}")
    keys = [entity_key(entity) for entity in dataset["entity"][:]]
    ordered = sorted(set(keys), key=lambda key: hashlib.sha256(f"{seed}\t{key}".encode()).digest())
    parts, begin, running_sum = {}, 0, 0.0
    for name, fraction in fractions.items():
        running_sum += fraction
        end = round(running_sum * len(ordered))
        if begin == end:
            raise ValueError(
                f"{fraction} of {len(ordered)} entities leaves part {name!r} empty: raise its fraction, "
                "or bring more entities"
            )
        members = set(ordered[begin:end])
        parts[name] = dataset.select([row for row, key in enumerate(keys) if key in members])
        begin = end
    return parts


def find_overlap(train: Dataset, held_out: Dataset) -> list[str]:
    """Entities that both datasets ask about, sorted, each once and spelled as in `held_out`."""
    in_train = {entity_key(entity) for entity in train["entity"][:]}
    shared = {}
    for entity in held_out["entity"][:]:
        key = entity_key(entity)
        if key in in_train:
            shared.setdefault(key, entity)
    return sorted(shared.values())


def remove_overlap(train: Dataset, *evaluation_sets: Dataset) -> tuple[Dataset, list[str]]:
    """Training rows whose entity no evaluation set asks about, and the sorted names of the entities removed.

    It is always the training side that gives up rows, so that scores stay comparable with published ones.
    The names are logged as a warning.

    Raises `ValueError` where no training row would be left.
    """
    names: dict[str, str] = {}
    for held_out in evaluation_sets:
        for name in find_overlap(train, held_out):
            names.setdefault(entity_key(name), name)
    removed = sorted(names.values())
    if not removed:
        return train, []
    rows = [row for row, entity in enumerate(train["entity"][:]) if entity_key(entity) not in names]
    if not rows:
        raise ValueError(
            f"all {len(train)} training questions ask about entities of the evaluation: "
            "load other training questions, or evaluate on others"
        )
    logger.warning(
        "removed %d training questions about %d entities that are held out of training: %s",
        len(train) - len(rows),
        len(removed),
        ", ".join(removed),
    )
    return train.select(rows), removed


def check_fit(
    questions: Dataset, *, block_size: int, vocabulary: Container[str], answer_room: int | None = None
) -> None:
    """Raises `ValueError` for questions that a character model cannot take, before any training is paid for.

    A row has to fit in `block_size` characters: the question, the mask token, the answer, the closing mask
    token. For training leave `answer_room` at None: the answer is the row's own, canonical one. For questions
    to be answered, `answer_room` is how many characters, with the closing mask token, may be generated. Every
    character of the question (and of the trained answer) has to be in `vocabulary`, and none may be a special
    character. The message names up to five offenders, each with its length and the limit.
    """
    count, shown = 0, []
    columns = ("question", "answers") if answer_room is None else ("question",)
    for block in question_blocks(questions, columns):
        if _all_fit(block, block_size, vocabulary, answer_room):
            continue
        for complaint in _complaints(block, block_size, vocabulary, answer_room):
            count += 1
            if count <= _SHOWN:
                shown.append(complaint)
    if count:
        more = f"\n- and {count - _SHOWN} more" if count > _SHOWN else ""
        raise ValueError(
            f"{count} complaints about {len(questions)} questions. Shorten or drop them, or pretrain with a "
            "larger --block_size, or with these characters in the vocabulary (--extra_characters ascii):\n- "
            + "\n- ".join(shown)
            + more
        )


def _all_fit(
    block: dict[str, list[Any]], block_size: int, vocabulary: Container[str], answer_room: int | None
) -> bool:
    """Whether nothing is wrong with a whole block of rows, which takes a hundredth of the time of saying what
    is."""
    questions, characters = block["question"], set().union(*block["question"])
    if answer_room is None:
        if not all(block["answers"]):
            return False
        trained = [answers[0] for answers in block["answers"]]
        characters.update(*trained)
        longest = max(len(question) + len(answer) + 1 for question, answer in zip(questions, trained, strict=True))
    else:
        longest = max(map(len, questions)) + answer_room
    return longest + 1 <= block_size and all(c in vocabulary and c not in SPECIAL_CHARACTERS for c in characters)


def _complaints(
    block: dict[str, list[Any]], block_size: int, vocabulary: Container[str], answer_room: int | None
) -> Iterator[str]:
    for question, answers in zip(
        block["question"], block.get("answers", [[""]] * len(block["question"])), strict=True
    ):
        if not answers:
            yield f"{question!r} has no answer to train on"
            continue
        answer = answers[0]
        room = len(answer) + 1 if answer_room is None else answer_room
        length = len(question) + 1 + room
        if length > block_size:
            yield (
                f"{question!r} takes {length} characters (question {len(question)}, mask token 1, "
                f"answer with its end {room}), the block has {block_size}"
            )
        unknown = sorted({c for c in question + answer if c not in vocabulary or c in SPECIAL_CHARACTERS})
        if unknown:
            listed = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown)
            yield f"{question!r} holds characters that are special or unknown to the model: {listed}"
