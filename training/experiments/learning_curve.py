"""Accuracy against characters of pretraining: every checkpoint taught and asked alike."""

from dataclasses import dataclass, field
from pathlib import Path

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.reports.accuracies import read_curve, read_log_history
from closedbook.evaluation.run_record import read_run
from closedbook.training.command_line import RECIPES, parse_flags, read_recipe
from closedbook.training.finetuning import FinetuningSettings, finetune
from closedbook.training.finished_runs import RunsFile

RECIPE = RECIPES / "cs224n_places_finetune.yaml"


@dataclass
class CurveArguments:
    """Whose checkpoints, and how they are asked."""

    model: str = field(metadata={"help": "folder of a finished pretraining run that kept its checkpoints"})
    train_questions: str = field(metadata={"help": "file with the questions, some of whose people are asked"})
    name: str | None = field(default=None, metadata={"help": "of the curve; default: the folder's name"})
    recipe: str = field(default=str(RECIPE), metadata={"help": "of fine-tuning"})
    num_train_epochs: float = field(default=3.0, metadata={"help": "of fine-tuning; more gains little (LOG.md)"})
    validation_share: float = field(default=0.25, metadata={"help": "share of the training people to ask about"})
    output_dir: str | None = field(default=None, metadata={"help": "default: <model>-curve"})
    results: str = field(default="results", metadata={"help": "folder of result files"})
    num_threads: int = field(default=0, metadata={"help": "CPU threads; 0 takes all cores"})


def main(argv: list[str]) -> dict:
    """Returns the curve; see `evaluation.reports.accuracies.read_curve`.

    Raises:
        ValueError: for a run that read questions in pretraining or kept no checkpoints, or where the results hold
            a curve of this name that was made otherwise.
    """
    (args,) = parse_flags(CurveArguments, argv)
    check_recordable(args.results)
    folder = Path(args.model)
    run = read_run(folder)
    if run.protocol == "mixed":
        raise ValueError(
            f"{folder} was pretrained on questions too, perhaps on those that would be asked here; give "
            "--validation_share and --eval_strategy to that run instead, which then logs its own curve"
        )
    curve = read_curve(folder, run)
    curve["name"] = args.name or curve["name"]
    curve["taught"] = {
        "recipe": read_recipe(args.recipe),
        "num_train_epochs": args.num_train_epochs,
        "validation_share": args.validation_share,
    }
    shaping = {name: curve[name] for name in ("model", "protocol", "seed", "stages", "taught")}
    store = RunsFile(Path(args.results) / "curves" / f"{curve['name']}.json", shaping, "accuracy")
    points = {point[0]: point for point in store.finished() or []}
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda checkpoint: int(checkpoint.name.split("-")[1]))
    if not checkpoints:
        raise ValueError(f"{folder} keeps no checkpoints; pretrain with --save_steps and --save_total_limit")
    for checkpoint in checkpoints:
        characters = round(run.last.train_characters * int(checkpoint.name.split("-")[1]) / run.last.steps)
        if characters not in points:
            points[characters] = [characters, teach_and_ask(args, checkpoint), 0]
        curve["accuracy"] = [points[place] for place in sorted(points)]
        store.write(curve | run_environment())
    return curve


def teach_and_ask(args: CurveArguments, checkpoint: Path) -> float:
    """Share of the held-out people's questions that the checkpoint answers after fine-tuning."""
    output = Path(args.output_dir or f"{args.model}-curve") / checkpoint.name
    finetune(
        FinetuningSettings.parse(
            recipe=args.recipe,
            model=checkpoint,
            train_questions=args.train_questions,
            validation_share=args.validation_share,
            num_train_epochs=args.num_train_epochs,
            num_threads=args.num_threads,
            disable_tqdm=True,
            overwrite=True,
            output_dir=output,
        )
    )
    history = read_log_history(output / "trainer_state.json")
    return [entry["eval_exact_match"] for entry in history if "eval_exact_match" in entry][-1]
