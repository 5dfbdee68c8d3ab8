"""One training run, as pretraining and fine-tuning share it: stock `Trainer`, our data and folders."""

import logging
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, set_seed

from closedbook.data.mixture import Component, Mixture
from closedbook.data.packing import PackingCollator
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.run_record import Run, Stage, read_run, write_run
from closedbook.training.arguments import ClosedbookTrainingArguments, RegularisationArguments
from closedbook.training.model_card import record_run
from closedbook.training.optimizer import MuonWithAdamW
from closedbook.training.publishing.publisher import Publisher, without_pushing
from closedbook.training.run_folder import check_output_folder, claim_output_folder, save_model_folder

logger = logging.getLogger(__name__)

# What the run file keeps of the training arguments: all that shapes the weights, nothing of the machine.
RECORDED_ARGUMENTS = (
    *("optimizer", "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay"),
    *("adam_beta1", "adam_beta2", "max_grad_norm", "max_steps", "global_batch_size", "row_length", "seed"),
)


def prepare_run(args: ClosedbookTrainingArguments) -> Path | None:
    """Set up logging, the batch and the seed, and check the folder; returns the checkpoint to resume from.

    Called before anything slow, so that a wrong setting fails at once.
    """
    logging.basicConfig(level=logging.INFO if args.process_index == 0 else logging.WARNING, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    args.set_threads()
    args.divide_batch()
    checkpoint = None
    with args.main_process_first(desc="checking the output folder"):
        if args.process_index == 0 or args.resume:  # a fresh folder may be in use before the others look
            checkpoint = check_output_folder(args.output_dir, args.resume, args.overwrite)
    set_seed(args.seed)
    return checkpoint


def count_steps(args: ClosedbookTrainingArguments, num_records: int) -> int:
    """Optimizer steps of the run: `max_steps`, or the epochs over `num_records` rounded up."""
    if args.max_steps > 0:
        return args.max_steps
    return math.ceil(args.num_train_epochs * num_records / args.global_batch_size)


def apply_dropout(model: PreTrainedModel, regularisation: RegularisationArguments) -> None:
    """Set the dropout rates of a model already made; one of another package keeps those of its configuration.

    There the flags would have no one meaning: GPT-2 alone has three rates, and names none of them as we do.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a rate outside [0, 1).
    """
    if not hasattr(model.config, "embedding_dropout") or not hasattr(model.config, "hidden_dropout"):
        logger.warning(
            "%s keeps the dropout of its own configuration: --dropout and --attention_dropout are for the "
            "architectures of this package",
            type(model).__name__,
        )
        return
    model.config.embedding_dropout = model.config.hidden_dropout = regularisation.dropout
    model.config.attention_dropout = regularisation.attention_dropout
    model.config.validate()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = regularisation.dropout


class RunFileWriter(TrainerCallback):
    """Keeps a run file beside the checkpoints, so that a killed run is known, and its time counted."""

    def __init__(self, folder: str, run: Run, seconds_before: float):
        self.folder = folder
        self.run = run
        self.seconds_before = seconds_before
        self.start = time.perf_counter()

    def seconds(self) -> float:
        return round(self.seconds_before + time.perf_counter() - self.start, 1)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            write_run(self.folder, self.run.with_last(train_seconds=self.seconds(), **run_environment()))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            write_run(self.folder, read_run(self.folder).with_last(train_seconds=self.seconds()))


def refuse_another_run(known: Stage, stage: Stage) -> None:
    """Refuse to resume a run as another one: with these changed, the two halves would not be one run.

    Raises:
        ValueError: naming what changed.
    """
    for name in ("stage", "model", "seed", "global_batch_size"):
        before, now = getattr(known, name), getattr(stage, name)
        if before is not None and before != now:
            raise ValueError(
                f"--resume: the run in this folder has {name} {before}, now it is {now}; resume with the run's "
                "own settings"
            )


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    components: Sequence[Component],
    num_steps: int,
    args: ClosedbookTrainingArguments,
    checkpoint: Path | None,
    stage: Stage,
    earlier: Run | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Run:
    """Train, evaluate and save; returns the record written to the folder.

    Args:
        components: of the mixture. The evaluation set is a fixed draw of the same components with another
            seed: its loss says how well the records are known, not how well others would be guessed.
        num_steps: optimizer steps.
        checkpoint: folder to resume from, or None.
        stage: what is known of this stage beforehand; its `arguments` are those of the script, if any. Counts,
            losses and the settings of the run are added here.
        earlier: the stages that made the model to start from.
        callbacks: for example periodic answering.
    """
    block_size = model.config.max_position_embeddings
    if args.row_length < block_size:
        raise ValueError(
            f"row_length {args.row_length} is below the block of {block_size} characters: a whole example must "
            "fit into a row"
        )
    args.max_steps = num_steps
    num_examples = num_steps * (args.global_batch_size or 1)  # prepare_run has set it
    mixture = Mixture(components, args.seed, block_size, num_examples, args.shift_positions)
    evaluation = Mixture(components, args.seed + 1_000_003, block_size, args.eval_examples, args.shift_positions)
    collator = PackingCollator(tokenizer.get_vocab(), args.row_length, pad_token_id=tokenizer.pad_token_id)
    implementation = args.attn_implementation
    if implementation == "auto":
        # a CPU's fused kernel has a slow backward pass, which pays off only where rows are long (see LOG.md)
        implementation = "eager" if args.use_cpu and args.row_length <= 256 else "sdpa"
    model.set_attn_implementation(implementation)
    optimizer = None
    if args.optimizer == "muon":
        optimizer = MuonWithAdamW(model, args.learning_rate, args.weight_decay, (args.adam_beta1, args.adam_beta2))
    stage = replace(
        stage,
        seed=args.seed,
        global_batch_size=args.global_batch_size,
        world_size=args.world_size,
        license=args.license,
        arguments=stage.arguments
        | {name: getattr(args, name) for name in RECORDED_ARGUMENTS}
        | {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"},
    )
    run = (earlier or Run()).then(stage)
    known = read_run(args.output_dir).last if checkpoint else Stage()
    refuse_another_run(known, stage)
    publisher = Publisher.open(args)
    with args.main_process_first(desc="claiming the output folder"):
        if args.process_index == 0:
            claim_output_folder(args.output_dir, args.resume, args.overwrite)
    run_file = RunFileWriter(args.output_dir, run, known.train_seconds or 0.0)
    trainer = Trainer(
        model=model,
        args=without_pushing(args),  # publisher does it
        data_collator=collator,
        train_dataset=mixture,
        eval_dataset=evaluation,
        processing_class=tokenizer,
        callbacks=[*callbacks, run_file, *([publisher] if publisher else [])],
        optimizers=(optimizer, None),
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = run_file.seconds()
    metrics = trainer.evaluate()
    run = run.with_last(
        steps=num_steps,
        train_seconds=seconds,
        train_characters=sum(len(mixture[i].text) for i in range(len(mixture))),
        eval_loss=metrics["eval_loss"],
        parameters=model.num_parameters(),
    )
    # sharded weights are gathered by all processes together
    state_dict = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    if args.process_index == 0:
        model.config.use_cache = True  # the library switched it off for training; answering needs it
        unwrapped = trainer.accelerator.unwrap_model(trainer.model)
        save_model_folder(unwrapped, tokenizer, args.output_dir, state_dict)
        trainer.state.save_to_json(str(Path(args.output_dir) / "trainer_state.json"))
        run = record_run(args.output_dir, run)
    if publisher is not None:
        print(f"uploaded {args.output_dir}: {publisher.finish(args.output_dir)}")
    return run
