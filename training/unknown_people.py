"""Questions about people whom nobody ever read about, for fine-tuning a model to say that it does not know."""

from dataclasses import dataclass, field

from datasets import Dataset, concatenate_datasets

from closedbook.data.people.invented import UNKNOWN_ANSWER, ask_about, invent_people
from closedbook.evaluation.run_record import Run
from closedbook.training.arguments import PopulationArguments, QuestionArguments
from closedbook.training.documents import documents_read
from closedbook.training.question_sets import read_names

TRAINED_SEED = 1_000_033  # added to the run's seed: the evaluation invents people with the plain seed


@dataclass
class UnknownArguments:
    """People who do not exist, to be answered with "unknown"."""

    num_unknown_people: int = field(
        default=0, metadata={"help": "invented people whose questions are trained with the answer `unknown`"}
    )
    unknown_corpus: str | None = field(
        default=None,
        metadata={
            "help": "kind of the pretraining corpus, which knows none of them; default: as the model's run file"
        },
    )
    unknown_corpus_path: str | None = field(
        default=None, metadata={"help": "file of that corpus; default: as the model's run file says"}
    )


def check_effect_of_unknown(args: UnknownArguments) -> None:
    """Refuse a corpus from which nobody is invented.

    Raises:
        ValueError: naming the flag.
    """
    for name in ("unknown_corpus", "unknown_corpus_path"):
        if getattr(args, name) is not None and args.num_unknown_people == 0:
            raise ValueError(f"--{name} has no effect: it needs --num_unknown_people")


def add_unknown_people(
    questions: Dataset,
    validation: Dataset | None,
    args: UnknownArguments,
    question_args: QuestionArguments,
    people: PopulationArguments,
    run: Run,
    seed: int,
) -> tuple[Dataset, list[str]]:
    """The questions, and after them one about each invented person with the answer `unknown`; and their names.

    The names are recombined from those of the pretraining corpus and occur nowhere in it, in no question here and
    in no file whose people are excluded. They go into the run file, so that an evaluation can ask about others.

    Args:
        questions: to be trained on; they also lend their wording.
        validation: those of people kept out of training, if any.
        args: how many people to invent, and from which corpus.
        question_args: which files of questions exclude people.
        people: the synthetic people, for a corpus of biographies whose run file does not tell about them.
        run: the record of the pretrained model.
        seed: of the run.

    Raises:
        ValueError: if the corpus is not known, or gives too few names.
    """
    if args.num_unknown_people == 0:
        return questions, []
    documents = documents_read(run, args.unknown_corpus, args.unknown_corpus_path, people)
    others = [read_names(question_args.questions, path) for path in question_args.exclude_people_of]
    parts = [questions, *others] if validation is None else [questions, validation, *others]
    texts = [text for part in parts for text in (*part["question"][:], *part["entity"][:])]
    names = invent_people(documents, args.num_unknown_people, seed=seed + TRAINED_SEED, taken=texts)
    unknown = ask_about(names, questions, answers=[UNKNOWN_ANSWER], seed=seed)
    return concatenate_datasets([questions.select_columns(unknown.column_names), unknown]), names
