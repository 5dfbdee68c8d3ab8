"""Pretraining: documents, and questions where the objectives name `question_answering`, into a model folder."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from closedbook.data.mixture import Component
from closedbook.data.objectives.table import IRREGULAR_RECORDS, check_objectives
from closedbook.data.questions import check_fit
from closedbook.evaluation.run_record import Run, Stage
from closedbook.modeling.tokenization_char import QUESTION_CHAT_TEMPLATE, build_char_tokenizer
from closedbook.training.arguments import (
    ClosedbookTrainingArguments,
    CorpusArguments,
    ModelArguments,
    PopulationArguments,
    QuestionArguments,
    RegularisationArguments,
)
from closedbook.training.checks.effect import (
    check_effect_of_corpus,
    check_effect_of_model,
    check_effect_of_questions,
    given,
)
from closedbook.training.checks.machine import check_memory
from closedbook.training.checks.outputs import check_inputs_outside, check_output_outside
from closedbook.training.command_line import parse_settings
from closedbook.training.documents import Corpus, check_corpus, read_corpus
from closedbook.training.models import build_config, build_model, model_name
from closedbook.training.objective_shares import parse_objectives
from closedbook.training.question_sets import Answering, Learnable, learnable_questions, question_files
from closedbook.training.trainer import check_rows, count_steps, prepare_run, train

ARGUMENTS = (
    ModelArguments,
    RegularisationArguments,
    PopulationArguments,
    CorpusArguments,
    QuestionArguments,
    ClosedbookTrainingArguments,
)
QUESTIONS = "question_answering"  # the objective whose records are questions, not documents


@dataclass(kw_only=True)
class PretrainingSettings:
    """All that one run of pretraining depends on; each field a group of flags, in the order of `ARGUMENTS`."""

    model: ModelArguments = field(default_factory=ModelArguments)
    regularisation: RegularisationArguments = field(default_factory=RegularisationArguments)
    people: PopulationArguments = field(default_factory=PopulationArguments)
    corpus: CorpusArguments = field(default_factory=CorpusArguments)
    questions: QuestionArguments = field(default_factory=QuestionArguments)
    training: ClosedbookTrainingArguments
    recipe: str | None = None

    @classmethod
    def parse(cls, argv: Sequence[str] = (), **values: Any) -> "PretrainingSettings":
        """From flags, as the command line has them, and then from values by the same names, which win.

        Raises:
            ValueError: as `parse_arguments` does.
        """
        return parse_settings(cls, ARGUMENTS, argv, values)


def main(argv: Sequence[str]) -> Run:
    settings = PretrainingSettings.parse(argv)
    run = pretrain(settings)
    folder, stage = settings.training.output_dir, run.last
    print(f"saved {folder}: {stage.parameters:,} parameters, eval loss {stage.eval_loss:.3f}")
    return run


def pretrain(settings: PretrainingSettings, corpus: Corpus | None = None) -> Run:
    """Train a new model on documents and write its folder; returns the record written there.

    Args:
        settings: what to train on what, and where to write.
        corpus: documents made by the caller, in place of those that `settings.corpus` names.

    Raises:
        ValueError: for settings that contradict each other or do not fit the documents, before anything slow.
    """
    args, asked = settings.training, settings.questions
    shares = parse_objectives(settings.corpus.objectives)
    objectives = [share.objective for share in shares]
    checkpoint = prepare_run(args, *checks(settings, objectives, corpus is not None))
    if corpus is None:
        corpus = read_corpus(settings.corpus, settings.people)
    block_size = settings.model.block_size
    records, callbacks, mixed_in = {}, [], {}
    learned = learnable_questions(asked, settings.people, args.seed) if QUESTIONS in objectives else None
    tokenizer = build_char_tokenizer([*corpus.texts, *written_in(learned)], model_max_length=block_size)
    model = build_model(settings.model, settings.regularisation, len(tokenizer))
    if learned is not None:
        check_fit(learned.questions, block_size=block_size, vocabulary=tokenizer.get_vocab())
        records[QUESTIONS] = learned.questions.to_list()
        tokenizer.chat_template = QUESTION_CHAT_TEMPLATE
        mixed_in = {"protocol": "mixed", "questions": asked.questions} | learned.recorded()
        if learned.validation is not None:
            callbacks.append(Answering(learned.validation, tokenizer))
    texts = corpus.documents.to_list()  # reading one row of an Arrow table costs more than corrupting it
    path = settings.corpus.corpus_path or ""
    is_dataset = settings.corpus.corpus == "hub" and not Path(path).exists()
    return train(
        model,
        tokenizer,
        [Component(share.objective, records.get(share.objective, texts), **asdict(share)) for share in shares],
        count_steps(args, len(texts)),
        args,
        checkpoint,
        Stage(
            stage="pretrain",
            model=model_name(model.config),
            recipe=settings.recipe,
            corpus=settings.corpus.corpus,
            objectives=settings.corpus.objectives,
            dataset=path.partition("?")[0] if is_dataset else None,
            documents=len(texts),
            irregular_documents=count_irregular(objectives, texts),
            document_characters=sum(len(document["text"]) for document in texts),
            arguments=asdict(settings.model)
            | asdict(settings.regularisation)
            | corpus.arguments
            | (asdict(asked) if records else {}),
            **mixed_in,
        ),
        callbacks=callbacks,
    )


def checks(settings: PretrainingSettings, objectives: list[str], has_corpus: bool) -> list[Callable[[], object]]:
    """All that can be said of the settings before anything is read.

    Args:
        settings: of the run.
        objectives: their names.
        has_corpus: whether the caller brings the documents.
    """
    corpus, asked = settings.corpus, settings.questions
    asks = QUESTIONS in objectives
    inputs = [("corpus_path", corpus.corpus_path), *question_files(asked)]
    found: list[Callable[[], object]] = [
        lambda: check_sources(objectives, corpus, asked),
        lambda: build_config(settings.model, settings.regularisation, vocab_size=8),
        lambda: check_memory(settings.model.num_hidden_layers * 12 * settings.model.hidden_size**2),
        lambda: check_rows(settings.training.row_length, settings.model.block_size),
        lambda: check_effect_of_model(settings.model),
        lambda: check_inputs_outside(settings.training.output_dir, inputs),
        lambda: check_output_outside(settings.training.output_dir, "corpus_path", corpus.corpus_path),
    ]
    if asks:
        found.append(lambda: check_effect_of_questions(asked, None))
    if not has_corpus:
        found.append(lambda: check_corpus(corpus))
        about_people = asks and asked.questions == "biographies"
        found.append(lambda: check_effect_of_corpus(corpus, settings.people, about_people))
    return found


def written_in(learned: Learnable | None) -> list[str]:
    """What has to be read and written to learn the questions mixed in; special tokens are left for `check_fit`."""
    if learned is None:
        return []
    answers = [answers[0] for answers in learned.questions["answers"] if answers]
    held_out = [] if learned.validation is None else learned.validation["question"]
    return [*learned.questions["question"], *answers, *held_out]


def check_sources(objectives: list[str], corpus: CorpusArguments, questions: QuestionArguments) -> None:
    """Refuse unknown objectives, ones without anything to read, and questions that no objective would read.

    Raises:
        ValueError: saying what is unknown or missing.
    """
    check_objectives(objectives)
    asks = QUESTIONS in objectives
    if objectives == [QUESTIONS]:
        raise ValueError(f"{QUESTIONS} alone is no pretraining: add one for documents, or use finetune.py")
    if asks and (questions.questions == "biographies") != (corpus.corpus == "biographies"):
        raise ValueError(
            f"the corpus is {corpus.corpus}, but the questions of {QUESTIONS} are {questions.questions}: "
            "give --questions and --train_questions that belong to the corpus"
        )
    unread = sorted(given(questions)) if not asks else []
    if unread:
        raise ValueError(f"--{unread[0]} is given, but no share of {QUESTIONS} in --objectives reads it")


def count_irregular(objectives: list[str], documents: list[dict]) -> dict[str, int]:
    """How many documents each objective cannot treat as it is meant to; its docstring says what they become."""
    counts = {name: IRREGULAR_RECORDS[name](documents) for name in objectives if name in IRREGULAR_RECORDS}
    for name, count in counts.items():
        if count:
            print(f"{name}: {count} of {len(documents)} documents fall back", file=sys.stderr)
    return counts
