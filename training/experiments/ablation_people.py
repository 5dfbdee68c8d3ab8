"""Which people an ablation reads about and asks, and how often it shows a model what they are asked."""

from pathlib import Path

from datasets import Dataset

from closedbook.data.corpora import load_wiki
from closedbook.data.mixture import Mixture
from closedbook.data.questions import entity_key, load_cs224n, split_by_entity
from closedbook.evaluation.files import write_text_atomic

SPLIT_SEED = 0  # every seed of a run takes the same people


def write_people(data: Path, num_people: int, folder: Path) -> dict[str, Path]:
    """Write `wiki`, the people's lines, and `train` and `held_out`, their questions; returns the files.

    Args:
        data: folder of the reference files, of which wiki.txt and birth_places_train.tsv are read.
        num_people: drawn from the people of the training questions; three fifths of them are trained on.
        folder: where to write.

    Raises:
        ValueError: for fewer than 10 people, or as many as there are.
    """
    questions = load_cs224n(data / "birth_places_train.tsv")
    entities = len(set(map(entity_key, questions["entity"][:])))
    if not 10 <= num_people < entities:
        raise ValueError(f"--num_people must be between 10 and {entities - 1}, got {num_people}")
    share = num_people / entities
    chosen = split_by_entity(questions, {"chosen": share, "rest": 1 - share}, SPLIT_SEED)["chosen"]
    parts = split_by_entity(chosen, {"train": 0.6, "held_out": 0.4}, SPLIT_SEED)
    names = set(map(entity_key, chosen["entity"][:]))
    lines = load_wiki(data / "wiki.txt")
    documents = [row["text"] for row in lines if entity_key(row["title"]) in names]
    for character in sorted(set("".join(chosen["question"][:])) - set("".join(documents))):
        # the vocabulary comes from the documents, and "?" is rare in them
        documents += [text for text in lines["text"][:] if character in text][:1]
    files = {"wiki": folder / "wiki.txt"} | {name: folder / f"{name}.tsv" for name in parts}
    write_text_atomic(files["wiki"], "".join(f"{text}\n" for text in documents))
    for name, part in parts.items():
        lines = (f"{row['question']}\t{row['answers'][0]}\n" for row in part)
        write_text_atomic(files[name], "".join(lines))
    return files


def exposures(mixture: Mixture, held_out: Dataset) -> float:
    """Examples of a held-out person that hold an accepted answer, a person, over the whole run."""
    answers: dict[str, set[str]] = {}
    for row in held_out:
        answers.setdefault(entity_key(row["entity"]), set()).update(row["answers"])
    met = 0
    for index in range(len(mixture)):
        accepted = answers.get(entity_key(mixture.record(index).get("title", "")), ())
        met += any(answer in mixture[index].text for answer in accepted)
    return met / len(answers)
