#!/usr/bin/env bash
# transformers 5.23.0 with accelerate 1.15.0 and torch 2.13.0: TrainingArguments(use_cpu=True, ddp_timeout=60) waits 1,800
# seconds for a process that is gone.
#
# Guess, written down before: ddp_timeout is the limit of collectives, wherever they run; gloo has such a limit.
# Seen: two processes over gloo have a process group with torch's default of 1,800 seconds. The argument is handed on for
# accelerators only; on a processor it is read, checked and forgotten.
# Met by: runs and tests on CPUs in which a process may be lost: they wait half an hour for what was to be told in a minute.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0
"$work/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
cat > "$work/look.py" <<'PYTHON'
import os
import socket
import subprocess
import sys

CHILD = """
import torch
import torch.distributed
from transformers import TrainingArguments

arguments = TrainingArguments(output_dir="out", use_cpu=True, ddp_timeout=60, report_to=[])
arguments.device
group = torch.distributed.distributed_c10d._get_default_group()
print(arguments.ddp_timeout, int(group._get_backend(torch.device("cpu")).options._timeout.total_seconds()))
torch.distributed.destroy_process_group()
"""
with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1]), "WORLD_SIZE": "2"}
meeting |= {"LOCAL_WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
started = [
    subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=os.environ | meeting | {"RANK": rank, "LOCAL_RANK": rank},
        cwd=sys.argv[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    for rank in ("0", "1")
]
found = [process.communicate(timeout=300)[0].split()[-2:] for process in started]
print(f"ddp_timeout as given, and the limit of the process group, in seconds: {found}")
as_seen = found == [["60", "1800"]] * 2
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work"
