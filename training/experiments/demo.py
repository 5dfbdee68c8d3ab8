"""The whole product on embedded data: pretrain, fine-tune, ask, compare, draw."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.reports.accuracies import plot_stages, read_log_history
from closedbook.evaluation.results import result_path
from closedbook.training.arguments import PopulationArguments
from closedbook.training.asking import attention
from closedbook.training.asking.questions import EvaluationArguments, evaluate, majority_result
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.checks.commands import Stopped
from closedbook.training.command_line import RECIPES, parse_flags
from closedbook.training.finetuning import FinetuningSettings, finetune
from closedbook.training.pretraining import PretrainingSettings, pretrain
from closedbook.training.question_sets import ask_about_people

SHOWN = 5  # questions answered on the screen


@dataclass
class DemoArguments:
    """Where to write, and how much to spend."""

    output_dir: str = field(default="outputs/demo", metadata={"help": "folder for models, plot and results"})
    seed: int = field(default=0, metadata={"help": "of the runs; the people stay the same"})
    pretraining_steps: int = field(default=0, metadata={"help": "0: as the recipe says"})
    results: str | None = field(default=None, metadata={"help": "folder of result files to add to"})


def main(argv: list[str]) -> dict:
    """Run all of it; a demo that is stopped begins anew the next time.

    Raises:
        Stopped: after SIGTERM.
    """
    (args,) = parse_flags(DemoArguments, argv)
    check_recordable(args.results)
    try:
        return show_everything(args)
    except Stopped as stopped:
        told = str(stopped).partition(";")[0]  # the rest is for who runs a stage alone
        raise Stopped(f"{told}; the demo begins anew when it is run again", stopped.status) from stopped


def show_everything(args: DemoArguments) -> dict:
    """Train, ask, draw, and return the accuracies."""
    disable_progress_bar()  # of reading and writing weights; training keeps its own
    output = Path(args.output_dir)
    common = {"seed": args.seed, "overwrite": True}
    steps = {"max_steps": args.pretraining_steps} if args.pretraining_steps else {}
    finetuning = {"recipe": RECIPES / "demo_finetune.yaml", "model": output / "pretrained", **common}

    say("1/4  pretraining on sentences about 300 people who do not exist")
    pretrain(
        PretrainingSettings.parse(
            recipe=RECIPES / "demo_pretrain.yaml", output_dir=output / "pretrained", **common, **steps
        )
    )
    say("2/4  fine-tuning on questions about 180 of them")
    taught = FinetuningSettings.parse(**finetuning, output_dir=output / "model")
    finetune(taught)
    say("3/4  the same fine-tuning without pretraining, until it has learned its questions by heart")
    baseline = {"from_scratch": True, "learning_rate": 0.003, "num_train_epochs": 40}
    finetune(FinetuningSettings.parse(**finetuning, **baseline, output_dir=output / "no_pretraining"))
    say("4/4  asking about the other 120, whose questions were never trained on")
    people = taught.people
    known, asked = (ask_about_people(people, split) for split in ("train", "test"))
    results = [majority_result("biographies", "test", known, asked)]
    for name in ("no_pretraining", "model"):
        results.append(evaluate(EvaluationArguments(model=str(output / name)), people))
    for result in results:
        folder = args.results or output / "results"
        path = result_path(folder, "biographies", result["model"], result["protocol"], result["seed"])
        write_json_atomic(path, result)
    curves = {
        "pretraining": read_log_history(output / "pretrained" / "trainer_state.json"),
        "fine-tuning": read_log_history(output / "model" / "trainer_state.json"),
    }
    plot_stages(curves, results, output / "demo.png")
    show(results, output)
    show_answers(output / "model", people)
    question = asked["question"][0]
    print(f"\nwhat its heads read in {question!r}: {output / 'attention.png'}")
    attention.explore_model(
        ["--model", str(output / "model"), "--text", question, "--output", str(output / "attention")]
    )
    summary = {result["protocol"]: round(result["accuracy"], 4) for result in results}
    line = {
        "majority": summary["majority"],
        "no_pretraining": summary["no_pretraining"],
        "pretrained": summary["two_stage"],
        "n": results[0]["n"],
    }
    print(json.dumps(line))
    return line


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def show(results: list[dict], output: Path) -> None:
    names = {
        "majority": "(a) always the most frequent city",
        "no_pretraining": "(b) fine-tuned, never pretrained",
        "two_stage": "(c) pretrained, then fine-tuned",
    }
    print(f"\n{'Where was X born?':36}{'right':>9}{'accuracy':>10}   95% interval")
    for result in results:
        low, high = result["interval"]
        right = f"{result['correct']}/{result['n']}"
        print(f"{names[result['protocol']]:36}{right:>9}{result['accuracy']:>10.1%}   {low:.1%} to {high:.1%}")
    print(f"\npicture: {output / 'demo.png'}    model folder: {output / 'model'}\n")


def show_answers(folder: Path, people: PopulationArguments) -> None:
    model, tokenizer = load_model_folder(folder)
    asked = ask_about_people(people, "test").select(range(SHOWN))
    answers = answer_questions(model, tokenizer, asked["question"][:], progress=False)
    for question, accepted, answer in zip(asked["question"][:], asked["answers"][:], answers, strict=True):
        verdict = "right" if answer.text in accepted else f"wrong: {accepted[0]}"
        print(f"{question:44} {answer.text:16} confidence {answer.confidence:.2f}  {verdict}")
