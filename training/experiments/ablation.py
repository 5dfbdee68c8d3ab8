"""Objective by objective: what each makes of the same people at the same number of characters."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from closedbook.data.corpora import load_wiki
from closedbook.data.mixture import Component, Mixture
from closedbook.data.objectives.table import QUESTIONS
from closedbook.data.questions import load_cs224n
from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.results import result_path
from closedbook.training.asking.questions import EvaluationArguments, evaluate
from closedbook.training.command_line import RECIPES, parse_flags
from closedbook.training.experiments.ablation_people import exposures, write_people
from closedbook.training.experiments.variants import check_choices
from closedbook.training.finetuning import FinetuningSettings, finetune
from closedbook.training.finished_runs import RunFolder
from closedbook.training.objective_shares import parse_objectives
from closedbook.training.pretraining import PretrainingSettings, pretrain

PRETRAINING, FINETUNING = "cs224n_ablation.yaml", "cs224n_finetune.yaml"
TASK = "cs224n-ablation"
BLOCK_SIZE = 128
MIXED_IN = "question_answering=1@0.8"

RECIPE = ["place_cue=3", "place_sequence=4", "entity_sequence=1", "span_corruption=1"]

# Name -> objectives and, where not all is alike, flags. The order is that of running.
ARMS: dict[str, tuple[list[str], list[str]]] = {
    "recipe": (RECIPE, []),
    "span corruption": (["span_corruption"], []),
    "recipe, places in random order": (["place_cue=3", "place_list=4", "entity_list=1", "span_corruption=1"], []),
    "recipe, in company": (["place_cue=3", "place_company=4", "entity_sequence=1", "span_corruption=1"], []),
    "recipe, no cues": (["place_sequence=7", "entity_sequence=1", "span_corruption=1"], []),
    "recipe, no sequences": (["place_cue=7", "entity_cue=1", "span_corruption=1"], []),
    "recipe, all entities": (["entity_cue=3", "entity_sequence=5", "span_corruption=1"], []),
    "recipe, positions not shifted": (RECIPE, ["--shift_positions", "false"]),
    "recipe, questions mixed in": ([*RECIPE, MIXED_IN], []),
    "left to right": (["left_to_right"], []),
    "entity recall": (["entity_recall"], []),
    "title windows": (["title_windows"], []),
    "salient spans": (["salient_spans"], []),
    "fill in the middle": (["fill_in_the_middle"], []),
    "mixture of denoisers": (["mixture_of_denoisers"], []),
    "T5 multi-span": (["t5_multi_span"], []),
    "reversed and left to right": (["reversed_order", "left_to_right"], []),
}


@dataclass
class AblationArguments:
    """What to run, and where to write."""

    data: str = field(metadata={"help": "folder with wiki.txt and birth_places_train.tsv"})
    arms: list[str] = field(default_factory=lambda: list(ARMS), metadata={"help": "which; default: all"})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "one run each"})
    num_people: int = field(default=400, metadata={"help": "people of the training questions"})
    characters: int = field(default=800_000, metadata={"help": "of pretraining, the same for every arm"})
    step_characters: int = field(default=4_000, metadata={"help": "about how many an optimizer step reads"})
    finetuning_epochs: float = field(default=10.0, metadata={"help": "over the people's training questions"})
    hidden_size: int = field(default=256, metadata={"help": "width; the default is the reference's"})
    output_dir: str = field(default="outputs/ablation", metadata={"help": "folder for the data and the models"})
    results: str = field(default="results", metadata={"help": "folder for the results"})
    num_threads: int = field(default=0, metadata={"help": "CPU threads; 0 takes all cores"})


def main(argv: list[str]) -> list[dict]:
    """Returns the results, in the order of `--arms`."""
    (args,) = parse_flags(AblationArguments, argv)
    check_recordable(args.results)
    check_choices("arms", args.arms, list(ARMS))
    check_choices("seeds", args.seeds)
    runs = [(seed, arm) for seed in args.seeds for arm in args.arms]
    stores = [run_folder(args, *pair) for pair in runs]
    # refuses another budget's runs before anything is run
    results: list[Any] = [store.finished() for store in stores]
    files = write_people(Path(args.data), args.num_people, Path(args.output_dir) / f"people-{args.num_people}")
    for number, (seed, arm) in enumerate(runs):
        if results[number] is None:
            print(f"=== {arm}, seed {seed}", flush=True)
            results[number] = run(args, files, arm, seed, stores[number])
    return results


def budget(args: AblationArguments, arm: str) -> dict:
    """What makes two runs of an arm one and the same: a result of another budget is not taken for this one's."""
    objectives, flags = ARMS[arm]
    sizes = ("num_people", "characters", "step_characters", "finetuning_epochs", "hidden_size")
    recipes = [yaml.safe_load((RECIPES / name).read_text(encoding="utf-8")) for name in (PRETRAINING, FINETUNING)]
    return {name: getattr(args, name) for name in sizes} | {
        "objectives": objectives,
        "flags": flags,
        "recipes": recipes,
    }


