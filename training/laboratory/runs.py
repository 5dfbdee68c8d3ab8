"""Train and measure one arm of a laboratory figure.

An arm's folder is named by all that shapes its result, and holds `pretrained`, `finetuned`, `predictions.jsonl`
and `result.json`, its record: an arm that has one is never run again, whichever figure asks for it.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.continuations import score_continuations
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_jsonl_atomic
from closedbook.evaluation.laboratory.knowledge_bits import knowledge_bits, measure_losses
from closedbook.evaluation.laboratory.memorisation import find_stated_facts
from closedbook.evaluation.metrics.exact_match.matching import is_match
from closedbook.evaluation.run_record import Run
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.command_line import RECIPES, as_flags
from closedbook.training.documents import Corpus
from closedbook.training.finetuning import FinetuningSettings, finetune
from closedbook.training.finished_runs import RunFolder, digest
from closedbook.training.laboratory.arms import Arm
from closedbook.training.pretraining import PretrainingSettings, pretrain

PRETRAINING, FINETUNING = RECIPES / "laboratory_pretrain.yaml", RECIPES / "laboratory_finetune.yaml"


@dataclass(frozen=True)
class StageFlags:
    """Flags that win over the recipes of the two stages, and those of the machine, which change no result."""

    pretraining: tuple[str, ...] = ()
    finetuning: tuple[str, ...] = ()
    machine: tuple[str, ...] = ("--num_threads", "1", "--disable_tqdm", "true")


def describe_arm(arm: Arm, flags: StageFlags) -> dict[str, Any]:
    """All that shapes the arm's result; JSON-ready."""
    recipes = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (PRETRAINING, FINETUNING)]
    stages = {"pretraining_flags": flags.pretraining, "finetuning_flags": flags.finetuning}
    return {"arm": arm.described(), "recipes": recipes, **stages}


def arm_folder(arm: Arm, flags: StageFlags, output_dir: str | Path) -> Path:
    """The arm's folder, named by all that shapes its result."""
    # of the values alone, as ever since the first version: folders of finished arms keep their names
    named = digest(list(describe_arm(arm, flags).values()))
    return Path(output_dir) / f"{arm.unit}-w{arm.wordings}-{arm.order}-e{arm.exposures}-h{arm.hidden_size}-{named}"


def run_arm(arm: Arm, flags: StageFlags, output_dir: str | Path) -> dict[str, Any]:
    """Both stages and the measurement; returns what `result.json` holds.

    `processor_seconds` are those of this process: of an arm that was stopped, of its last part. Without questions
    there is only the first stage, and `knowledge` (see `knowledge_bits`) is measured; with them
    `cells` counts the facts of the test people (see `count_cells`).
    """
    folder = arm_folder(arm, flags, output_dir)
    store = RunFolder(folder, describe_arm(arm, flags), folder / "result.json", key=None)
    known = store.finished()
    if known is not None:
        return known
    begun = time.process_time()
    population = arm.population()
    documents, questions = arm.documents(population), arm.asked(population)
    told = store.stage("pretrained", lambda where: tell_documents(arm, flags, where, documents, questions))
    stages = [told.last]
    model, tokenizer = load_model_folder(folder / "pretrained")
    result = {"arm": arm.described(), "parameters": stages[0].parameters}
    if arm.questions == "none":
        losses = measure_losses(model, tokenizer, population, arm.attributes)
        result["knowledge"] = knowledge_bits(losses, stages[0].parameters)
    else:
        memorised = find_memorised(model, tokenizer, arm, documents, questions["test"])
        part = questions["train"]
        taught = store.stage("finetuned", lambda where: teach_questions(arm, flags, where, folder, part))
        stages.append(taught.last)
        model, tokenizer = load_model_folder(folder / "finetuned")
        rows = ask(model, tokenizer, arm, questions["test"], memorised)
        write_jsonl_atomic(folder / "predictions.jsonl", rows)
        result["cells"] = count_cells(rows)
    result["losses"] = [stage.eval_loss for stage in stages]
    result |= {
        name: sum(getattr(stage, name) for stage in stages) for name in ("train_characters", "train_seconds")
    }
    result["processor_seconds"] = round(time.process_time() - begun, 1)
    return store.finish(result | run_environment())


