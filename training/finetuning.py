"""Fine-tuning: a pretrained model learns to answer questions with no text in front of them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import AutoModelForCausalLM

from closedbook.data.mixture import Component
from closedbook.data.questions import check_fit
from closedbook.training.arguments import (
    ClosedbookTrainingArguments,
    PopulationArguments,
    QuestionArguments,
    RegularisationArguments,
)
from closedbook.training.command_line import parse_arguments, recipe_name
from closedbook.training.pretraining import model_name
from closedbook.training.question_sets import Answering, learnable_questions
from closedbook.training.run_folder import load_model_folder, read_base_run
from closedbook.training.trainer import apply_dropout, count_steps, prepare_run, train
from closedbook.training.unknown_people import UnknownArguments, add_unknown_people


@dataclass
class StartArguments:
    """Where fine-tuning starts."""

    model: str = field(metadata={"help": "folder of the pretrained model"})
    from_scratch: bool = field(default=False, metadata={"help": "random weights: the no-pretraining baseline"})


ARGUMENTS = (
    StartArguments,
    RegularisationArguments,
    PopulationArguments,
    QuestionArguments,
    UnknownArguments,
    ClosedbookTrainingArguments,
)


def main(argv: list[str]) -> dict:
    start, regularisation, people, question_args, unknown_args, args, recipe = parse_arguments(ARGUMENTS, argv)
    model_folder = Path(start.model).resolve()
    if Path(args.output_dir).resolve() in (model_folder, *model_folder.parents):
        raise ValueError(f"output_dir {args.output_dir} holds the model to start from: use another folder")
    checkpoint = prepare_run(args)
    model, tokenizer = load_model_folder(start.model)
    if start.from_scratch:
        model = AutoModelForCausalLM.from_config(model.config)
    apply_dropout(model, regularisation)
    questions, validation, excluded = learnable_questions(question_args, people, args.seed)
    run = read_base_run(start.model)
    if run.get("protocol") == "mixed" and validation is not None:
        check_same_people(run, question_args.validation_share, args.seed)
    questions, invented = add_unknown_people(
        questions, validation, unknown_args, question_args, people, run, args.seed
    )
    callbacks = [Answering(validation, tokenizer)] if validation is not None else []
    check_fit(questions, block_size=model.config.max_position_embeddings, vocabulary=tokenizer.get_vocab())
    base_model = model_folder.name if model_folder.exists() else start.model  # whole where it is one on the Hub
    facts = train(
        model,
        tokenizer,
        [Component("questions", questions.to_list(), "question_answering")],
        count_steps(args, len(questions)),
        args,
        checkpoint,
        facts={
            "stage": "finetune",
            "protocol": "no_pretraining" if start.from_scratch else run.get("protocol", "two_stage"),
            "model": model_name(model.config),
            "recipe": recipe_name(recipe),
            "base_model": None if start.from_scratch else base_model,
            "pretraining": {} if start.from_scratch else run,
            "questions": question_args.questions,
            "training_questions": len(questions) - len(invented),
            "excluded_people": excluded,
            "unknown_people": invented,
            "arguments": asdict(start)
            | asdict(regularisation)
            | asdict(question_args)
            | asdict(unknown_args)
            | (asdict(people) if question_args.questions == "biographies" else {}),
        },
        callbacks=callbacks,
    )
    print(f"saved {args.output_dir}: trained on {len(questions)} questions, eval loss {facts['eval_loss']:.3f}")
    return facts


def check_same_people(run: dict, validation_share: float, seed: int) -> None:
    """Refuse to hold out people whose questions the mixed pretraining has seen.

    Raises:
        ValueError: with the share and the seed that the pretraining held out.
    """
    before = run["arguments"]["validation_share"], run["seed"]
    if before != (validation_share, seed):
        raise ValueError(
            f"the model was pretrained on questions with validation_share {before[0]} and seed {before[1]}: with "
            f"validation_share {validation_share} and seed {seed}, people would be held out whom it was trained on"
        )
