"""What nearly every process under test imports first, imported once: the processes of `warm.py` begin with it."""

import gc
import importlib

# Without the package itself: a process that does without it must find nothing of it.
LIBRARIES = (
    "torch",
    "transformers.trainer",
    "transformers.generation",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.auto.processing_auto",
    "transformers.pipelines",
    "accelerate",
    "datasets",
    "evaluate",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.pyplot",
    "torch.utils.tensorboard",
    "faker",
)
for library in LIBRARIES:
    importlib.import_module(library)
gc.freeze()  # the Trainer collects garbage; over the libraries' objects that takes longer than a tiny run
