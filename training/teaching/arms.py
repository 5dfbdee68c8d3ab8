"""The ways to teach that are compared, each from an untouched model to one that may be asked.

All that train do so on rows of the same number of tokens, as many rows a step, until the same number of tokens
went through the model, in float32. The peer is trl's SFTTrainer as its documentation recommends it for such texts:
packed by best fit with a text kept apart from its neighbours, the loss of a question on its answer only, no
gradient checkpointing (which is its default, saves memory, and would cost a third of its speed).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, set_seed

from closedbook.evaluation.answering.stock_models import load_stock_model
from closedbook.evaluation.files import write_jsonl_atomic
from closedbook.training.teaching.asked import Ask, answer_rows, ask_directly, conversation
from closedbook.training.teaching.task import PROMPT, WORDINGS, TeachingTask, training_passes

LORA_ALPHA_PER_RANK = 2  # alpha is twice the rank, as most recipes have it


@dataclass(frozen=True)
class Budget:
    """What all arms that train have in common.

    Attributes:
        model: folder or name of the untouched model.
        tokens: that go through the model in training.
        row_length: tokens a row.
        batch_size: rows a step.
        lora_rank: of those arms that train an adapter.
    """

    model: str
    tokens: int
    row_length: int
    batch_size: int
    lora_rank: int

    @property
    def steps(self) -> int:
        """Steps of full rows that make up the tokens."""
        return self.tokens // (self.row_length * self.batch_size)


@dataclass(frozen=True)
class Taught:
    """A model after an arm.

    Attributes:
        model, tokenizer: to be asked.
        ask: the form of its questions.
        tokens: that went through the model in training; 0 where nothing was trained.
        seconds, cpu_seconds: that the training took, loading and saving aside; the latter do not depend on what
            else the machine does, as long as there is one thread.
        notes: what else is to be recorded.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    ask: Ask
    tokens: int
    seconds: float
    cpu_seconds: float
    notes: dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """A way to teach.

    Attributes:
        name: as in the results.
        teach: makes a model of a task, given the budget, a learning rate (0 where nothing is trained) and a folder
            for what it has to write meanwhile.
        learning_rates: tried on other people; the best is used. Empty where nothing is trained.
        told: what it is, for tables.
    """

    name: str
    teach: Callable[[TeachingTask, Budget, float, Path], Taught]
    learning_rates: tuple[float, ...]
    told: str


# ---- the peer ----------------------------------------------------------------------------------------------