def run_folder(args: AblationArguments, seed: int, arm: str) -> RunFolder:
    """Where an arm's stages and its result are kept."""
    protocol = "mixed" if MIXED_IN in ARMS[arm][0] else "two_stage"
    record = result_path(args.results, TASK, slug(arm), protocol, seed)
    return RunFolder(Path(args.output_dir) / f"{slug(arm)}-seed{seed}", budget(args, arm), record)


def slug(arm: str) -> str:
    """The name of an arm as a part of a file name."""
    return arm.replace(",", "").replace(" ", "_")


def run(args: AblationArguments, files: dict[str, Path], arm: str, seed: int, store: RunFolder) -> dict:
    """Both stages and the questions of the held-out people."""
    objectives, flags = ARMS[arm]
    documents = load_wiki(files["wiki"]).to_list()
    records = {QUESTIONS: load_cs224n(files["train"]).to_list()}
    components = [
        Component(share.objective, records.get(share.objective, documents), **vars(share))
        for share in parse_objectives(objectives)
    ]
    sample = Mixture(components, seed, BLOCK_SIZE, 3_000)
    length = sum(len(sample[i].text) for i in range(len(sample))) / len(sample)
    batch, steps = max(1, round(args.step_characters / length)), max(1, args.characters // args.step_characters)
    common = {"seed": seed, "num_threads": args.num_threads, "disable_tqdm": True}
    taught = {"train_questions": files["train"]}
    mixed = taught | {"questions": "cs224n"} if MIXED_IN in objectives else {}
    first, second = store.folder / "pretrained", store.folder / "finetuned"
    told = {
        **common,
        **mixed,
        "recipe": RECIPES / PRETRAINING,
        "objectives": objectives,
        "corpus_path": files["wiki"],
        "max_steps": steps,
        "global_batch_size": batch,
        "per_device_train_batch_size": batch,
        "hidden_size": args.hidden_size,
    }
    asked = common | taught | {"recipe": RECIPES / FINETUNING, "model": first}
    asked |= {"num_train_epochs": args.finetuning_epochs}
    store.stage(first.name, lambda where: pretrain(PretrainingSettings.parse(flags, **told, **where)))
    store.stage(second.name, lambda where: finetune(FinetuningSettings.parse(**asked, **where)))
    result = evaluate(
        EvaluationArguments(
            model=str(second),
            questions="cs224n",
            question_file=str(files["held_out"]),
            task=TASK,
            split="held_out",
        )
    )
    mixture = Mixture(components, seed, BLOCK_SIZE, batch * steps)
    more = {
        "ablation": arm,
        "objectives": objectives,
        "exposures": exposures(mixture, load_cs224n(files["held_out"])),
    }
    return store.finish({**(result or {}), **more})
