"""Attention you can look at: weights set by hand that provably do something, and the heads of a trained model.

    python scripts/explore_attention.py constructions
    python scripts/explore_attention.py model --model outputs/demo/model --text "Where was Julie Decker born?"

`constructions` measures every construction of `evaluation/attention/constructions.py` and its siblings against its
tolerance, in both implementations and precisions, and draws the weights, one head against two over draws of the
key, and the effect of the scale. `model` draws the attention maps of all heads on a text (a text that ends with
"?" is answered first) and scores the heads; `evaluation/attention/maps.py` says for what, and against what. Both
write `<output>.json` and `<output>.md`, the figures stand beside them."""

import sys

from closedbook.training.asking.attention import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