def tell_documents(
    arm: Arm, flags: StageFlags, where: dict[str, Any], documents: Dataset, questions: dict[str, Dataset]
) -> Run:
    """Stage 1 on the arm's documents, `where` being the settings of its folder.

    Raises:
        ValueError: if a document is longer than the block: its end would never be read.
    """
    told = {
        "recipe": PRETRAINING,
        "hidden_size": arm.hidden_size,
        "seed": arm.seed,
        "objectives": arm.objectives.split("+"),
    }
    settings = PretrainingSettings.parse([*as_flags(told), *flags.pretraining, *flags.machine], **where)
    block_size, args = settings.model.block_size, settings.training
    longest = max(documents["text"][:], key=len)
    if len(longest) > block_size:
        raise ValueError(
            f"a document of {len(longest)} characters does not fit into block_size {block_size}; raise "
            f"it in {PRETRAINING.name}, or tell fewer attributes: {longest!r}"
        )
    texts = [*documents["text"][:]]
    for part in questions.values():
        texts += [*part["question"][:], *(answer for answers in part["answers"][:] for answer in answers)]
    args.divide_batch()
    args.max_steps = -(-arm.num_examples(len(documents)) // args.global_batch_size)
    return pretrain(settings, Corpus(documents, texts, arm.described()))


def find_memorised(model, tokenizer, arm: Arm, documents: Dataset, asked: Dataset) -> dict[tuple[str, str], bool]:
    """(entity, attribute) -> whether greedy decoding finishes the first training text that states the fact."""
    known = {person.name: person.facts for person in arm.population()}
    entities = dict.fromkeys(asked["entity"][:])
    stated = find_stated_facts(documents, {name: {a: known[name][a] for a in arm.attributes} for name in entities})
    scores = score_continuations(
        model, tokenizer, [fact.prompt for fact in stated], [fact.continuation for fact in stated]
    )
    return {(fact.entity, fact.attribute): score.greedy for fact, score in zip(stated, scores, strict=True)}


def teach_questions(arm: Arm, flags: StageFlags, where: dict[str, Any], folder: Path, questions: Dataset) -> Run:
    """Stage 2 on the training people's questions, `where` being the settings of its folder."""
    path = folder / "questions.jsonl"
    columns = ("question", "answers", "entity")
    write_jsonl_atomic(path, ({name: row[name] for name in columns} for row in questions))
    told = {"recipe": FINETUNING, "model": folder / "pretrained", "train_questions": path, "seed": arm.seed}
    argv = [*as_flags(told), *flags.finetuning, *flags.machine]
    return finetune(FinetuningSettings.parse(argv, **where))


def ask(model, tokenizer, arm: Arm, questions: Dataset, memorised: dict[tuple[str, str], bool]) -> list[dict]:
    """One row a question, with what was answered and whether the fact is memorised."""
    indices = {person.name: person.index for person in arm.population()}
    answers = answer_questions(model, tokenizer, questions["question"][:], progress=False)
    return [
        question
        | {
            "mentions": arm.mentions_of(indices[question["entity"]]),
            "prediction": answer.text,
            "memorised": memorised[question["entity"], question["attribute"]],
            "answered": is_match(answer.text, question["answers"]),
        }
        for question, answer in zip(questions, answers, strict=True)
    ]


def count_cells(rows: Sequence[dict]) -> list[dict[str, Any]]:
    """How many facts (`n`) there are of each direction, attribute, mentions, memorised and answered."""
    names = ("direction", "attribute", "mentions", "memorised", "answered")
    counts = Counter(tuple(row[name] for name in names) for row in rows)
    return [dict(zip(names, key, strict=True)) | {"n": n} for key, n in counts.items()]
