"""Weights in shards: two processes, torch's `fully_shard`, and the folder that a single process would leave.

accelerate sets its plugin for accelerators only, and runs plain DDP on a CPU; so torch's own call is made around
the project's saving and resuming here, and the silent case is refused (see `check_sharding`).
"""

import json
import os
from pathlib import Path

import pytest
import torch
import warm

from closedbook.training.bases.loading import load_model_folder
from closedbook.training.checks.machine import check_sharding
from closedbook.training.run_folder import save_model_folder

SHARDED = """
import sys
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import fully_shard
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.run_folder import save_model_folder

source, target = sys.argv[1:]
dist.init_process_group("gloo")
mesh = torch.distributed.init_device_mesh("cpu", (dist.get_world_size(),))
model, tokenizer = load_model_folder(source)
for block in model.model.layers:
    fully_shard(block, mesh=mesh)
fully_shard(model, mesh=mesh)
assert type(model).__name__.startswith("FSDP"), type(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
ids = torch.arange(2, 18).reshape(1, 16)
loss = model(ids, labels=ids).loss
loss.backward()
optimizer.step()
whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
state = get_model_state_dict(model, options=whole)
if dist.get_rank() == 0:
    save_model_folder(model, tokenizer, target, state)
dist.barrier()
again, _ = load_model_folder(target)  # and back into shards
for block in again.model.layers:
    fully_shard(block, mesh=mesh)
fully_shard(again, mesh=mesh)
both = zip(model.parameters(), again.parameters(), strict=True)
assert all(torch.equal(one.full_tensor(), other.full_tensor()) for one, other in both)
dist.destroy_process_group()
"""


def test_the_folder_of_a_sharded_model_is_that_of_a_plain_one(tiny, pretrained, tmp_path, free_port):
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port), "WORLD_SIZE": "2"}
    command, said = ["-c", SHARDED, pretrained, tmp_path / "sharded"], str(tmp_path / "said")
    processes = [
        warm.Process(command, env=tiny.environment(**meeting, RANK=rank), standard=(os.devnull, said, said))
        for rank in ("0", "1")
    ]
    status = [process.wait(timeout=200) for process in processes]
    assert status == [0, 0], Path(said).read_text(encoding="utf-8")[-3000:]

    model, tokenizer = load_model_folder(pretrained)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.arange(2, 18).reshape(1, 16)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    sharded, plain = tiny.weights(tmp_path / "sharded"), model.state_dict()
    assert sharded.keys() == plain.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(sharded[name], weight, atol=1e-6, rtol=0)

    save_model_folder(model, tokenizer, tmp_path / "plain")
    names = {path.name for path in (tmp_path / "plain").iterdir()}
    assert {path.name for path in (tmp_path / "sharded").iterdir()} == names
    for name in names - {"model.safetensors", "manifest.json"}:
        assert (tmp_path / "sharded" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
    config = json.loads((tmp_path / "sharded" / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["VanillaGPTForCausalLM"]
    assert config["auto_map"]["AutoModelForCausalLM"] == "modeling_gpt.VanillaGPTForCausalLM"


@pytest.mark.parametrize(
    ("use_cpu", "optimizer", "message"),
    [(True, "adamw", "on a CPU, accelerate would run plain DDP"), (False, "muon", "use --optimizer adamw")],
)
def test_what_does_not_shard_is_refused_before_anything(use_cpu, optimizer, message):
    class Arguments:
        pass

    Arguments.use_cpu, Arguments.optimizer = use_cpu, optimizer
    with pytest.raises(ValueError, match=message):
        check_sharding(Arguments, is_sharded=True)
    check_sharding(Arguments, is_sharded=False)


def test_a_sharded_launch_on_a_cpu_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="FSDP needs accelerators"):
        tiny.pretrain(tmp_path / "run")
    assert not (tmp_path / "run").exists()
