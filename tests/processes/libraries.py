"""What nearly every process under test imports first, imported once: the processes of `warm.py` begin with it."""

import gc
import importlib

from one_thread import compute_in_one_thread

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
compute_in_one_thread()
gc.freeze()  # the Trainer collects garbage; over the libraries' objects that takes longer than a tiny run
