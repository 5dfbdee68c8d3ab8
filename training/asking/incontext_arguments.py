"""Flags of evaluate_incontext.py: whom to ask what, and what is swept."""

from dataclasses import dataclass, field

from datasets import Dataset

from closedbook.data.questions import QUESTION_SETS
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.prompting.embedders import Embedder, EncoderEmbedder
from closedbook.evaluation.prompting.incontext import SAMPLED, Arm, PromptFormat, sweep_arms
from closedbook.training.question_sets import read_questions


@dataclass(kw_only=True)
class AskedArguments:
    """What is asked and how prompts are written."""

    question_file: str = field(metadata={"help": "what is asked; of published sets also the name on the Hub"})
    questions: str = field(default="file", metadata={"help": f"kind of the files: {', '.join(QUESTION_SETS)}"})
    pool_file: str | None = field(
        default=None, metadata={"help": "where demonstrations come from; default: the rest of the question file"}
    )
    num_questions: int | None = field(default=None, metadata={"help": "how many are asked: the first ones"})
    encoder: str | None = field(
        default=None, metadata={"help": "encoder whose mean vectors say what is near; default: TF-IDF"}
    )
    template: str = field(
        default=PromptFormat.template, metadata={"help": "a demonstration, with {question} before {answer}"}
    )
    separator: str = field(default=PromptFormat.separator, metadata={"help": "what stands between demonstrations"})
    end: str = field(default=PromptFormat.end, metadata={"help": "what ends an answer"})
    max_new_tokens: int = field(default=16, metadata={"help": "longest answer, in tokens"})

    def __post_init__(self):
        if self.num_questions is not None and self.num_questions < 1:
            raise ValueError(f"--num_questions must be at least 1, got {self.num_questions}")
        if self.max_new_tokens < 1:
            raise ValueError(f"--max_new_tokens must be at least 1, got {self.max_new_tokens}")
        self.template, self.separator, self.end = (  # line breaks as one types them on a command line
            text.replace("\\n", "\n") for text in (self.template, self.separator, self.end)
        )

    def prompt_format(self) -> PromptFormat:
        return PromptFormat(self.template, self.separator, self.end)

    def embedder(self) -> Embedder | None:
        """Of the encoder, if one is named."""
        return EncoderEmbedder(self.encoder) if self.encoder else None


@dataclass(kw_only=True)
class InContextArguments(AskedArguments):
    """Whom to ask, and where to write."""

    model: str = field(metadata={"help": "a causal language model: a folder, or a name on the Hub"})
    output_dir: str = field(metadata={"help": "folder of the sweep"})
    results: str | None = field(default=None, metadata={"help": "where the results go, without an ending"})
    tokens_per_batch: int = field(default=8192, metadata={"help": "tokens decoded at once; changes speed only"})
    dtype: str = field(default="auto", metadata={"help": "precision; auto: the checkpoint's, on a CPU float32"})
    trust_remote_code: bool = field(default=False, metadata={"help": "run code that the model brings along"})
    num_threads: int = field(default=0, metadata={"help": "CPU threads; 0: as many as torch takes"})

    def __post_init__(self):
        super().__post_init__()
        if self.tokens_per_batch < 1:
            raise ValueError(f"--tokens_per_batch must be at least 1, got {self.tokens_per_batch}")
        if self.num_threads < 0:
            raise ValueError(f"--num_threads must be 0 (what torch takes) or positive, got {self.num_threads}")


@dataclass
class SweepArguments:
    """What is swept; each list of several values makes as many arms."""

    num_shots: list[int] = field(default_factory=lambda: [0, 1, 2, 4, 8], metadata={"help": "demonstrations"})
    selections: list[str] = field(
        default_factory=lambda: ["random"], metadata={"help": "random, fixed, nearest, bm25, diverse"}
    )
    orders: list[str] = field(
        default_factory=lambda: ["near_last"], metadata={"help": "near_last, near_first, shuffled"}
    )
    decodings: list[str] = field(
        default_factory=lambda: ["greedy"], metadata={"help": "greedy, beam=N, sample, self_consistency=N"}
    )
    temperature: float = field(default=1.0, metadata={"help": "of sampled answers"})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4], metadata={"help": "of draws and samples"})
    order_seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "of shuffled orders"})

    def arms(self) -> list[Arm]:
        """Every arm once.

        Raises:
            ValueError: for an unknown name, an empty list, or a number that is missing or below 0.
        """
        for name in ("num_shots", "selections", "orders", "decodings", "seeds", "order_seeds"):
            if not getattr(self, name):
                raise ValueError(f"--{name} needs at least one value")
        decodings = [self._decoding(name) for name in self.decodings]
        return sweep_arms(self.num_shots, self.selections, self.orders, decodings, self.seeds, self.order_seeds)

    def _decoding(self, name: str) -> Decoding:
        method, _, number = name.partition("=")
        if number and not number.isdecimal():
            raise ValueError(f"--decodings {name}: write a number after =, as in beam=4")
        if not number and method in ("beam", "self_consistency"):
            raise ValueError(f"--decodings {name}: say how many beams or samples, as in {name}=4")
        temperature = self.temperature if method in SAMPLED else 1.0
        return Decoding(method, int(number or 1), temperature)


def read_asked_and_pool(args: AskedArguments, num_shots: int) -> tuple[Dataset, Dataset]:
    """What is asked and what demonstrations are drawn from.

    Raises:
        ValueError: if there are fewer questions than are to be asked, or none left to show where some are to be.
    """
    asked = read_questions(args.questions, args.question_file)
    count = len(asked) if args.num_questions is None else args.num_questions
    if count > len(asked):
        raise ValueError(f"--num_questions {count}, but {args.question_file} has {len(asked)}")
    if args.pool_file:
        pool = read_questions(args.questions, args.pool_file)
    else:
        if num_shots and count == len(asked):
            raise ValueError(
                f"all {count} questions of {args.question_file} are asked, so none is left to show: ask "
                "fewer with --num_questions, or name a --pool_file"
            )
        pool = asked.select(list(range(count, len(asked))))
    return asked.select(range(count)), pool
