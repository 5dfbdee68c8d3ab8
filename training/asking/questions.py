"""A model asked with the book closed: what it answered, and how often it was right."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedModel

from closedbook.data.questions import QUESTION_SETS
from closedbook.evaluation.answering.stock_models import check_prompt
from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.baselines import evaluate_majority
from closedbook.evaluation.predictions import prediction_rows, write_plain_predictions
from closedbook.evaluation.results import PROTOCOLS, Result, make_result, result_path
from closedbook.evaluation.run_record import read_run
from closedbook.evaluation.statistics.scores import RULES, Score
from closedbook.training.arguments import PopulationArguments
from closedbook.training.asking.people import check_population, recorded_people
from closedbook.training.asking.stream import CHUNK, Asker, ask_in_rounds, describe_asking
from closedbook.training.bases.asking import check_fit_to_ask, load_to_ask
from closedbook.training.checks.effect import people_without_effect, refuse, unread_files
from closedbook.training.checks.outputs import check_name, check_outputs
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import as_flags, parse_arguments
from closedbook.training.finished_runs import GrowingFile
from closedbook.training.hardware import own_device, process_state
from closedbook.training.keeping.lock import sole_writer
from closedbook.training.model_card import record_evaluation
from closedbook.training.models import model_name
from closedbook.training.question_sets import ask_about_people, check_asked_people, read_questions
from closedbook.training.run_folder import check_outside_model, read_base_run


@dataclass
class EvaluationArguments:
    """What to ask whom, and where to write."""

    model: str = field(
        metadata={"help": "folder of the model or of an adapter; with --prompt also a name on the Hub"}
    )
    questions: str = field(default="biographies", metadata={"help": f"biographies, {', '.join(QUESTION_SETS)}"})
    question_file: str | None = field(
        default=None, metadata={"help": "file with the questions; of published sets also the name on the Hub"}
    )
    prompt: str | None = field(
        default=None,
        metadata={"help": "ask so, with {question} in it, or chat: for models not trained by this package"},
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "with --prompt: run the model's own code"})
    without_answers: bool = field(default=False, metadata={"help": "the file holds questions only"})
    train_questions: str | None = field(
        default=None, metadata={"help": "training questions, for the majority baseline"}
    )
    task: str = field(default="biographies", metadata={"help": "name of the task in the result"})
    split: str = field(default="test", metadata={"help": "name of the split in the result"})
    output_dir: str | None = field(default=None, metadata={"help": "default: <model>/<split>"})
    results: str | None = field(default=None, metadata={"help": "folder of result files to add to"})
    plain_predictions: str | None = field(
        default=None, metadata={"help": "also write the course's file: one answer a line"}
    )
    batch_size: int = field(default=64, metadata={"help": "questions decoded at once"})
    max_new_tokens: int = field(
        default=32, metadata={"help": "longest answer, in tokens (characters, in models of ours)"}
    )


def main(argv: Sequence[str]) -> Result | None:
    kinds = (EvaluationArguments, PopulationArguments)
    args, typed, recipe = parse_arguments(kinds, argv)
    if recipe is not None:
        raise ValueError("evaluate.py takes flags only; what was trained is read from the model's run.json")
    if args.questions != "biographies":
        refuse(people_without_effect(typed, f"the questions are {args.questions}"))
    run = read_base_run(args.model)  # of a checkpoint that of its run
    recorded = recorded_people(run).recorded()
    known = as_flags({name: value for name, value in recorded.items() if value != []})
    people = parse_arguments(kinds, [*known, *argv])[1]
    says_who = run or args.prompt is not None or any(word.startswith("--num_people") for word in argv)
    result = evaluate(args, people if says_who else None)
    if result is not None:
        print(in_words(result))
        print(json.dumps(result, ensure_ascii=False))
    return result


def in_words(result: Result) -> str:
    """A result as one sentence, for whoever reads along; the line of JSON is for programs."""
    low, high = result["interval"]
    guess = result.get("baselines", {}).get("majority")
    beside = f'; always "{guess["answer"]}": {guess["accuracy"]:.1%}' if guess else ""
    return (
        f"{result['correct']} of {result['n']} questions answered right: {result['accuracy']:.1%}, 95% interval "
        f"{low:.1%} to {high:.1%}{beside}"
    )


@torch.no_grad()
def evaluate(args: EvaluationArguments, people: PopulationArguments | None = None) -> Result | None:
    """Ask, write, and return the result; None without answers, and in all processes but the first.

    Args:
        args: what to ask whom, and where to write.
        people: whom the questions called `biographies` are about; None for those whom the model was trained on.

    Raises:
        ValueError: for questions that are missing or do not fit the model, a prompt without a place for the
            question, a model that cannot be asked so, or an output that cannot be written; before anything is
            asked.
    """
    check_together(*checks(args, people))
    people = people or recorded_people(read_base_run(args.model))
    state = process_state()
    model, tokenizer, prompt = load_to_ask(args.model, args.prompt, args.trust_remote_code)
    model = model.to(own_device(state))
    if args.questions == "biographies":
        asked, known = ask_about_people(people, args.split), ask_about_people(people, "train")
    else:
        asked = read_questions(args.questions, args.question_file, with_answers=not args.without_answers)
        known = read_questions(args.questions, args.train_questions) if args.train_questions else None
        if state.is_main_process:
            say_trained(args)
    check_fit_to_ask(asked, model, tokenizer, prompt)
    folder = Path(args.output_dir or Path(args.model) / args.split)
    asker = Asker(model, tokenizer, prompt, args.batch_size, args.max_new_tokens, asked)
    file = GrowingFile(folder / "predictions.jsonl", describe_asking(args.model, asker, asked, state))
    file.begun()
    state.wait_for_everyone()  # nothing is written before all have looked
    score = Score(args.questions)
    count = (lambda rows: None) if args.without_answers else score.add
    with sole_writer(folder) if state.is_main_process else nullcontext():
        kept = file.rows() if state.is_main_process else iter(())
        while rows := list(islice(kept, CHUNK)):
            count(rows)
        ask_in_rounds(asked, file, asker.ask, prediction_rows, state, count)
        if not state.is_main_process:
            return None
        if args.plain_predictions:
            write_plain_predictions(args.plain_predictions, (row["prediction"] for row in file.rows()))
        file.finish()
        result = None if args.without_answers else summarise(args, score, asked, known, model)
        if result is None:
            print(f"wrote {len(asked)} answers to {folder}")
        else:
            keep_result(args, folder, result, asked, known)
        file.forget()
    return result


def say_trained(args: EvaluationArguments) -> None:
    """Say of questions that the model was trained on that their accuracy is none of what it learned to answer."""
    trained = read_base_run(args.model).last.arguments.get("train_questions")
    if not (trained and args.question_file and Path(trained).is_file()):
        return
    if Path(trained).samefile(args.question_file):
        print(
            f"{args.question_file} is what the model was trained on (all but those held out): how many it answers "
            "says what it kept of them, not what it learned from documents",
            file=sys.stderr,
        )


def keep_result(
    args: EvaluationArguments, folder: Path, result: Result, asked: Dataset, known: Dataset | None
) -> None:
    """Write a result beside its predictions, into the card of the model, and where else it is wanted."""
    write_json_atomic(folder / "results.json", result)
    record_evaluation(args.model, result)
    if args.results:
        found = [result] if known is None else [result, majority_result(args.task, args.split, known, asked)]
        for each in found:
            path = result_path(args.results, each["task"], each["model"], each["protocol"], each["seed"])
            write_json_atomic(path, each)


def checks(args: EvaluationArguments, people: PopulationArguments | None) -> list[Callable[[], object]]:
    """All that can be said of the flags before anything is read but the record of the model."""
    trusts_in_vain = args.trust_remote_code and args.prompt is None  # a model of this package brings no code
    files = {"question_file": args.question_file, "train_questions": args.train_questions}

    def check_output() -> None:
        if args.prompt is not None and args.output_dir is None and not Path(args.model).is_dir():
            raise ValueError(
                f"--model {args.model} is no folder here: mistyped, or the name of a model that is not a "
                "folder of yours; say with --output_dir where to write about that one"
            )
        output = Path(args.output_dir or Path(args.model) / args.split)
        written = [output / "predictions.jsonl", output / "results.json", args.plain_predictions]
        check_outputs(written, [("question_file", args.question_file), ("train_questions", args.train_questions)])
        check_outputs([args.results and Path(args.results) / "index"])
        check_outside_model(args.model, written)
        if args.without_answers and args.questions == "biographies":
            raise ValueError("--without_answers has no effect: synthetic people have answers")

    def check_people() -> None:
        run = read_base_run(args.model)
        if args.questions == "biographies" and args.prompt is None:
            if not run and people is None and (Path(args.model) / "config.json").is_file():
                raise ValueError(
                    f"{args.model} has no run file that tells which people it was trained on: say it with "
                    "--num_people and --population_seed, or what else to ask with --questions"
                )
            check_population(people or recorded_people(run), run)
        check_asked_people(people or recorded_people(run), args.questions)

    return [
        lambda: check_recordable(args.results),
        lambda: check_name("task", args.task),
        lambda: check_name("split", args.split),
        lambda: refuse(unread_files(args.questions, **files)),
        lambda: args.prompt is None or check_prompt(args.prompt),
        lambda: refuse(["--trust_remote_code has no effect: it needs --prompt"] if trusts_in_vain else []),
        check_output,
        check_people,
    ]


def summarise(
    args: EvaluationArguments, score: Score, asked: Dataset, known: Dataset | None, model: PreTrainedModel
) -> Result:
    """What the predictions come to, the baseline, and what the record tells of the training."""
    run = read_run(args.model)
    protocol = run.protocol if run.protocol in PROTOCOLS else "two_stage"
    result = make_result(
        task=args.task,
        split=args.split,
        model=(run.last.model or model_name(model.config)) if args.prompt is None else Path(args.model).name,
        parameters=model.num_parameters(),
        protocol=protocol if args.prompt is None else "prompted",
        recipe=run.recipes or "unknown",
        seed=run.last.seed or 0,
        n=score.n,
        correct=score.correct,
        train_characters=run.train_characters,
        train_seconds=run.train_seconds,
    )
    if known is not None:
        majority = evaluate_majority(known, asked)
        result["baselines"] = {
            "majority": {"answer": majority.answer, "correct": majority.correct, "accuracy": majority.accuracy}
        }
    result["answer_match"] = score.matches / score.n
    if (published := score.published_rule()) is not None:
        result["published_rule"], result["rules"] = published, RULES
    if args.prompt is not None:
        result["prompt"] = args.prompt
    result["mean_confidence"] = score.mean_confidence
    result["train_commands"] = [stage.command for stage in run.stages if stage.command]
    result["train_hardware"] = [stage.hardware for stage in run.stages if stage.hardware]
    return result


def majority_result(task: str, split: str, known: Dataset, asked: Dataset) -> Result:
    """The result of always giving the most frequent answer of the training questions."""
    score = evaluate_majority(known, asked)
    return make_result(
        task=task,
        split=split,
        model=f"always-{score.answer.replace(' ', '-')}",
        parameters=0,
        protocol="majority",
        recipe="the most frequent training answer",
        seed=0,
        n=score.n,
        correct=score.correct,
        train_characters=0,
        train_seconds=0,
    )
