"""The arguments of the scripts: one dataclass a concern, each field a flag and a key of a recipe."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from closedbook.training.hardware import has_bf16, own_threads
from closedbook.training.publishing.publisher import check_hub_flags

LOGGING_DIR = "TENSORBOARD_LOGGING_DIR"

MOST_EXAMPLES_A_STEP = 1_000_000  # hundreds of times what any model here learns from at once: a slip of the hand


def default_of(item: Field) -> Any:
    """The value of a flag that is not given; MISSING for one that has to be."""
    return item.default_factory() if item.default_factory is not MISSING else item.default


@dataclass
class ModelArguments:
    """Size and shape of a new model; the defaults are the reference configuration."""

    architecture: str = field(default="vanilla", metadata={"help": "vanilla or perceiver"})
    hidden_size: int = field(default=256, metadata={"help": "width of the residual stream"})
    num_hidden_layers: int = field(default=4, metadata={"help": "number of blocks"})
    num_attention_heads: int = field(default=8, metadata={"help": "heads a block; must divide the width"})
    block_size: int = field(
        default=128, metadata={"help": "longest example, in tokens (of the default tokenizer: characters)"}
    )
    attention: str = field(
        default="softmax",
        metadata={"help": "softmax, synthesizer_dense, synthesizer_random, linformer or bigbird"},
    )
    position: str = field(default="learned", metadata={"help": "learned or rotary"})
    attention_block_size: int = field(default=16, metadata={"help": "linformer, bigbird: tokens a block"})
    num_landmarks: int = field(default=32, metadata={"help": "linformer: landmarks of the past"})
    num_window_blocks: int = field(default=2, metadata={"help": "bigbird: own block and those before it"})
    num_global_blocks: int = field(default=1, metadata={"help": "bigbird: first blocks, read by everyone"})
    num_random_blocks: int = field(default=1, metadata={"help": "bigbird: past blocks drawn for each block"})
    num_latents: int = field(default=64, metadata={"help": "perceiver: latents a block"})
    latent_layout: str = field(
        default="spread", metadata={"help": "perceiver: spread, prefix (published) or last (Perceiver AR)"}
    )


@dataclass
class BaseArguments:
    """Where pretraining starts, and in which tokens it reads."""

    model: str | None = field(
        default=None,
        metadata={"help": "a causal language model to go on with, folder or Hub name; by default a new one"},
    )
    tokenizer: str = field(
        default="characters",
        metadata={
            "help": "of a new model: characters, train:bpe:8192 or train:unigram:8192 (learned from the corpus), "
            "or the folder or Hub name of any; lengths are counted in its tokens"
        },
    )


@dataclass
class PromptArguments:
    """How a model that reads plain text is told and asked."""

    prompt: str | None = field(
        default=None,
        metadata={
            "help": "how questions are put to a pretrained model, with {question} in it, or chat for its chat "
            'template; default: "Question: {question}\\nAnswer:"'
        },
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "run code that the model brings along"})


@dataclass
class AdapterArguments:
    """Train an adapter in place of all weights."""

    lora_rank: int = field(default=0, metadata={"help": "rank of LoRA adapters; 0 trains all weights"})
    lora_alpha: float | None = field(default=None, metadata={"help": "scale of the adapters; default: 2 x rank"})
    merge_adapter: bool = field(
        default=False, metadata={"help": "save the whole model with the adapter added, not the adapter alone"}
    )


@dataclass
class ReplayArguments:
    """Other text, read again against forgetting."""

    replay: float = field(
        default=0.0, metadata={"help": "share of the predicted tokens that are of other text, from 0 to below 1"}
    )
    replay_path: str | None = field(
        default=None, metadata={"help": "that text, as for --corpus text: what the model should go on knowing"}
    )


@dataclass
class RewriteArguments:
    """Documents that a model writes again, read beside them."""

    rewrite_with: str | None = field(
        default=None,
        metadata={"help": "folder or Hub name of a model that writes the documents again, in other words"},
    )
    rewrite_path: str | None = field(
        default=None,
        metadata={
            "help": ".jsonl file that keeps what it wrote, for this run and others; nothing is written twice"
        },
    )
    rewrite_kinds: list[str] = field(
        default_factory=lambda: ["paraphrase", "simple", "backwards", "questions"],
        metadata={"help": "ways of writing: paraphrase, simple, backwards, questions"},
    )
    rewrites: int = field(default=1, metadata={"help": "texts of each kind and document"})


@dataclass
class ProbeArguments:
    """Facts of the documents that are asked while training."""

    probe_facts: int | None = field(
        default=None,
        metadata={
            "help": "so many facts, found by rule, are asked while training; default: 0, with others of these 32"
        },
    )
    probe_steps: int | None = field(
        default=None, metadata={"help": "steps from one time to the next; default: a tenth of the run"}
    )
    stop_on: str | None = field(
        default=None, metadata={"help": "extraction: end when no more of them are answered"}
    )
    patience: int | None = field(
        default=None, metadata={"help": "how many times in a row, before --stop_on ends the run; default: 3"}
    )
    forgetting_limit: float | None = field(
        default=None,
        metadata={"help": "end when the loss on a text on other matters has risen by so many nats a token"},
    )


@dataclass
class RegularisationArguments:
    """Dropout of the run; not a property of the weights, so fine-tuning may choose its own."""

    dropout: float = field(default=0.1, metadata={"help": "of the embedded input and of every sub-layer"})
    attention_dropout: float = field(
        default=0.0,
        metadata={"help": "of attention weights; above 0 the fused kernels of a CPU cannot be used"},
    )


@dataclass
class PopulationArguments:
    """The synthetic people, for the corpus and the questions called `biographies`."""

    num_people: int = field(default=500, metadata={"help": "how many people"})
    population_seed: int = field(default=0, metadata={"help": "another seed, other people"})
    attributes: list[str] = field(
        default_factory=list, metadata={"help": "facts that biographies tell and questions ask for; none: all"}
    )
    num_asked_people: int | None = field(
        default=None,
        metadata={
            "help": "how many of them questions are about, evenly spread; default: all, which 500,000 can be"
        },
    )

    def recorded(self) -> dict[str, Any]:
        """What a record says of them; that all are asked is not said, as no record of an earlier version says
        it."""
        told = asdict(self)
        if self.num_asked_people is None:
            del told["num_asked_people"]
        return told


@dataclass
class CorpusArguments:
    """The documents to pretrain on."""

    corpus: str = field(
        default="biographies",
        metadata={"help": "biographies, wiki, text, wiki_bio, hub, elements or countries"},
    )
    corpus_path: str | None = field(
        default=None,
        metadata={
            "help": "file to read (wiki); file or folder of .txt, .md, .jsonl, .csv, .tsv and .parquet (text); or "
            "name of a hub data set"
        },
    )
    objectives: list[str] = field(
        default_factory=lambda: ["span_corruption"],
        metadata={
            "help": "objectives and their weights, which are relative shares of the predicted characters, e.g. "
            "span_corruption=3 left_to_right=1@0.7 (from 70%% of the run on)"
        },
    )
    num_versions: int = field(default=8, metadata={"help": "biographies: wordings of each person's facts"})
    biography_unit: str = field(
        default="sentence", metadata={"help": "biographies: a document is a biography or a sentence"}
    )
    document_unit: str = field(
        default="auto",
        metadata={
            "help": "text: what a document is: a line, a file or a heading (a section of Markdown); auto: a line "
            "of a single text file, a file of a folder's .txt, a section of .md; of a table always a row"
        },
    )
    title_column: str | None = field(
        default=None, metadata={"help": "text (tables) and hub: column of the titles; by default title"}
    )
    text_column: str | None = field(
        default=None, metadata={"help": "text (tables) and hub: column of the texts; by default text"}
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "text and hub: read documents in their order while training, 4,096 shuffled at a time, hold "
            "none, and make no table of them. Needs --max_steps, and --tokenizer or --model"
        },
    )
    skip_damaged: bool = field(
        default=False,
        metadata={"help": "text: leave out lines and rows that cannot be read, and say how many"},
    )
    extra_characters: str | None = field(
        default=None,
        metadata={
            "help": "characters of the vocabulary beside those of the corpus: themselves, ascii (printable ones) "
            "or none; by default ascii where the corpus is text, wiki_bio or hub, so that it can be asked"
        },
    )


@dataclass
class QuestionArguments:
    """The questions to fine-tune on or to ask."""

    questions: str = field(
        default="biographies", metadata={"help": "biographies, cs224n, file or self (see docs/own-questions.md)"}
    )
    train_questions: str | None = field(default=None, metadata={"help": "file with questions and answers"})
    validation_share: float = field(default=0.0, metadata={"help": "share of the training people kept out"})
    validation_fold: int = field(
        default=1,
        metadata={
            "help": "which part of that share is kept out: 1 to 5 for a share of 0.2. No two meet, so five runs "
            "keep everybody out once (cross-fitting, see docs/knowing.md)"
        },
    )
    exclude_people: list[str] = field(
        default_factory=list, metadata={"help": "names of people who leave the training questions"}
    )
    exclude_people_of: list[str] = field(
        default_factory=list, metadata={"help": "question files whose people leave too; answers are not read"}
    )
    open_book: bool = field(
        default=False,
        metadata={
            "help": "put the document of whom a question is about in front, and answer by pointing: a reader"
        },
    )


@dataclass
class BookArguments:
    """Which documents a fine-tuned reader has open."""

    corpus: str | None = field(
        default=None,
        metadata={"help": "kind of the documents that --open_book opens; default: as the model's run file says"},
    )
    corpus_path: str | None = field(
        default=None, metadata={"help": "file of those documents; default: as the model's run file says"}
    )


@dataclass
class ReadingArguments:
    """What readers found in the documents that are pretrained on."""

    readings: str | None = field(
        default=None,
        metadata={
            "help": "what self_questions.py wrote: place_sequence begins with what readers answered, and not with "
            "the first place of the text"
        },
    )


@dataclass
class ClosedbookTrainingArguments(TrainingArguments):
    """The library's arguments with defaults for small models, and a few of our own."""

    optimizer: str = field(
        default="muon", metadata={"help": "muon (matrices; AdamW for the rest) or adamw (needed for FSDP)"}
    )
    global_batch_size: int | None = field(
        default=None,
        metadata={
            "help": "examples an optimizer step, all processes and accumulation together; "
            "per_device_train_batch_size is the most a device holds at once"
        },
    )
    attn_implementation: str = field(
        default="auto",
        metadata={
            "help": "how attention is computed while training; auto: eager in bf16 on a CPU with rows of up to "
            "256 tokens (its fused kernel has a slow backward pass there, see LOG.md), else sdpa"
        },
    )
    row_length: int = field(default=256, metadata={"help": "tokens of a packed row"})
    shift_positions: bool = field(
        default=False,
        metadata={"help": "begin every example at a random position, so that learned positions are all alike"},
    )
    precision: str = field(default="auto", metadata={"help": "auto (bf16 where the hardware has it), bf16, fp32"})
    num_threads: int = field(
        default=0,
        metadata={"help": "CPU threads a process; 0: OMP_NUM_THREADS, or its share of the cores it may run on"},
    )
    resume: bool = field(default=False, metadata={"help": "go on from the last good checkpoint"})
    overwrite: bool = field(default=False, metadata={"help": "replace the run that output_dir holds"})
    on_nonfinite: str = field(
        default="stop",
        metadata={
            "help": "a loss or gradient that is not finite: stop the run, or skip the step, weights untouched"
        },
    )
    nonfinite_limit: int = field(default=10, metadata={"help": "with --on_nonfinite skip: steps left out at most"})
    time_limit: float = field(
        default=0.0, metadata={"help": "minutes of training, after which a last checkpoint is saved; 0: none"}
    )
    eval_examples: int = field(default=256, metadata={"help": "examples of the fixed evaluation set"})
    license: str | None = field(
        default=None, metadata={"help": "license of the weights, for the model card; by default it states none"}
    )

    # Changed defaults. The collator needs every column, which the library would drop:
    remove_unused_columns: bool = field(default=False)
    # the mixture is already in its final order, and example i must stay example i when a run resumes:
    train_sampling_strategy: str = field(default="sequential")
    per_device_train_batch_size: int = field(default=128)
    per_device_eval_batch_size: int = field(default=128)
    learning_rate: float = field(default=6e-3)
    weight_decay: float = field(default=0.1)
    adam_beta2: float = field(default=0.95)
    lr_scheduler_type: str = field(default="cosine_with_min_lr")
    logging_steps: float = field(default=50)
    report_to: str = field(default="tensorboard")
    save_total_limit: int | None = field(default=2)
    include_num_input_tokens_seen: str = field(default="no")

    def __post_init__(self) -> None:
        # before the library fills in what follows from it
        self.given = frozenset(item.name for item in fields(self) if getattr(self, item.name) != default_of(item))
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision must be auto, bf16 or fp32, got {self.precision!r}")
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError(f"optimizer must be muon or adamw, got {self.optimizer!r}")
        if self.on_nonfinite not in ("stop", "skip"):
            raise ValueError(f"on_nonfinite must be stop or skip, got {self.on_nonfinite!r}")
        if not (0 <= self.max_grad_norm < math.inf):
            raise ValueError(f"max_grad_norm must be a number from 0 on (0: none), got {self.max_grad_norm}")
        if not (0 <= self.learning_rate < math.inf and 0 <= self.weight_decay < math.inf):
            raise ValueError(
                "learning_rate and weight_decay must be numbers from 0 on, got "
                f"{self.learning_rate} and {self.weight_decay}"
            )
        if self.num_threads < 0:
            raise ValueError(f"num_threads must be 0 (all cores) or positive, got {self.num_threads}")
        if self.save_total_limit is not None and self.save_total_limit < 1:
            raise ValueError(f"save_total_limit must be positive, got {self.save_total_limit}")
        if self.nonfinite_limit < 1 or not 0 <= self.time_limit < math.inf:
            raise ValueError(
                f"nonfinite_limit must be positive and time_limit not negative, got {self.nonfinite_limit} and "
                f"{self.time_limit}"
            )
        if self.save_strategy == "steps" and self.save_steps <= 0:
            raise ValueError(f"save_steps must be positive, got {self.save_steps}; --save_strategy no saves none")
        if self.max_steps != -1 and self.max_steps < 1:
            raise ValueError(f"max_steps must be positive (or -1 to count epochs), got {self.max_steps}")
        if self.max_steps == -1 and self.num_train_epochs <= 0:
            raise ValueError(f"num_train_epochs must be positive, got {self.num_train_epochs}")
        if not torch.cuda.is_available() and not torch.backends.mps.is_available():
            self.use_cpu = True  # the library allows bf16 without an accelerator only when told so
        if self.precision != "auto":
            self.bf16 = self.precision == "bf16"
        elif not self.fp16:
            self.bf16 = has_bf16(self.use_cpu)
        if self.lr_scheduler_type == "cosine_with_min_lr" and not self.lr_scheduler_kwargs:
            self.lr_scheduler_kwargs = {"min_lr_rate": 0.1}
        self._check_json()
        self._meet()
        check_hub_flags(self)

    def _meet(self) -> None:
        """Wait for the other processes of the launch, `ddp_timeout` seconds at most.

        The library begins with the same, but leaves the limit out on a CPU, where one process would wait for
        another without end, here and in every step; a group that is there already it takes as it is.

        Raises:
            ConnectionError: if they do not come.
        """
        try:
            if self.use_cpu:
                PartialState(cpu=True, backend=self.ddp_backend, timeout=self.ddp_timeout_delta)
            super().__post_init__()
        except torch.distributed.DistError as error:
            place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise ConnectionError(
                f"not all {os.environ.get('WORLD_SIZE')} processes met at {place} within {self.ddp_timeout} s "
                "(--ddp_timeout): start all of them, with the address and the port of process 0 on every machine, "
                f"and let no firewall be between them ({' '.join(str(error).split())[:120]})"
            ) from error

    __repr__ = TrainingArguments.__str__  # that of a dataclass would show the token

    def __getstate__(self) -> dict[str, Any]:
        """Without the token: the library pickles its arguments into every checkpoint."""
        return self.__dict__ | {"hub_token": None}

    @contextmanager
    def logging_in_own_folder(self) -> Iterator[None]:
        """While a Trainer is made: TensorBoard's files go beside the run, unless the user has said where."""
        if os.environ.get(LOGGING_DIR):
            yield
            return
        os.environ[LOGGING_DIR] = os.path.join(str(self.output_dir), "logs")
        try:
            yield
        finally:
            del os.environ[LOGGING_DIR]

    def _check_json(self) -> None:
        """Refuse what is no JSON object for a flag that takes one: the library would not say which flag it is.

        Raises:
            ValueError: naming the flag.
        """
        for name in self._VALID_DICT_FIELDS:
            value = getattr(self, name)
            if isinstance(value, str) and value.lstrip().startswith("{"):
                try:
                    json.loads(value)
                except json.JSONDecodeError as error:
                    raise ValueError(
                        f'--{name} {value!r:.60} is no JSON ({error}): write it as {{"NAME": value}}'
                    ) from error

    def set_threads(self) -> None:
        """On a CPU compute in as many threads as the flag says, or else in `hardware.own_threads`."""
        if self.use_cpu:
            torch.set_num_threads(self.num_threads or own_threads())

    def divide_batch(self) -> None:
        """Derive accumulation from the global batch and the number of processes.

        Raises:
            ValueError: if the global batch does not divide evenly.
        """
        if self.global_batch_size is None:
            self.global_batch_size = (
                self.per_device_train_batch_size * self.world_size * self.gradient_accumulation_steps
            )
            return
        if self.global_batch_size < 1 or self.global_batch_size % self.world_size:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} does not divide among {self.world_size} processes: "
                f"give a multiple of {self.world_size}, or start another number of processes"
            )
        if self.global_batch_size > MOST_EXAMPLES_A_STEP:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} is more than {MOST_EXAMPLES_A_STEP:,} examples for "
                "one step, which would not end: lower it"
            )
        share = self.global_batch_size // self.world_size
        self.per_device_train_batch_size = min(self.per_device_train_batch_size, share)
        if share % self.per_device_train_batch_size:
            raise ValueError(
                f"{share} examples a process (global_batch_size {self.global_batch_size} over "
                f"{self.world_size}) are no multiple of per_device_train_batch_size "
                f"{self.per_device_train_batch_size}"
            )
        self.gradient_accumulation_steps = share // self.per_device_train_batch_size
