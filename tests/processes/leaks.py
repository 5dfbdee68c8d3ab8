"""What a test may leave to the next one: nothing. The state of a process that tests have been seen to change.

Filters of warnings are not here: pytest itself puts them back after every test.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator

# Variables that libraries or the package act on; of others nobody here reads any.
VARIABLES = ("ACCELERATE_", "CLOSEDBOOK_", "CUDA_", "HF_", "LOCAL_RANK", "MASTER_", "OMP_", "RANK", "TENSORBOARD_")
VARIABLES += ("TOKENIZERS_", "TRANSFORMERS_", "WORLD_SIZE")
LOGGERS = ("transformers", "datasets", "closedbook")
CLASSES = {
    "configuration_gpt": ("VanillaGPTConfig", "PerceiverGPTConfig"),
    "modeling_gpt": ("VanillaGPTForCausalLM", "PerceiverGPTForCausalLM", "VanillaGPTModel", "PerceiverGPTModel"),
    "tokenization_char": ("CharTokenizer",),
}


def state() -> dict[str, object]:
    """Name -> value; what belongs to a module that is not imported yet is left out."""
    return dict(_state())


def _state() -> Iterator[tuple[str, object]]:
    yield "the current folder", os.getcwd()
    yield "sys.argv", list(sys.argv)
    yield "the handler of SIGTERM", signal.getsignal(signal.SIGTERM)
    yield from ((f"${name}", value) for name, value in os.environ.items() if name.startswith(VARIABLES))
    for name in LOGGERS:
        if name in logging.Logger.manager.loggerDict:
            yield f"the level of the logger {name}", logging.getLogger(name).level
    if torch := sys.modules.get("torch"):
        yield "torch's default dtype", torch.get_default_dtype()
        yield "torch's number of threads", torch.get_num_threads()
        yield "torch's deterministic algorithms", torch.are_deterministic_algorithms_enabled()
        yield "torch's gradients", torch.is_grad_enabled()
    for module, names in CLASSES.items():
        if module := sys.modules.get(f"closedbook.modeling.{module}"):
            for name in names:
                # as a class has it itself: without, save_pretrained writes no code beside the weights
                yield f"the auto class of {name}", vars(getattr(module, name)).get("_auto_class")


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """In words; a module that was imported in between has changed nothing."""
    changed = [name for name in before if before[name] != after.get(name)]
    new = [name for name in after if name.startswith("$") and name not in before]
    told = [f"{name} was {before[name]!r}, is {after.get(name)!r}" for name in changed]
    return told + [f"{name} is new: {after[name]!r}" for name in new]
