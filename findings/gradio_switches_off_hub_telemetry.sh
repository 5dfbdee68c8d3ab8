#!/usr/bin/env bash
# gradio 6.31.0: building a page with Blocks(analytics_enabled=False) sets HF_HUB_DISABLE_TELEMETRY for the whole process,
# and leaves it set.
#
# Guess, written down before: the argument is about that page; the environment of the process stays as it was, and
# huggingface_hub goes on as its user chose.
# Seen: after the constructor the variable, which is huggingface_hub's own switch, is True in os.environ, and processes
# started later inherit it.
# Met by: tests that compare environments, and programs that build a page beside other work with the Hub.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gradio==6.31.0 "huggingface_hub>=1" "pillow<13"
cat > "$work/look.py" <<'PYTHON'
import os
import subprocess
import sys

import gradio

name = "HF_HUB_DISABLE_TELEMETRY"
before = os.environ.get(name)
with gradio.Blocks(analytics_enabled=True):
    pass
allowed = os.environ.get(name)
with gradio.Blocks(analytics_enabled=False):
    pass
after = os.environ.get(name)
child = subprocess.run([sys.executable, "-c", f"import os; print(os.environ.get('{name}'))"], capture_output=True, text=True)
print(f"{name}: before {before}, after a page with analytics {allowed}, without {after}; a new process has {child.stdout.strip()}")
as_seen = (before, allowed, after, child.stdout.strip()) == (None, None, "True", "True")
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
env -u HF_HUB_DISABLE_TELEMETRY "$work/venv/bin/python" "$work/look.py"
