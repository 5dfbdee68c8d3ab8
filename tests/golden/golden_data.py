"""What every objective makes of the same records, and the first batch of a mixture."""

from dataclasses import astuple
from random import Random

from golden_environment import hash_object, hash_tensors

SEEDS = 20  # examples of each record in a checksum
SHOWN = 3  # examples written out
# Longer than a block, with names, places, dates and numbers; and what no rule finds anything in.
TEXTS = [
    {
        "title": "Ada Lovelace",
        "text": "Ada Lovelace. Augusta Ada King, Countess of Lovelace, was born in London on 10 December 1815. She "
        "met Charles Babbage in 1833, wrote the first program, and died in Marylebone in 1852, aged 36. She rests "
        "in Hucknall beside her father, Lord Byron, who had left for Greece.",
    },
    {"title": "Nobody", "text": "all of this is written small, and it names neither people nor places."},
    {"title": "Zoë Ångström", "text": "Zoë Ångström lived in Orléans."},
]


def record_data() -> dict[str, dict]:
    from closedbook.data.mixture import Component, Mixture
    from closedbook.data.objectives.table import OBJECTIVES
    from closedbook.data.packing import PackingCollator
    from closedbook.data.people.biographies import biography_documents, biography_questions
    from closedbook.data.people.population import Population
    from closedbook.modeling.tokenization_char import build_char_tokenizer

    people = Population(8, seed=5)
    sentences = biography_documents(people, versions=2, seed=6, unit="sentence").to_list()
    biographies = biography_documents(people, versions=1, seed=7, unit="biography").to_list()
    questions = biography_questions(people, attributes=None, wordings=2).to_list()
    documents = [*biographies, *TEXTS, *sentences[:8]]

    found: dict[str, dict] = {"people": {"people": hash_object([[p.name, p.facts] for p in people])}}
    for name, rows in {"sentences": sentences, "biographies": biographies, "questions": questions}.items():
        found["people"] |= {name: hash_object(rows), f"{name}, the first": rows[0], f"{name}, how many": len(rows)}
    for name, objective in OBJECTIVES.items():
        records = questions if name == "question_answering" else documents
        examples = [
            [*astuple(objective(record, Random(f"golden {seed} {number}"), block)), block]
            for seed in range(SEEDS)
            for block in (64, 128)
            for number, record in enumerate(records)
            if name != "question_answering" or block == 128  # no question is cut, so it must fit
        ]
        found[name] = {"examples": hash_object(examples), "the first": examples[:SHOWN]}

    alphabet = [
        *(d["text"] + d["title"] for d in documents),
        *(q["question"] + q["answers"][0] for q in questions),
    ]
    tokenizer = build_char_tokenizer([*alphabet, *(s["text"] for s in sentences)], model_max_length=128)
    components = [
        Component("spans", documents, "span_corruption", weight=3.0),
        Component("text", sentences, "left_to_right", end=0.75),
        Component("places", documents, "place_cue", weight=2.0, begin=0.25),
        Component("questions", questions, "question_answering", weight=2.0, begin=0.5),
    ]
    for shift in (False, True):
        mixture = Mixture(components, seed=11, block_size=128, num_examples=2400, shift_positions=shift)
        examples = [list(astuple(mixture[index])) for index in range(len(mixture))]
        collator = PackingCollator(tokenizer.get_vocab(), 192, pad_token_id=tokenizer.pad_token_id)
        batch = collator([mixture[index] for index in range(16)])
        found["mixture, positions shifted" if shift else "mixture"] = {
            "vocabulary": "".join(sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)),
            "examples": hash_object(examples),
            "the first": examples[:SHOWN],
            "the last": examples[-1],
            "first batch": {name: hash_tensors({name: tensor}) for name, tensor in batch.items()},
            "rows": len(batch["input_ids"]),
            "first row": tokenizer.decode(batch["input_ids"][0].tolist()),
        }
    return found
