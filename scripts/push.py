"""Upload the folder of a finished run to the Hub, so that anybody can load it without this package.

    python scripts/push.py --model outputs/demo/model --hub_model_id you/small-gpt

Code, card, weights, configuration, tokenizer and the record of the run are uploaded in one commit; checkpoints,
logs, answers and pickles are not, nor anything that holds a token or a folder of this machine. Log in first
(`hf auth login`), or set HF_TOKEN. While training, `--push_to_hub` of the other scripts does the same.
"""

import sys

from closedbook.training.publishing.push import main

if __name__ == "__main__":
    main(sys.argv[1:])
