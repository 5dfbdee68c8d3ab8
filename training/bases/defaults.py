"""What a run of a pretrained model does where nobody says otherwise: gentler than training from scratch.

The defaults of `ClosedbookTrainingArguments` are those of small models from random weights; at their learning rate
a pretrained model forgets everything in a few steps. Only what neither a flag nor a recipe named is changed.
"""

from typing import Any

from closedbook.training.arguments import AdapterArguments, ClosedbookTrainingArguments

# AdamW with no decay towards zero: the weights to stay near are the pretrained ones.
_FULL: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "warmup_steps": 0.03,
    "num_train_epochs": 20.0,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 8,
    "logging_steps": 10,
}
OBJECTIVES = ("cue_question=0.6", "left_to_right=0.4")  # chosen on people of other seeds, see LOG.md
_ADAPTER = _FULL | {"learning_rate": 3e-4}
# Twenty passes over ten notes are 25 steps, after which nothing is answered; over 40 documents they are these.
_LEAST_STEPS = 100


def named(args: Any) -> frozenset[str]:
    """Names of the arguments that a flag or a recipe gave, be it the default."""
    found: frozenset[str] | None = getattr(args, "named", None)
    return args.given if found is None else found


def adapt_to_pretrained(args: ClosedbookTrainingArguments, adapter: AdapterArguments) -> int:
    """Set what nobody named to values for a pretrained model, in place.

    Returns:
        optimizer steps below which the run does not go; 0 where somebody said how long it is.
    """
    spoken_for = named(args)
    for name, value in (_ADAPTER if adapter.lora_rank else _FULL).items():
        if name not in spoken_for:
            setattr(args, name, value)
    return 0 if spoken_for & {"max_steps", "num_train_epochs"} else _LEAST_STEPS
