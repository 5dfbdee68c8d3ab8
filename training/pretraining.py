"""Pretraining: documents, and questions where the objectives name `question_answering`, into a model folder."""

import sys
from dataclasses import asdict, fields
from pathlib import Path

from datasets import Dataset

from closedbook.data.corpora import CORPORA
from closedbook.data.mixture import Component
from closedbook.data.objectives.table import IRREGULAR_RECORDS, check_objectives
from closedbook.data.people.biographies import biography_documents, biography_questions
from closedbook.data.people.population import Population
from closedbook.data.questions import check_fit
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.arguments import (
    ClosedbookTrainingArguments,
    CorpusArguments,
    ModelArguments,
    PopulationArguments,
    QuestionArguments,
    RegularisationArguments,
)
from closedbook.training.command_line import parse_arguments, recipe_name
from closedbook.training.objective_shares import parse_objectives
from closedbook.training.question_sets import Answering, learnable_questions
from closedbook.training.trainer import count_steps, prepare_run, train

ARGUMENTS = (
    ModelArguments,
    RegularisationArguments,
    PopulationArguments,
    CorpusArguments,
    QuestionArguments,
    ClosedbookTrainingArguments,
)
QUESTIONS = "question_answering"  # the objective whose records are questions, not documents
ARCHITECTURES = {"vanilla": VanillaGPTForCausalLM, "perceiver": PerceiverGPTForCausalLM}


def main(argv: list[str]) -> dict:
    model_args, regularisation, people, corpus_args, question_args, args, recipe = parse_arguments(ARGUMENTS, argv)
    shares = parse_objectives(corpus_args.objectives)
    check_sources([share.objective for share in shares], corpus_args, question_args)
    checkpoint = prepare_run(args)
    documents, alphabet = load_documents(corpus_args, people)
    tokenizer = build_char_tokenizer(alphabet, model_max_length=model_args.block_size)
    model = build_model(model_args, regularisation, len(tokenizer))
    records, callbacks, facts = {}, [], {"stage": "pretrain"}
    if QUESTIONS in [share.objective for share in shares]:
        questions, validation, excluded = learnable_questions(question_args, people, args.seed)
        check_fit(questions, block_size=model_args.block_size, vocabulary=tokenizer.get_vocab())
        records[QUESTIONS] = questions.to_list()
        facts |= {
            "protocol": "mixed",
            "questions": question_args.questions,
            "training_questions": len(questions),
            "excluded_people": excluded,
        }
        if validation is not None:
            callbacks.append(Answering(validation, tokenizer))
    texts = documents.to_list()  # reading one row of an Arrow table costs more than corrupting it
    is_biographies = corpus_args.corpus == "biographies"
    is_dataset = corpus_args.corpus == "hub" and not Path(corpus_args.corpus_path).exists()
    facts = train(
        model,
        tokenizer,
        [Component(share.objective, records.get(share.objective, texts), **asdict(share)) for share in shares],
        count_steps(args, len(documents)),
        args,
        checkpoint,
        facts=facts
        | {
            "model": model_name(model.config),
            "recipe": recipe_name(recipe),
            "corpus": corpus_args.corpus,
            "objectives": corpus_args.objectives,
            "dataset": corpus_args.corpus_path.partition("?")[0] if is_dataset else None,
            "documents": len(documents),
            "irregular_documents": count_irregular([share.objective for share in shares], texts),
            "document_characters": sum(len(document["text"]) for document in texts),
            "arguments": asdict(model_args)
            | asdict(regularisation)
            | asdict(corpus_args)
            | (asdict(question_args) if records else {})
            | (asdict(people) if is_biographies else {}),
        },
        callbacks=callbacks,
    )
    print(f"saved {args.output_dir}: {facts['parameters']:,} parameters, eval loss {facts['eval_loss']:.3f}")
    return facts


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
    if not asks and questions.train_questions:
        raise ValueError(f"--train_questions is given, but no share of {QUESTIONS} in --objectives reads it")


def load_documents(args: CorpusArguments, people: PopulationArguments) -> tuple[Dataset, list[str]]:
    """The documents, and texts that hold every character the model must know.

    The reference vocabulary counts the line feed of its corpus file; synthetic people are also asked about
    in characters ("?") that no biography holds.
    """
    if args.corpus == "biographies":
        population = Population(people.num_people, seed=people.population_seed)
        attributes = people.attributes or None
        documents = biography_documents(
            population,
            versions=args.num_versions,
            seed=people.population_seed,
            attributes=attributes,
            unit=args.biography_unit,
        )
        questions = biography_questions(population, attributes=attributes, wordings=4)
        return documents, [*documents["text"], *questions["question"]]
    if args.corpus not in CORPORA:
        raise ValueError(f"unknown corpus {args.corpus!r}; known: biographies, {', '.join(CORPORA)}")
    if args.corpus_path is None:
        raise ValueError(f"--corpus {args.corpus} needs --corpus_path")
    documents = CORPORA[args.corpus](args.corpus_path)
    # some objectives put the title in front of a text that does not hold it
    return documents, [*documents["title"], *documents["text"], ". ", "\n"]


def count_irregular(objectives: list[str], documents: list[dict]) -> dict[str, int]:
    """How many documents each objective cannot treat as it is meant to; its docstring says what they become."""
    counts = {name: IRREGULAR_RECORDS[name](documents) for name in objectives if name in IRREGULAR_RECORDS}
    for name, count in counts.items():
        if count:
            print(f"{name}: {count} of {len(documents)} documents fall back", file=sys.stderr)
    return counts


def model_name(config) -> str:
    """Short name for results: the architecture, and along each axis what is not the default."""
    name = f"perceiver-{config.latent_layout}" if isinstance(config, PerceiverGPTConfig) else "vanilla"
    choices = (config.attention, "softmax"), (config.position, "learned")
    return "-".join([name, *(choice for choice, default in choices if choice != default)])


def build_model(args: ModelArguments, regularisation: RegularisationArguments, vocab_size: int):
    """A new model with random weights.

    Raises:
        ValueError: for an unknown architecture; sizes that do not fit raise from the configuration.
    """
    if args.architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {args.architecture!r}; known: {', '.join(ARCHITECTURES)}")
    model_class = ARCHITECTURES[args.architecture]
    known = {field.name for field in fields(model_class.config_class)}
    config = model_class.config_class(
        vocab_size=vocab_size,
        max_position_embeddings=args.block_size,
        embedding_dropout=regularisation.dropout,
        hidden_dropout=regularisation.dropout,
        attention_dropout=regularisation.attention_dropout,
        **{name: value for name, value in asdict(args).items() if name in known},
    )
    return model_class(config)
