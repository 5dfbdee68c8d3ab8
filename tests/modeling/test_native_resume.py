"""Law 9 without the package: the stock Trainer goes on from a checkpoint as if it had never stopped."""

import json
import os
from pathlib import Path

import pytest
import torch
import warm
from safetensors.torch import load_file
from variants import VARIANTS

from closedbook.modeling.tokenization_char import build_char_tokenizer

CORPUS = ["Where was Zoë born?", "Orléans", "a\nb"]  # 18 characters: as many as the models under test know
STEPS, STOP = 4, 2

pytestmark = pytest.mark.timeout(1200)  # the slow suite trains all variants in the set-up of one test

# Three runs of the Trainer take seconds: two variants in the fast suite, all in the slow one.
FAST = ("vanilla-linformer", "last-synthesizer_dense")
NAMES = pytest.mark.parametrize(
    "name",
    [pytest.param(variant.name, marks=[] if variant.name in FAST else [pytest.mark.slow]) for variant in VARIANTS],
)

# What a reader does in a process of its own: folder of models, folder of runs, "start" or "resume".
READER = """
import json, sys
from pathlib import Path
models, runs, task = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
sys.modules["closedbook"] = None  # any import of the package now fails
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

STEPS, STOP = 4, 2
TEXTS = ["Where was Zoë born?", "Orléans", "a\\nb", "Was Zoë where?", "born\\nOrléans", "Zoë", "a b a b", "Zo"]

class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == STOP

def train(source, target, *callbacks, checkpoint=None):
    model = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=True)
    rows = [tokenizer(text, truncation=True, max_length=16) for text in TEXTS]
    arguments = TrainingArguments(
        target, max_steps=STEPS, save_steps=STOP, logging_steps=1, per_device_train_batch_size=2, seed=3,
        learning_rate=1e-2, lr_scheduler_type="cosine", use_cpu=True, disable_tqdm=True, report_to="none",
    )
    trainer = Trainer(
        model, arguments, train_dataset=rows, processing_class=tokenizer, callbacks=list(callbacks),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, trainer.state.global_step, type(model).__module__

report = {}
for folder in sorted(models.iterdir()):
    whole, stopped = runs / folder.name / "whole", runs / folder.name / "stopped"
    if task == "start":
        report[folder.name] = {"whole": train(folder, whole), "stopped": train(folder, stopped, Stop())}
    else:
        checkpoint = stopped / f"checkpoint-{STOP}"
        report[folder.name] = {"resumed": train(checkpoint, stopped, checkpoint=str(checkpoint))}
assert not any(name.startswith("closedbook.") for name in sys.modules)
(runs / f"{task}.json").write_text(json.dumps(report))
"""


def train_elsewhere(models: Path, runs: Path, task: str) -> dict:
    """Run the reader in a fresh process whose copies of the code are its own; its report."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    scratch = runs / f"modules-{task}"
    environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(scratch), "OMP_NUM_THREADS": "1"}
    done = warm.run(["-c", READER, models, runs, task], cwd=runs, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((runs / f"{task}.json").read_text())


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory) -> Path:
    """A folder with the runs of the variants that were selected, and what both processes report of them."""
    items = [item for item in request.session.items if item.module is request.module]
    names = {item.callspec.params["name"] for item in items}
    models, folder = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("runs")
    tokenizer = build_char_tokenizer(CORPUS)
    for variant in VARIANTS:
        if variant.name in names:
            # with dropout: the state of the random number generator has to come back too
            model = variant.model(embedding_dropout=0.1, hidden_dropout=0.1, attention_dropout=0.1)
            model.save_pretrained(models / variant.name)
            tokenizer.save_pretrained(models / variant.name)
    for task in ("start", "resume"):
        train_elsewhere(models, folder, task)
    return folder


@NAMES
def test_a_run_without_the_package_is_resumed_bit_for_bit_in_another_process(name, runs):
    reports = [json.loads((runs / f"{task}.json").read_text())[name] for task in ("start", "resume")]
    report = reports[0] | reports[1]
    for _, _, module in report.values():
        assert module.startswith("transformers_modules.")
    losses = {run: result[0] for run, result in report.items()}
    assert [report[run][1] for run in ("whole", "stopped", "resumed")] == [STEPS, STOP, STEPS]
    assert losses["stopped"] == losses["whole"][:STOP]
    assert losses["resumed"] == losses["whole"]  # its log goes on where that of the checkpoint ends
    assert len(set(losses["whole"])) == STEPS
    whole, resumed = (
        load_file(runs / name / run / f"checkpoint-{STEPS}" / "model.safetensors") for run in ("whole", "stopped")
    )
    assert whole.keys() == resumed.keys()
    for key, tensor in whole.items():
        assert torch.equal(resumed[key], tensor), key


@NAMES
def test_a_checkpoint_of_such_a_run_carries_the_code_and_the_tokenizer(name, runs):
    folder = runs / name / "stopped" / f"checkpoint-{STOP}"
    names = {path.name for path in folder.iterdir()}
    assert {"configuration_gpt.py", "modeling_gpt.py", "tokenization_char.py", "tokenizer.json"} <= names
    auto_map = json.loads((folder / "config.json").read_text())["auto_map"]
    assert auto_map.keys() >= {"AutoConfig", "AutoModel", "AutoModelForCausalLM"}
