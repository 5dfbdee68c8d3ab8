"""What `scripts/launch/` starts, as far as a machine without a GPU and without Slurm can show it.

Two machines are two network namespaces with a cable between them (veth): each has addresses of its own and nothing
else in common but the disk. Slurm is played by two small programs with the names and variables of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ranks import free_port

from closedbook.evaluation.run_record import read_run

CHECKOUT = Path(__file__).resolve().parents[2]
LAUNCH = CHECKOUT / "scripts" / "launch"
SAME = ("--precision", "fp32", "--dropout", "0", "--global_batch_size", "8", "--per_device_train_batch_size", "2")


@pytest.mark.parametrize("file", sorted(LAUNCH.glob("*.yaml")), ids=lambda path: path.name)
def test_accelerate_knows_every_key_of_a_launch_file(file):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(file))  # refuses a key that it does not know
    assert config.num_processes == yaml.safe_load(file.read_text())["num_processes"]


def test_the_command_of_a_launch_file_is_in_its_head():
    for file in LAUNCH.iterdir():
        assert f"scripts/launch/{file.name}" in "".join(file.read_text().splitlines(keepends=True)[:20])


SRUN = """#!/bin/bash
# plays srun: the command, once a machine
while [[ $1 == --* ]]; do shift; done
for node in 0 1; do SLURM_NODEID=$node SLURM_PROCID=$node "$@" & started+=($!); done
for each in "${started[@]}"; do wait "$each" || status=$?; done
exit "${status:-0}"
"""
SCONTROL = """#!/bin/bash
[[ $* == "show hostnames node[1-2]" ]] && printf '127.0.0.1\\nnode2\\n'
"""


@pytest.fixture
def slurm(tiny, tmp_path):
    """Run `scripts/launch/slurm.sh` with programs that play Slurm's, for two machines of one process each."""
    played = tmp_path / "bin"
    played.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (played / name).write_text(text)
        (played / name).chmod(0o755)
    variables = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "GPUS": "1"}
    variables |= {"SLURM_JOB_ID": str(free_port() - 20000), "ACCELERATE_USE_CPU": "true"}
    path = os.pathsep.join([str(played), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(*words):
        environment = tiny.environment(**variables, PATH=path)
        command = ["bash", LAUNCH / "slurm.sh", *words]
        return subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=280)

    return run


@pytest.mark.slow
def test_the_slurm_script_starts_a_launcher_a_machine_and_goes_on_by_itself(tiny, slurm, tmp_path):
    flags = [*SAME, "--max_steps", "6", "--save_steps", "2"]
    done = slurm(*tiny.pretraining_process(tmp_path / "run", *flags, "--time_limit", "1e-9"))
    assert done.returncode and "stopped by time limit after step 1 of 6" in done.stderr
    done = slurm(*tiny.pretraining_process(tmp_path / "run", *flags))  # --resume is added
    assert done.returncode == 0, done.stderr[-3000:]
    run = read_run(tmp_path / "run").last
    assert (run.world_size, run.steps) == (2, 6)
    tiny.pretrain(tmp_path / "one", *flags)
    tiny.assert_close(tmp_path / "one", tmp_path / "run", logged=1e-3, weights=3e-3)


def test_the_slurm_script_is_bash(tmp_path):
    subprocess.run(["bash", "-n", LAUNCH / "slurm.sh"], check=True)
    assert re.search(r"^#SBATCH --signal=TERM@\d+", (LAUNCH / "slurm.sh").read_text(), re.MULTILINE)


@pytest.fixture
def machines():
    """Names of two network namespaces that reach each other at 10.77.0.1 and 10.77.0.2."""
    names = [f"closedbook-{os.getpid()}-{number}" for number in (0, 1)]

    def ip(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no network namespaces here: {done.stderr.strip()}")

    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` (iproute2) here")
    made = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", "cable0", "netns", names[0], "type", "veth", "peer", "name", "cable1", "netns", names[1])
        for number, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", f"cable{number}")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", f"cable{number}", "up")
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


def start_on(machine, rank, tiny, words, launcher=()):
    """`accelerate launch` of one of two machines, as `multi_node.yaml` says, in its own network."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", LAUNCH / "multi_node.yaml"]
    launch += ["--num_machines", "2", "--num_processes", "2", "--machine_rank", rank]
    launch += ["--main_process_ip", "10.77.0.1", "--main_process_port", "29500", *launcher]
    # gloo looks its own address up by the name of the machine, and both have the same name here
    environment = tiny.environment(ACCELERATE_USE_CPU="true", GLOO_SOCKET_IFNAME=f"cable{rank}")
    return subprocess.Popen(
        list(map(str, ["ip", "netns", "exec", machine, *launch, *words])),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_machines_train_as_one_process(tiny, machines, tmp_path):
    words = tiny.pretraining_process(tmp_path / "two", *SAME)
    started = [start_on(machine, rank, tiny, words) for rank, machine in enumerate(machines)]
    try:
        said = [process.communicate(timeout=280)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    tiny.pretrain(tmp_path / "one", *SAME)
    two, one = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("two", "one"))
    assert (two["world_size"], one["world_size"]) == (2, 1)
    assert two["data_sha256"] == one["data_sha256"]
    tiny.assert_close(tmp_path / "one", tmp_path / "two", logged=1e-3, weights=3e-3)
