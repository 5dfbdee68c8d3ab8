"""One training run, as pretraining and fine-tuning share it: stock `Trainer`, our data and folders."""

import logging
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, set_seed

from closedbook.data.mixture import Component, Mixture
from closedbook.data.packing import PackingCollator
from closedbook.data.tables.stream import Stream
from closedbook.data.writing.token_writer import TokenWriter
from closedbook.evaluation.answering.batches import padding_id
from closedbook.evaluation.answering.packing_isolation import packing_isolation, switch_cache
from closedbook.evaluation.run_record import Run, Stage, read_run
from closedbook.training.arguments import ClosedbookTrainingArguments, RegularisationArguments
from closedbook.training.bases.loading import is_of_this_package
from closedbook.training.checks.agreement import (
    check_agreement,
    check_everywhere,
    check_shared_folder,
    everywhere,
    machine_facts,
)
from closedbook.training.checks.effect import check_effect_in_training, given, refuse
from closedbook.training.checks.machine import (
    check_optimizer,
    check_reporting,
    check_schedule,
    check_sharding,
    check_warmup,
)
from closedbook.training.keeping.finite import FiniteTrainer, NonFiniteError
from closedbook.training.keeping.keeper import RunKeeper
from closedbook.training.keeping.lock import LOCK_FILE, sole_writer
from closedbook.training.keeping.lost import noticing_lost_processes
from closedbook.training.keeping.memory import GivesBack
from closedbook.training.keeping.progress import CountingCollator, Progress
from closedbook.training.keeping.resuming import compared_facts, data_digest, refuse_another_run, tell_of_processes
from closedbook.training.keeping.stopping import StopEarly
from closedbook.training.keeping.written import remove_leftovers
from closedbook.training.model_card import record_run
from closedbook.training.optimizer import MuonWithAdamW
from closedbook.training.publishing.publisher import Publisher, without_pushing
from closedbook.training.run_folder import check_output_folder, save_model_folder
from closedbook.training.watching.probing import Probing

logger = logging.getLogger(__name__)

# What the run file keeps of the training arguments: all that shapes the weights, nothing of the machine.
RECORDED_ARGUMENTS = (
    *("optimizer", "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay"),
    *("adam_beta1", "adam_beta2", "max_grad_norm", "max_steps", "global_batch_size", "row_length", "seed"),
)
# What shapes them, too, and has been recorded since version 0.2.
ALSO_RECORDED = ("shift_positions", "optim", "adam_epsilon", "neftune_noise_alpha", "on_nonfinite")


