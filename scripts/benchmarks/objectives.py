"""Speed of the data side: every objective with mixture and packing, against what training consumes.

    python scripts/benchmarks/objectives.py --corpus_path wiki.txt --output objectives.json

Without --corpus_path the corpus is synthetic biographies, one sentence a document. Questions are always synthetic.

Both sides run on one core of the same machine in the same run, and count characters a second, padding left out:

* an objective: `Mixture` and `PackingCollator` as the training loop calls them, batches of 128 examples. The first
  walk through the corpus is timed apart: in it entities are found, which later walks remember (of up to 65,536
  documents).
* training: the loop of `training.py` in this folder, the reference model with the recipe
  cs224n_vanilla_pretrain.yaml and span corruption.

`ratio` is the slower of the two walks over training; at least 10 keeps a core busy with data for under a tenth of
its time. The last line of stdout is one JSON object.
"""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from closedbook.data.mixture import Component, Mixture
from closedbook.data.objectives.table import OBJECTIVES, written_by
from closedbook.data.packing import PackingCollator
from closedbook.data.people.biographies import biography_questions
from closedbook.data.people.population import Population
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.scripts.benchmarks.measure import MeasuringArguments
from closedbook.scripts.benchmarks.training import BLOCK, TrainingBenchmarkArguments, time_ours
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags
from closedbook.training.documents import read_corpus

BATCH, ROW_LENGTH = 128, 256  # the recipe's
ASKED = 10  # times the characters that training consumes


@dataclass
class ObjectivesBenchmarkArguments(MeasuringArguments):
    """Flags of this benchmark."""

    corpus_path: str | None = field(default=None, metadata={"help": "wiki.txt; default: synthetic biographies"})
    num_people: int = field(default=500, metadata={"help": "synthetic people"})
    repeats: int = field(default=3, metadata={"help": "later walks of each objective, and training; the median"})
    training_steps: int = field(default=6, metadata={"help": "counted steps of each training repeat"})


def walk_speeds(name: str, records: list[dict], vocabulary: dict[str, int], repeats: int) -> tuple[float, float]:
    """Characters a second of the first walk through `records`, and of later ones (the median)."""
    walk = -(-len(records) // BATCH) * BATCH  # examples
    mixture = Mixture([Component(name, records, name)], 0, BLOCK, (repeats + 1) * walk)
    collate = PackingCollator(vocabulary, ROW_LENGTH)
    speeds = []
    for first in range(0, len(mixture), walk):
        characters, start = 0, time.perf_counter()
        for begin in range(first, first + walk, BATCH):
            examples = [mixture[i] for i in range(begin, begin + BATCH)]
            collate(examples)
            characters += sum(len(example.text) for example in examples)
        speeds.append(characters / (time.perf_counter() - start))
    return speeds[0], statistics.median(speeds[1:])


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(ObjectivesBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    for name in ("num_people", "repeats", "training_steps"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    torch.set_num_threads(1)
    people = PopulationArguments(num_people=args.num_people)
    corpus = CorpusArguments("biographies" if args.corpus_path is None else "wiki", args.corpus_path)
    read = read_corpus(corpus, people)
    documents, alphabet = read.documents, read.texts
    records = documents.to_list()
    questions = biography_questions(Population(args.num_people)).to_list()
    texts = [question["question"] + question["answers"][0] for question in questions]
    titles = [document["title"] + ". " for document in records]
    vocabulary = build_char_tokenizer(
        [*alphabet, *texts, *titles, *written_by(list(OBJECTIVES), [*alphabet, *titles])]
    ).get_vocab()
    settings = TrainingBenchmarkArguments(warmup_steps=1, steps=args.training_steps, num_threads=1)
    read = [Component("documents", records, "span_corruption")]
    training = statistics.median(time_ours(settings, read, alphabet)[0] for _ in range(args.repeats))
    print(f"training: {training:,.0f} characters a second", file=sys.stderr)
    objectives = {}
    for number, name in enumerate(OBJECTIVES):
        # a different end for each objective, so that none finds what another one has remembered of a text
        ended = [record | {"text": record["text"] + " " * number} for record in records]
        asked = questions if name == "question_answering" else ended
        first, later = walk_speeds(name, asked, vocabulary, args.repeats)
        ratio = min(first, later) / training
        objectives[name] = {"first_walk": first, "later_walks": later, "ratio": ratio}
        print(f"{name}: {first:,.0f}, later {later:,.0f} characters a second, ratio {ratio:.0f}", file=sys.stderr)
    result = {
        "benchmark": "objectives",
        "unit": "characters per second",
        "training": training,
        "objectives": objectives,
        "lowest_ratio": min(entry["ratio"] for entry in objectives.values()),
        "asked_ratio": ASKED,
        "documents": len(records),
        "threads": 1,
        "settings": asdict(args),
        **run_environment(),
    }
    if args.output is not None:
        write_json_atomic(args.output, result)
    print(json.dumps(result), flush=True)
    return result


if __name__ == "__main__":
    sys.exit(run_command(main))
