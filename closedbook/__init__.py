"""closedbook: did the model learn it, can it be asked, and does it know when it doesn't know?

What may be imported is what the rooms name in their `__all__`, and the few names here; everything else may change.
Names are looked up when they are used, so that importing the package costs nothing.
"""

import sys

import lazy_loader

from .moved import MovedModules

__version__ = "0.2.0"

_names, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["data", "evaluation", "modeling", "training"],
    submod_attrs={
        "shortcuts": ["ask", "teach"],
        "data": ["Mixture", "Population"],
        "evaluation": ["Run", "Stage", "answer_questions", "answer_with_confidence", "read_run"],
        "modeling": ["CharTokenizer", "PerceiverGPTForCausalLM", "VanillaGPTForCausalLM"],
        "training": [
            *("FinetuningSettings", "PretrainingSettings", "finetune", "load_model_folder", "pretrain"),
            *("ledger", "push_model_folder"),
        ],
    },
)
__getattr__ = _names
__all__ += ["__version__"]

if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
    sys.meta_path.append(MovedModules())