def prepare_run(args: ClosedbookTrainingArguments, *checks: Callable[[], object]) -> Path | None:
    """Set up logging, the batch and the seed, and check everything; returns the checkpoint to resume from.

    Called before anything slow, so that a wrong setting fails at once, together with all others that are wrong.

    Args:
        args: of the run.
        checks: of the caller's own settings; each raises ValueError or OSError for what it finds.

    Raises:
        ValueError: for what is wrong (`Problems` for several things), as does OSError for files.
    """
    logging.basicConfig(level=logging.INFO if args.process_index == 0 else logging.WARNING, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    args.set_threads()
    checkpoints: list[Path | None] = []

    def check_folder() -> None:
        if args.process_index == 0:  # the others take its word: a checkpoint is read as a whole to be found good
            checkpoints.append(check_output_folder(args.output_dir, args.resume, args.overwrite))

    check_everywhere(
        args,
        *checks,
        args.divide_batch,
        lambda: check_effect_in_training(args),
        lambda: check_sharding(args, parse_flag_from_env("ACCELERATE_USE_FSDP") or bool(args.fsdp)),
        lambda: check_reporting(args),
        lambda: check_optimizer(args),
        lambda: check_schedule(args),
        check_folder,
    )
    check_agreement(args, machine_facts(args))
    checkpoint = everywhere(checkpoints[0] if checkpoints else None)[0]
    if checkpoint is not None:
        check_shared_folder(args, f"{checkpoint.name}/trainer_state.json")
    set_seed(args.seed)
    return checkpoint


def check_rows(row_length: int, block_size: int) -> None:
    """Refuse rows into which a whole example does not fit.

    Raises:
        ValueError: with both numbers.
    """
    if block_size < 1:
        raise ValueError(f"--block_size must be at least 1 token, got {block_size}")
    if row_length < block_size:
        raise ValueError(
            f"row_length {row_length} is below the block of {block_size} characters: a whole example must fit "
            "into a row"
        )


def count_steps(args: ClosedbookTrainingArguments, num_records: int, least: int = 0) -> int:
    """Optimizer steps of the run: `max_steps`, or the epochs over `num_records` rounded up, at least `least`."""
    if args.max_steps > 0:
        return args.max_steps
    return max(least, math.ceil(args.num_train_epochs * num_records / args.global_batch_size))


def apply_dropout(model: PreTrainedModel, regularisation: RegularisationArguments) -> None:
    """Set the dropout rates of a model already made; one of another package keeps those of its configuration.

    There the flags would have no one meaning: GPT-2 alone has three rates, and names none of them as we do.

    Raises:
        ValueError: for rates given for a model of another package.
        huggingface_hub.errors.StrictDataclassError: for a rate outside [0, 1).
    """
    if not is_of_this_package(model.config):
        refuse(
            [
                f"--{name} has no effect: {type(model).__name__} keeps the dropout of its own configuration"
                for name in sorted(given(regularisation))
            ]
        )
        return
    model.config.embedding_dropout = model.config.hidden_dropout = regularisation.dropout
    model.config.attention_dropout = regularisation.attention_dropout
    model.config.validate()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = regularisation.dropout


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
    block_size: int | None = None,
    writer: TokenWriter | None = None,
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
        block_size: longest example in tokens; by default as many as the model has positions.
        writer: makes tokens of records; None for characters.

    Raises:
        ValueError: if another run holds the folder, or is another than that of `checkpoint`; for a model that is
            split by tensor parallelism.
        NonFiniteError: at the first loss, gradient or weight that is not finite.
        LostProcess: where another process of the launch is gone.
        Stopped: after a last checkpoint, where SIGTERM came or the time limit was reached.
    """
    if (getattr(model, "tp_size", None) or 1) > 1:
        raise ValueError(
            f"this model is split over {model.tp_size} processes by its heads, and each process would be "
            "taken for one with examples of its own: load it whole, and shard it by FSDP2 "
            "(scripts/launch/fsdp2.yaml)"
        )
    block_size = block_size or model.config.max_position_embeddings
    check_rows(args.row_length, block_size)
    check_warmup(args, num_steps)
    args.max_steps = num_steps
    num_examples = num_steps * (args.global_batch_size or 1)  # prepare_run has set it
    how = (block_size, num_examples, args.shift_positions, writer)
    mixture = Mixture(components, args.seed, *how)
    how = (block_size, args.eval_examples, args.shift_positions, writer)
    evaluation = Mixture(list(map(held, components)), args.seed + 1_000_003, *how)
    implementation = args.attn_implementation
    own = is_of_this_package(model.config)
    if own and args.ddp_find_unused_parameters is None:
        args.ddp_find_unused_parameters = False  # every weight is used in every step, and looking costs a pass
    if implementation == "auto" and own:
        # a CPU's fused kernel has a slow backward pass in bf16, which pays off only where rows are long (see
        # LOG.md)
        implementation = "eager" if args.use_cpu and args.bf16 and args.row_length <= 256 else "sdpa"
    if implementation != "auto":
        model.set_attn_implementation(implementation)
    collator = PackingCollator(
        tokenizer.get_vocab() if writer is None else {},
        args.row_length,
        pad_token_id=padding_id(tokenizer),
        isolation=packing_isolation(model, block_size, args.row_length),
        dtype=model.dtype,
        trim=not own,  # rows of our own models are of one length: some of them work in blocks
    )
    optimizer = None
    if args.optimizer == "muon":
        optimizer = MuonWithAdamW(
            model,
            args.learning_rate,
            args.weight_decay,
            betas=(args.adam_beta1, args.adam_beta2),
            precision=torch.bfloat16 if args.bf16 else torch.float32,
            shared=args.world_size > 1,
        )
    stage = replace(
        stage,
        seed=args.seed,
        global_batch_size=args.global_batch_size,
        world_size=args.world_size,
        license=args.license,
        data_sha256=data_digest(components),
        arguments=stage.arguments
        | {name: getattr(args, name) for name in (*RECORDED_ARGUMENTS, *ALSO_RECORDED)}
        | {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"},
    )
    run = (earlier or Run()).then(stage)
    known = read_run(args.output_dir).last if checkpoint else Stage()
    refuse_another_run(known, stage, int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0)
    progress = Progress(mixture, args.global_batch_size or 1, checkpoint)
    if checkpoint and args.process_index == 0:
        tell_of_processes(known, args.world_size)
    publisher = Publisher.open(args)

    def claim() -> None:
        if args.process_index == 0:  # once more, now that no other run can come between
            lock.enter_context(sole_writer(args.output_dir))
            check_output_folder(args.output_dir, args.resume, args.overwrite)
            remove_leftovers(args.output_dir)

    with noticing_lost_processes(args) as launch, ExitStack() as lock:
        check_agreement(args, compared_facts(stage))
        check_everywhere(args, claim)
        if args.save_strategy != "no":
            check_shared_folder(args, LOCK_FILE)
        keeper = RunKeeper(args.output_dir, run, known.train_seconds or 0.0, args.overwrite, args.save_total_limit)
        args.save_total_limit = None  # the keeper's, which removes nothing that a user has put there
        stopping = StopEarly(args.time_limit)
        try:
            with args.logging_in_own_folder():
                trainer = FiniteTrainer(
                    model=model,
                    args=without_pushing(args),  # publisher does it
                    data_collator=CountingCollator(collator),
                    train_dataset=mixture,
                    eval_dataset=evaluation,
                    processing_class=tokenizer,
                    # the keeper seals a checkpoint when all the rest of it is there
                    callbacks=[
                        *callbacks,
                        GivesBack(),
                        progress,
                        keeper,
                        *([publisher] if publisher else []),
                        stopping,
                    ],
                    optimizers=(optimizer, None),
                    skip_limit=args.nonfinite_limit if args.on_nonfinite == "skip" else 0,
                    told={"loss_only": True} if own else None,  # nobody reads logits here
                    progress=progress,
                )
            for callback in callbacks:
                if isinstance(callback, Probing):
                    callback.trainer = trainer
            switch_cache(model, False)  # all of it: the library switches off the outermost configuration only
            launch.trainer = trainer
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except RuntimeError as error:
            if launch.is_lost(error):
                stopping.stay()  # SIGTERM, by which a launcher ends the others, must not cut their last line
            raise
        finally:
            stopping.restore()
            if args.process_index == 0:
                keeper.undo()
        stopping.check(trainer.state, args.output_dir)
        stopped_by = next((each.why for each in callbacks if isinstance(each, Probing) and each.why), None)
        if stopped_by is not None:
            run = run.with_last(stopped_by=stopped_by)
            print(f"ended after step {trainer.state.global_step} of {num_steps} by {stopped_by}", file=sys.stderr)
        run = _finish(trainer, keeper, run, trainer.state.global_step, progress, tokenizer)
        if publisher is not None:
            print(f"uploaded {args.output_dir}: {publisher.finish(str(args.output_dir))}")
        return run


def held(component: Component) -> Component:
    """The component for a fixed draw of its records: of a stream those at its begin, which are the same each
    time."""
    if not isinstance(component.records, Stream):
        return component
    return replace(component, records=component.records.first())


def _finish(
    trainer: Trainer,
    keeper: RunKeeper,
    run: Run,
    num_steps: int,
    progress: Progress,
    tokenizer: PreTrainedTokenizerBase,
) -> Run:
    """Save the weights as they were trained, and then evaluate, which may fail or change their precision."""
    args: Any = trainer.args
    seconds = keeper.seconds()
    # sharded weights are gathered by all processes together
    state_dict = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if args.process_index == 0:
        if run.last.arguments.get("merge_adapter"):
            model = model.merge_and_unload()
        switch_cache(model, True)  # off for training; answering needs it
        save_model_folder(model, tokenizer, args.output_dir, state_dict)
    switch_cache(model, False)  # packed rows are read here, too
    eval_loss = trainer.evaluate()["eval_loss"]
    switch_cache(model, True)
    if not math.isfinite(eval_loss):
        raise NonFiniteError(f"the evaluation loss is {eval_loss}: the model in {args.output_dir} is of no use")
    run = run.with_last(
        steps=num_steps,
        train_seconds=seconds,
        **progress.counts(),
        eval_loss=eval_loss,
        parameters=model.num_parameters(),
    )
    if args.process_index == 0:
        trainer.state.save_to_json(str(Path(args.output_dir) / "trainer_state.json"))
        run = record_run(args.output_dir, run)
    return run