def _teach_by_trl(task: TeachingTask, budget: Budget, learning_rate: float, folder: Path, lora: bool) -> Taught:
    from trl import SFTConfig, SFTTrainer  # the extra `teach`; looked for by `check_arms`

    set_seed(task.seed)
    model, tokenizer = load_stock_model(budget.model, "float32")
    adapter = None
    if lora:
        from peft import LoraConfig

        adapter = LoraConfig(
            r=budget.lora_rank,
            lora_alpha=LORA_ALPHA_PER_RANK * budget.lora_rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder),
            max_length=budget.row_length,
            packing=True,
            dataset_kwargs={"skip_prepare_dataset": True},  # packed pass by pass below, by the same function
            per_device_train_batch_size=budget.batch_size,
            num_train_epochs=1,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            gradient_checkpointing=False,
            train_sampling_strategy="sequential",
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
            seed=task.seed,
        ),
        train_dataset=_packed_by_trl(task, budget, tokenizer),
        processing_class=tokenizer,
        peft_config=adapter,
    )
    seen = [0]

    def count(_module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        seen[0] += (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).numel()

    hook = trainer.model.register_forward_pre_hook(count, with_kwargs=True)
    start, cpu_start = time.perf_counter(), time.process_time()
    done = trainer.train()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    hook.remove()
    taught = trainer.model.merge_and_unload() if lora else trainer.model
    notes = {"training_loss": done.training_loss, "steps": done.global_step}
    return Taught(taught, tokenizer, ask_directly, seen[0], seconds, cpu_seconds, notes)


def _packed_by_trl(task: TeachingTask, budget: Budget, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Rows of tokens, until they are as many as the budget has.

    Best fit sorts by length. Given all passes at once it would put all copies of a text side by side; so it is
    given one pass at a time, as it would be with one pass as the data and many epochs.
    """
    from datasets import concatenate_datasets
    from datasets.utils.logging import disable_progress_bar
    from trl import pack_dataset

    disable_progress_bar()
    rows, tokens = [], 0
    for texts in training_passes(task):
        examples: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
        for read, learned in texts:
            before = tokenizer.encode(read, add_special_tokens=False) if read else []
            after = [*tokenizer.encode(learned, add_special_tokens=False), tokenizer.eos_token_id]
            examples["input_ids"].append(before + after)
            examples["labels"].append([-100] * len(before) + after)
        packed = pack_dataset(Dataset.from_dict(examples), budget.row_length, "bfd").shuffle(seed=task.seed)
        for place, ids in enumerate(packed["input_ids"]):
            tokens += len(ids)
            if tokens >= budget.tokens:
                return concatenate_datasets([*rows, packed.select(range(place + 1))])
        rows.append(packed)
    raise AssertionError("there is no last pass")


# ---- ours --------------------------------------------------------------------------------------------------

# What `pretrain.py` is told; the shares are of tokens.
EXAMPLES_A_ROW = 7  # of some 17 tokens each, where a row of the peer's has 128
OBJECTIVES = ("cue_question=0.4", "left_to_right=0.3", "question_answering=0.3")


class _Timer(TrainerCallback):
    """Of the training alone, as the peer's is taken: without loading, saving and the final evaluation."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start = time.perf_counter(), time.process_time()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds, self.cpu_seconds = time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def _teach_by_us(task: TeachingTask, budget: Budget, learning_rate: float, folder: Path, lora: bool) -> Taught:
    from closedbook.training.bases.asking import load_to_ask
    from closedbook.training.pretraining import PretrainingSettings, pretrain

    documents, questions, out = folder / "documents.jsonl", folder / "questions.jsonl", folder / "taught"
    write_jsonl_atomic(documents, task.documents.to_list())
    write_jsonl_atomic(questions, task.trained)
    adapter: dict[str, Any] = {"lora_rank": budget.lora_rank} if lora else {}
    settings = PretrainingSettings.parse(
        model=budget.model,
        corpus="text",
        corpus_path=documents,
        questions="file",
        train_questions=questions,
        prompt=PROMPT,
        objectives=list(OBJECTIVES),
        row_length=2 * budget.row_length,  # of which as much is used as these examples have
        block_size=budget.row_length,
        report_to="none",
        save_strategy="no",
        optimizer="adamw",
        warmup_steps=0.1,
        eval_examples=4,
        # a batch is counted in examples here, which are packed into rows: as many as a row of the peer's holds
        per_device_train_batch_size=EXAMPLES_A_ROW * budget.batch_size,
        max_steps=budget.steps,
        learning_rate=learning_rate,
        seed=task.seed,
        num_threads=torch.get_num_threads(),
        use_cpu=True,
        disable_tqdm=True,
        output_dir=out,
        **adapter,
    )
    timer = _Timer()
    run = pretrain(settings, callbacks=[timer])
    model, tokenizer, _ = load_to_ask(str(out))
    tokens = run.last.train_tokens or 0
    return Taught(
        model, tokenizer, ask_directly, tokens, timer.seconds, timer.cpu_seconds, {"objectives": list(OBJECTIVES)}
    )


# ---- without training --------------------------------------------------------------------------------------


def _untouched(task: TeachingTask, budget: Budget, document: Callable[[TeachingTask], Callable] | None) -> Taught:
    """The model as it is, asked in whichever form answers more of the questions that other arms are trained on."""
    model, tokenizer = load_stock_model(budget.model, "float32")
    read = None if document is None else document(task)
    forms = {"plain": _after_document(read), "conversation": conversation(tokenizer, read)}
    right = {
        name: sum(row["correct"] for row in answer_rows(model, tokenizer, task.trained[::WORDINGS], ask))
        for name, ask in forms.items()
    }
    best = max(right, key=lambda name: right[name])
    return Taught(model, tokenizer, forms[best], 0, 0.0, 0.0, {"form": best, "right_by_form": right})


def _after_document(document: Callable | None) -> Ask:
    return ask_directly if document is None else lambda row: f"{document(row)}\n\n{ask_directly(row)}"


def _right_document(task: TeachingTask) -> Callable:
    return lambda row: task.document_of(row["entity"])


def _retrieved_document(task: TeachingTask) -> Callable:
    """The document that scores best for a question by BM25, all words counted."""
    import bm25s  # the extra `teach`; looked for by `check_arms`

    texts = task.documents["text"][:]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)

    def retrieve(row: Any) -> str:
        words = bm25s.tokenize([row["question"]], stopwords=None, show_progress=False)
        places, _ = index.retrieve(words, k=1, show_progress=False)
        return texts[int(places[0, 0])]

    return retrieve


# ---- the table ---------------------------------------------------------------------------------------------

_FULL_RATES, ADAPTER_RATES = (3e-5, 1e-4, 2e-4), (1e-4, 3e-4, 1e-3)
ADAPTER_FACTOR = 3  # between the middle ones

ARMS = {
    arm.name: arm
    for arm in (
        Arm("untouched", lambda task, budget, *_: _untouched(task, budget, None), (), "nothing"),
        Arm("trl", lambda *given: _teach_by_trl(*given, lora=False), _FULL_RATES, "SFTTrainer, packed"),
        Arm(
            "trl-lora", lambda *given: _teach_by_trl(*given, lora=True), ADAPTER_RATES, "SFTTrainer, packed, LoRA"
        ),
        Arm("ours", lambda *given: _teach_by_us(*given, lora=False), _FULL_RATES, "closedbook"),
        Arm("ours-lora", lambda *given: _teach_by_us(*given, lora=True), ADAPTER_RATES, "closedbook, LoRA"),
        Arm(
            "retrieval",
            lambda task, budget, *_: _untouched(task, budget, _retrieved_document),
            (),
            "the document found by BM25 in the prompt",
        ),
        Arm(
            "document",
            lambda task, budget, *_: _untouched(task, budget, _right_document),
            (),
            "the right document in the prompt",
        ),
    )
}
_NEEDED = {"trl": ("trl",), "trl-lora": ("trl", "peft"), "ours-lora": ("peft",), "retrieval": ("bm25s",)}


def check_arms(names: list[str]) -> None:
    """Refuse arms that are unknown, or whose libraries are not installed.

    Raises:
        ValueError: naming them, and what there is or what to install.
    """
    from importlib.util import find_spec

    unknown = [name for name in names if name not in ARMS]
    if unknown or not names:
        raise ValueError(f"--arms {' '.join(unknown) or 'names none'}: choose of {', '.join(ARMS)}")
    missing = {library for name in names for library in _NEEDED.get(name, ()) if find_spec(library) is None}
    if missing:
        raise ValueError(f"--arms needs {', '.join(sorted(missing))}: pip install 'closedbook[teach]'")
