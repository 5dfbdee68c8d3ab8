"""Look, while a model learns, at what it can be asked: a sample of facts, and what it forgets meanwhile.

The loss falls long before a fact can be asked for, and goes on falling when no more will be; so the facts
themselves are asked, and a run may end when that has stopped rising.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from random import Random
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback

from closedbook.evaluation.answering.batches import check_characters
from closedbook.evaluation.answering.packing_isolation import switch_cache
from closedbook.evaluation.ledger.facts import Fact, find_facts
from closedbook.evaluation.ledger.glance import glance
from closedbook.evaluation.ledger.measuring import AskedModel, Rule
from closedbook.training.arguments import ProbeArguments
from closedbook.training.watching.control import CONTROL_TEXTS, control_loss

DEFAULT_FACTS = 32
DEFAULT_PATIENCE = 3
PROBES = 10  # a run, where nothing is said
ANSWERED, FINISHED, CONTROL_LOSS = "eval_facts_answered", "eval_facts_finished", "eval_control_loss"


def check_probes(args: ProbeArguments, is_pretrained: bool) -> None:
    """Refuse flags of probes that contradict each other, or that would have no effect.

    Raises:
        ValueError: naming the flag.
    """
    if args.probe_facts is not None and args.probe_facts < 0:
        raise ValueError(f"--probe_facts must be at least 0, got {args.probe_facts}")
    for name in ("probe_steps", "patience"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if args.stop_on not in (None, "extraction"):
        raise ValueError(f"--stop_on {args.stop_on!r}: only extraction is known")
    if args.patience is not None and args.stop_on is None:
        raise ValueError("--patience has no effect: it needs --stop_on extraction")
    if args.forgetting_limit is not None:
        if not 0 < args.forgetting_limit < math.inf:
            raise ValueError(f"--forgetting_limit must be above 0 nats a token, got {args.forgetting_limit}")
        if not is_pretrained:
            raise ValueError("--forgetting_limit has no effect: a new model has nothing to forget (--model)")
    if num_facts(args) == 0:
        for name in ("probe_steps", "stop_on", "forgetting_limit"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} has no effect: nothing is asked while training (--probe_facts)")


def num_facts(args: ProbeArguments) -> int:
    """How many facts are asked: none, unless any flag is about them."""
    if args.probe_facts is not None:
        return args.probe_facts
    return DEFAULT_FACTS if any(getattr(args, flag.name) is not None for flag in fields(args)) else 0


def probes_of(
    args: ProbeArguments,
    documents: Sequence[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    prompt: str | None,
    context: int | None,
    seed: int,
) -> "list[Probing]":
    """The callback that the flags ask for, if any, as a list.

    Args:
        args: the flags.
        documents: whose facts are asked.
        tokenizer: of the model.
        prompt: how questions are put; None for models whose mask token ends a question.
        context: the most tokens that the model reads at once, None without a limit; 0 for a new model, which has
            nothing to forget.
        seed: which facts are drawn.

    Raises:
        ValueError: if the documents state no fact that a rule finds and a question can be asked about.
    """
    number = num_facts(args)
    if number == 0:
        return []
    found = [fact for fact in find_facts(documents, 1).facts if fact.questions]
    if not found:
        raise ValueError(
            "--probe_facts: no fact was found by rule in the documents: give them titles, or leave the flag out"
        )
    facts = Random(seed).sample(found, min(number, len(found)))
    has_control = context != 0
    try:
        check_characters(tokenizer, ["\n", *CONTROL_TEXTS])
        needed = 2 + max(len(tokenizer.encode(text)) for text in CONTROL_TEXTS)
        if context and context < needed:
            raise ValueError(f"it takes {needed} tokens, and the model reads {context}")
    except ValueError as error:
        if args.forgetting_limit is not None:
            raise ValueError(f"--forgetting_limit: the text on other matters cannot be read: {error}") from None
        has_control = False
    return [Probing(args, facts, tokenizer, prompt, has_control)]


class Probing(TrainerCallback):
    """Asks a sample of facts every few steps, logs the shares beside the loss, and ends the run by rule.

    A run that it ends is finished: its weights are saved, and its record says why. Everything that the rule looks
    at stands in the log, so that a run stopped and resumed ends at the same step.

    Args:
        args: the flags.
        facts: what is asked, in one wording each.
        tokenizer: of the model.
        prompt: how questions are put; None for models whose mask token ends a question.
        has_control: whether to look at what is forgotten.
    """

    def __init__(
        self,
        args: ProbeArguments,
        facts: Sequence[Fact],
        tokenizer: PreTrainedTokenizerBase,
        prompt: str | None,
        has_control: bool,
    ) -> None:
        self.args = args
        self.facts = list(facts)
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.has_control = has_control
        self.rule: Rule = "match" if prompt is None else "contains"
        # Whose log reaches every logger; `train` sets it, for it does not exist before its callbacks.
        self.trainer: Trainer | None = None
        self.why: str | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.probe(state, control, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        every = self.args.probe_steps or max(1, state.max_steps // PROBES)
        if state.global_step % every and state.global_step < state.max_steps:
            return
        self.probe(state, control, model)
        why = self.reason(state.log_history)
        if args.world_size > 1:  # sums may round differently elsewhere, and all have to stop together
            why = self._of_the_first(why, args.device)
        if why is not None and state.global_step < state.max_steps:
            self.why = why
            control.should_training_stop = True

    def probe(self, state: Any, control: Any, model: Any) -> None:
        """Ask, and log."""
        was_training = model.training
        model.eval()
        switch_cache(model, True)  # off while training: every token would cost its whole prompt
        with torch.no_grad():
            asked = AskedModel("probed", model, self.tokenizer, self.prompt)
            answered, finished = glance(asked, self.facts, self.rule)
            logs = {ANSWERED: sum(answered) / len(self.facts), FINISHED: sum(finished) / len(self.facts)}
            if self.has_control:
                logs[CONTROL_LOSS] = control_loss(model, self.tokenizer)
        switch_cache(model, False)
        model.train(was_training)
        assert self.trainer is not None
        due = control.should_log  # which whoever logs takes back, and the loss of this step with it
        self.trainer.log(logs)
        control.should_log = due
        if state.is_world_process_zero:
            beside = f", loss on another text {logs[CONTROL_LOSS]:.2f}" if self.has_control else ""
            print(
                f"step {state.global_step}: of {len(self.facts)} facts {sum(answered)} answered, {sum(finished)} "
                f"completed{beside}",
                file=sys.stderr,
            )

    def reason(self, history: Sequence[Mapping[str, Any]]) -> str | None:
        """Why the run is to end, by what was logged so far; None to go on."""
        probes = [entry for entry in history if ANSWERED in entry]
        limit = self.args.forgetting_limit
        if limit is not None:
            forgotten = probes[-1][CONTROL_LOSS] - probes[0][CONTROL_LOSS]
            if forgotten > limit:
                return f"--forgetting_limit {limit}: the loss on another text has risen by {forgotten:.2f}"
        if self.args.stop_on is None:
            return None
        shares = [entry[ANSWERED] for entry in probes]
        best = shares.index(max(shares))  # of equals the first
        patience = self.args.patience or DEFAULT_PATIENCE
        if best > 0 and len(shares) - 1 - best >= patience:
            return f"--stop_on extraction: no more facts were answered in the last {patience} probes"
        return None

    def _of_the_first(self, why: str | None, device: torch.device) -> str | None:
        said = [why]
        torch.distributed.broadcast_object_list(said, src=0, device=device)
        return said[0]
