#!/usr/bin/env bash
# transformers 5.23.0: a callback that logs a number of its own by Trainer.log in on_step_end takes the place of that
# step's loss in the history.
#
# Guess, written down before: Trainer.log adds an entry to the history, and nothing else; the loss of a step that is due
# (logging_steps=1) is logged beside it.
# Seen: of four steps, the loss of the two at which the callback logged is missing. Trainer.log tells the handler of
# callbacks, which takes should_log back, set for this step a moment before.
# Met by: who watches something during training (probes, accuracies) and logs it for every logger at once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > "$work/look.py" <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments


class Watching(TrainerCallback):
    trainer = None

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer is not None and state.global_step % 2 == 0:
            self.trainer.log({"watched": 1.0})


def steps_with_a_loss(watched, folder):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, **sizes))
    rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 16
    args = TrainingArguments(
        folder, max_steps=4, logging_steps=1, per_device_train_batch_size=2, report_to="none", save_strategy="no",
        use_cpu=True, disable_tqdm=True,
    )
    callback = Watching()
    trainer = Trainer(model=model, args=args, train_dataset=rows, callbacks=[callback])
    callback.trainer = trainer if watched else None
    trainer.train()
    return [entry["step"] for entry in trainer.state.log_history if "loss" in entry]


alone, beside = steps_with_a_loss(False, sys.argv[1]), steps_with_a_loss(True, sys.argv[1])
print(f"RESULT steps whose loss is in the history: {alone}; with a callback that logs at every second step: {beside}")
as_seen = alone == [1, 2, 3, 4] and beside == [1, 3]
print("RESULT as seen" if as_seen else "RESULT this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work/run" | grep RESULT
