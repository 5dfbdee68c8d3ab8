"""Sharded training with real processes: FSDP2 as the launch file asks for it, and tensor parallel by
transformers' plan.

On a CPU accelerate leaves its plugin out and would run plain DDP, which `check_sharding` refuses. What a GPU
would run is run here over gloo by putting the plugin in place (`SHARDED`), and nothing else: the launch
file's settings, accelerate's `fully_shard`, the Trainer, our checkpoints and our final folder are those of
any sharded run.
"""

import pytest
import torch
import yaml
from ranks import Ranks

from closedbook.evaluation.run_record import Stage, read_run
from closedbook.training.arguments import ClosedbookTrainingArguments
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.trainer import train

SHARDED = """
import sys
from accelerate import DistributedType
from accelerate.state import AcceleratorState, PartialState
import closedbook.training.trainer as trainer

begin = AcceleratorState.__init__

def with_plugin(self, *args, fsdp_plugin=None, **kwargs):
    begin(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin

AcceleratorState.__init__ = with_plugin
trainer.check_sharding = lambda args, is_sharded: None
sys.argv = sys.argv[1:]
from closedbook.training.checks.commands import run_command
from closedbook.training.pretraining import main

finish = trainer._finish

def looked_at(run, *rest):
    whole = sum(weight.numel() for weight in run.model.parameters())
    mine = sum(weight.to_local().numel() for weight in run.model.parameters())
    print("shard", mine, "of", whole, flush=True)
    return finish(run, *rest)

trainer._finish = looked_at
sys.exit(run_command(main))
"""
SAME = ("--precision", "fp32", "--dropout", "0", "--global_batch_size", "8", "--per_device_train_batch_size", "2")


@pytest.fixture
def sharded(tiny, tmp_path):
    """One launch of two processes with the settings of `scripts/launch/fsdp2.yaml`, to its end."""
    settings = yaml.safe_load((tiny.checkout / "scripts" / "launch" / "fsdp2.yaml").read_text())["fsdp_config"]
    renamed = {"fsdp_transformer_layer_cls_to_wrap": "FSDP_TRANSFORMER_CLS_TO_WRAP"}
    variables = {renamed.get(name, name.upper()): str(value) for name, value in settings.items()}

    def run(name, output, *flags):
        command = ["-c", SHARDED, *tiny.pretraining_process(output, *SAME, "--optimizer", "adamw", *flags)]
        ranks = Ranks(tiny, command, 2, tmp_path / name, variables | {"ACCELERATE_USE_FSDP": "true"})
        ranks.succeed()
        return ranks

    return run


@pytest.mark.slow
def test_sharded_training_is_that_of_one_process_and_its_folder_a_plain_one(tiny, sharded, tmp_path):
    run = sharded("straight", tmp_path / "sharded", "--max_steps", "8")
    for rank in range(2):
        mine, _, whole = (run.folder / f"out{rank}").read_text().split("shard ")[1].split()[:3]
        assert 0.4 < int(mine) / int(whole) < 0.6
    tiny.pretrain(tmp_path / "plain", *SAME, "--optimizer", "adamw")
    tiny.assert_close(tmp_path / "plain", tmp_path / "sharded", logged=1e-3, weights=2e-3)
    names = [
        {path.name for path in (tmp_path / name).iterdir() if path.is_file()} for name in ("plain", "sharded")
    ]
    assert names[0] == names[1]
    load_model_folder(tmp_path / "sharded")
    assert read_run(tmp_path / "sharded").last.parameters == read_run(tmp_path / "plain").last.parameters
    # from its last sharded checkpoint
    stopped = tiny.stopped_at(4, tmp_path / "sharded", tmp_path / "stopped")
    sharded("resumed", stopped, "--max_steps", "8", "--resume")
    tiny.assert_equal(tmp_path / "sharded", stopped)


SPLIT = """
import sys
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM
from transformers.distributed import DistributedConfig
from closedbook.training.bases.loading import load_model_folder  # makes the classes known

source, target = sys.argv[1:]
dist.init_process_group("gloo")
model = AutoModelForCausalLM.from_pretrained(source, distributed_config=DistributedConfig(tp_size=2))
mine = sum(w.to_local().numel() if hasattr(w, "to_local") else w.numel() for w in model.parameters())
print("shard", mine, "of", sum(w.numel() for w in model.parameters()), flush=True)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, foreach=False)
ids = torch.arange(2, 18).reshape(1, 16)
for _ in range(3):
    loss = model(ids, labels=ids).loss
    print("loss", loss.item(), flush=True)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.save_pretrained(target)
dist.barrier()
dist.destroy_process_group()
"""


def test_a_model_split_by_its_heads_learns_what_a_whole_one_does(tiny, pretrained, tmp_path):
    """Through transformers' plan, in two processes: losses, steps of AdamW and the folder that is saved."""
    ranks = Ranks(tiny, ["-c", SPLIT, pretrained, tmp_path / "split"], 2, tmp_path / "said")
    model, _ = load_model_folder(pretrained)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.arange(2, 18).reshape(1, 16)
    losses = []
    for _ in range(3):
        loss = model(ids, labels=ids).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    ranks.succeed()
    for rank in range(2):
        said = (tmp_path / "said" / f"out{rank}").read_text()
        mine, _, whole = said.split("shard ")[1].split()[:3]
        assert int(mine) < 0.75 * int(whole)
        assert [float(word) for word in said.split("loss ")[1:]] == pytest.approx(losses, rel=1e-4)
    weights = tiny.weights(tmp_path / "split")
    assert weights.keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weights[name], weight, atol=1e-4, rtol=0, msg=lambda m, n=name: n + m)


def test_the_trainer_refuses_a_model_that_is_split_by_its_heads(tiny, pretrained, tmp_path):
    """It would count every process as one with examples of its own."""
    model, tokenizer = load_model_folder(pretrained)
    model._tp_size = 2
    args = ClosedbookTrainingArguments(output_dir=str(tmp_path / "run"), use_cpu=True)
    with pytest.raises(ValueError, match="shard it by FSDP2"):
        train(model, tokenizer, [], 1, args, None, Stage())
