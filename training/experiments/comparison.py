"""Every architecture on the reference task at one identical, short budget."""

from dataclasses import dataclass, field
from pathlib import Path

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import read_json_object, write_json_atomic, write_text_atomic
from closedbook.evaluation.reports.comparison import comparison_table, summarise_runs
from closedbook.evaluation.results import result_path
from closedbook.training.asking.questions import EvaluationArguments, evaluate
from closedbook.training.command_line import RECIPES, parse_flags, read_recipe
from closedbook.training.experiments.variants import VARIANTS, check_choices
from closedbook.training.finetuning import FinetuningSettings, finetune
from closedbook.training.finished_runs import RunFolder
from closedbook.training.pretraining import PretrainingSettings, pretrain

FILES = {
    "corpus": "wiki.txt",
    "train": "birth_places_train.tsv",
    "dev": "birth_dev.tsv",
    "inputs": "birth_test_inputs.tsv",
}


@dataclass
class CompareArguments:
    """What to run, and where to write."""

    data: str = field(metadata={"help": f"folder with {', '.join(FILES.values())}"})
    variants: list[str] = field(
        default_factory=lambda: list(VARIANTS),
        metadata={"help": "architectures by name, such as vanilla-rotary; default: all"},
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "one run each"})
    output_dir: str = field(default="outputs/compare", metadata={"help": "folder for the models"})
    results: str = field(default="results", metadata={"help": "folder for the results"})
    task: str = field(default="cs224n-short", metadata={"help": "name of the task in the results"})
    num_threads: int = field(default=0, metadata={"help": "CPU threads; 0 takes all cores"})


@dataclass
class Budget:
    """What all variants get alike; 0 means what the recipe says."""

    pretraining_recipe: str = field(
        default=str(RECIPES / "cs224n_short_pretrain.yaml"), metadata={"help": "recipe of stage 1"}
    )
    finetuning_recipe: str = field(
        default=str(RECIPES / "cs224n_short_finetune.yaml"), metadata={"help": "recipe of stage 2"}
    )
    pretraining_steps: int = field(default=0, metadata={"help": "optimizer steps of stage 1"})
    finetuning_epochs: float = field(default=0.0, metadata={"help": "epochs of stage 2"})

    def describe(self) -> dict:
        """The content of both recipes with what the flags change of it: what makes two runs comparable."""
        changes: list[dict] = [{"max_steps": self.pretraining_steps}, {"num_train_epochs": self.finetuning_epochs}]
        stages = {}
        for name, path, change in zip(
            ("pretraining", "finetuning"), (self.pretraining_recipe, self.finetuning_recipe), changes, strict=True
        ):
            stages[name] = read_recipe(path) | {key: value for key, value in change.items() if value}
        return stages


def main(argv: list[str]) -> list[dict]:
    """Returns one row a variant, in the order of the table."""
    args, budget = parse_flags((CompareArguments, Budget), argv)
    check_recordable(args.results)
    check_choices("variants", args.variants, list(VARIANTS))
    check_choices("seeds", args.seeds)
    files = {name: Path(args.data) / file for name, file in FILES.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"--data: there is no {', '.join(missing)}")
    pairs = [(seed, variant) for seed in args.seeds for variant in args.variants]
    stores = {pair: run_folder(args, budget, *pair) for pair in pairs}
    results = [store.finished() for store in stores.values()]  # refuses before anything is run
    for ((seed, variant), store), result in zip(stores.items(), results, strict=True):
        if result is None:
            print(f"=== {variant}, seed {seed}", flush=True)
            run(args, budget, files, variant, seed, store)
            summarise(args, budget)
    return summarise(args, budget)


def run_folder(args: CompareArguments, budget: Budget, seed: int, variant: str) -> RunFolder:
    """Where a variant's stages and its result are kept."""
    record = result_path(args.results, args.task, variant, "two_stage", seed)
    return RunFolder(Path(args.output_dir) / f"{variant}-seed{seed}", budget.describe(), record)


def run(
    args: CompareArguments, budget: Budget, files: dict[str, Path], variant: str, seed: int, store: RunFolder
) -> None:
    """Both stages and the questions; a stage that has been finished before is not repeated."""
    common = {"seed": seed, "num_threads": args.num_threads, "disable_tqdm": True}
    steps = {"max_steps": budget.pretraining_steps} if budget.pretraining_steps else {}
    epochs = {"num_train_epochs": budget.finetuning_epochs} if budget.finetuning_epochs else {}
    first, second = store.folder / "pretrained", store.folder / "finetuned"
    told = common | VARIANTS[variant] | steps
    told |= {"recipe": budget.pretraining_recipe, "corpus_path": files["corpus"]}
    taught = common | epochs | {"recipe": budget.finetuning_recipe, "model": first}
    taught |= {"train_questions": files["train"], "exclude_people_of": [files["dev"], files["inputs"]]}
    pretrained = store.stage(first.name, lambda where: pretrain(PretrainingSettings.parse(**told, **where)))
    store.stage(second.name, lambda where: finetune(FinetuningSettings.parse(**taught, **where)))
    result = evaluate(
        EvaluationArguments(
            model=str(second),
            questions="cs224n",
            question_file=str(files["dev"]),
            train_questions=str(files["train"]),
            task=args.task,
            split="dev",
            results=args.results,
        )
    )
    store.finish({**(result or {}), "pretraining_loss": pretrained.last.eval_loss})


def summarise(args: CompareArguments, budget: Budget) -> list[dict]:
    """Write what all finished runs say together, the lowest evaluation loss first."""
    rows = []
    for variant in VARIANTS:
        paths = sorted(Path(args.results, args.task).glob(f"{variant}-two_stage-seed*.json"))
        results = [read_json_object(path) for path in paths]
        results = [result for result in results if result.get("budget") == budget.describe()]
        if results:
            rows.append(summarise_runs(variant, sorted(results, key=lambda result: result["seed"])))
    rows.sort(key=lambda row: row["pretraining_loss"])
    folder = Path(args.results) / args.task
    content = {"task": args.task, "budget": budget.describe(), "rows": rows, **run_environment()}
    write_json_atomic(folder / "summary.json", content)
    write_text_atomic(folder / "summary.md", comparison_table(rows))
    return rows
