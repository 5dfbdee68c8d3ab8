"""Fine-tune a pretrained model to answer questions with no text in front of them.

    accelerate launch scripts/finetune.py --recipe scripts/recipes/cs224n_finetune.yaml \\
        --model outputs/vanilla --train_questions birth_places_train.tsv \\
        --exclude_people_of birth_dev.tsv birth_test_inputs.tsv --output_dir outputs/vanilla-finetuned

`--from_scratch` keeps the folder's architecture and vocabulary but not its weights: the baseline that shows
what the questions alone teach. Files under `--exclude_people_of` are read for names only.
"""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # this folder's evaluate.py would stand before the library `evaluate`

from transformers import AutoModelForCausalLM, TrainerCallback

from closedbook.data.mixture import Component
from closedbook.data.questions import check_fit, remove_overlap, split_by_entity
from closedbook.evaluation.answering import answer_questions
from closedbook.evaluation.metrics.exact_match.exact_match import exact_match_scores
from closedbook.scripts.arguments import (
    ClosedbookTrainingArguments,
    PopulationArguments,
    QuestionArguments,
    RegularisationArguments,
)
from closedbook.scripts.command_line import parse_arguments, recipe_name
from closedbook.scripts.pretrain import model_name
from closedbook.scripts.question_sets import read_questions, training_questions
from closedbook.scripts.run_folder import load_model_folder, read_run_file
from closedbook.scripts.training import apply_dropout, count_steps, prepare_run, train


@dataclass
class StartArguments:
    """Where fine-tuning starts."""

    model: str = field(metadata={"help": "folder of the pretrained model"})
    from_scratch: bool = field(default=False, metadata={"help": "random weights: the no-pretraining baseline"})
    exclude_people_of: list[str] = field(
        default_factory=list,
        metadata={"help": "question files whose people leave the training questions; answers are not read"},
    )


ARGUMENTS = (
    StartArguments,
    RegularisationArguments,
    PopulationArguments,
    QuestionArguments,
    ClosedbookTrainingArguments,
)


class Answering(TrainerCallback):
    """Answer held-out training people's questions at every evaluation, and log the exact match."""

    def __init__(self, questions, tokenizer):
        self.questions = questions
        self.tokenizer = tokenizer

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        answers = answer_questions(model, self.tokenizer, self.questions["question"][:], progress=False)
        scores = exact_match_scores([answer.text for answer in answers], self.questions["answers"][:])
        share = sum(scores) / len(scores)
        state.log_history.append({"step": state.global_step, "eval_exact_match": share})
        if args.process_index == 0:
            print(f"step {state.global_step}: {share:.1%} of {len(scores)} held-out questions", file=sys.stderr)


def main(argv: list[str]) -> dict:
    start, regularisation, people, question_args, args, recipe = parse_arguments(ARGUMENTS, argv)
    model_folder = Path(start.model).resolve()
    if Path(args.output_dir).resolve() in (model_folder, *model_folder.parents):
        raise ValueError(f"output_dir {args.output_dir} holds the model to start from: use another folder")
    checkpoint = prepare_run(args)
    model, tokenizer = load_model_folder(start.model)
    if start.from_scratch:
        model = AutoModelForCausalLM.from_config(model.config)
    apply_dropout(model, regularisation)
    questions = training_questions(question_args, people)
    held_out = [read_held_out(question_args.questions, path) for path in start.exclude_people_of]
    questions, excluded = remove_overlap(questions, *held_out)
    callbacks = []
    if question_args.validation_share != 0:
        shares = {"train": 1 - question_args.validation_share, "validation": question_args.validation_share}
        parts = split_by_entity(questions, shares, args.seed)
        questions = parts["train"]
        callbacks.append(Answering(parts["validation"], tokenizer))
    check_fit(questions, block_size=model.config.max_position_embeddings, vocabulary=tokenizer.get_vocab())
    before = {} if start.from_scratch else read_run_file(start.model)
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
            "protocol": "no_pretraining" if start.from_scratch else "two_stage",
            "model": model_name(model.config),
            "recipe": recipe_name(recipe),
            "base_model": None if start.from_scratch else base_model,
            "pretraining": before,
            "questions": question_args.questions,
            "training_questions": len(questions),
            "excluded_people": excluded,
            "arguments": asdict(start)
            | asdict(regularisation)
            | asdict(question_args)
            | (asdict(people) if question_args.questions == "biographies" else {}),
        },
        callbacks=callbacks,
    )
    print(f"saved {args.output_dir}: trained on {len(questions)} questions, eval loss {facts['eval_loss']:.3f}")
    return facts


def read_held_out(kind: str, path: str):
    """Names of held-out people. A file without answers is as good: only the questions are looked at."""
    try:
        questions = read_questions(kind, path, with_answers=False)
    except ValueError:
        questions = read_questions(kind, path)
    return questions.remove_columns("answers")


if __name__ == "__main__":
    main(sys.argv[1:])
