"""The process in which golden records are taken: one thread, and arithmetic that no processor does in its own way.

Kernels are chosen by what the processor can do, and each adds up in another order. So every library is told to
use the oldest kernels it has (`GOLDEN_ENVIRONMENT`), and the same bits come out of all x86-64 processors.
What has been tried is in the docstring of `record.py`.
"""

import hashlib
import importlib.util
import json
import os
import platform
import re
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent

GOLDEN_ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "default",  # torch's own kernels, without AVX
    "MKL_CBWR": "COMPATIBLE",  # MKL's matrix products: one code path for all processors
    "ONEDNN_MAX_CPU_ISA": "SSE41",  # oneDNN's
    "OPENBLAS_CORETYPE": "Nehalem",  # numpy's and scipy's matrix products
    # the C library's exp, log, sin and cos with fused multiply-add differ in the last bit from those without
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# What launchers and earlier runs leave in the environment.
LEAKED = ("TENSORBOARD_LOGGING_DIR", "ACCELERATE_", "MASTER_", "LOCAL_", "WORLD_SIZE", "RANK")
# The numbers come from these; other versions may have other bits, people or characters.
LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers", "datasets", "numpy", "scipy", "faker")


def golden_environment() -> dict[str, str]:
    """The environment of a process that takes golden records."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEAKED)}
    return kept | GOLDEN_ENVIRONMENT


def ensure_golden_environment() -> None:
    """Start this script again in the golden environment, unless it is there already; before torch is imported."""
    if any(os.environ.get(name) != value for name, value in GOLDEN_ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], golden_environment())


def describe_machine() -> dict:
    """What the bits of a record can depend on: compared before bits are."""
    return {
        "machine": platform.machine(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: version(name).partition("+")[0] for name in LIBRARIES},
    }


def processor_name() -> str:
    """Name, family and model of the processor: a hypervisor calls several generations by one name."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    found = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", text, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    return f"{found['model name']}, family {found.get('cpu family')}, model {found.get('model')}"


def call_script(checkout: Path, name: str, *flags) -> None:
    """`main` of an entry script, as if its command had been typed in the current folder."""
    argv = [str(flag) for flag in flags]
    path = checkout / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"golden_{name}", path)
    module = importlib.util.module_from_spec(spec)
    with _process_left_as_it_was():
        sys.argv = [f"scripts/{name}.py", *argv]
        spec.loader.exec_module(module)
        module.main(argv)


@contextmanager
def _process_left_as_it_was():
    variables, typed, path = dict(os.environ), sys.argv, list(sys.path)
    try:
        yield
    finally:
        sys.argv, sys.path[:] = typed, path
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)


def hash_tensors(tensors: dict) -> str:
    """SHA-256 of the tensors by name: names, types, shapes and every bit."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def hash_object(content) -> str:
    """SHA-256 of anything that JSON holds."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write_json(path: Path, content) -> None:
    """Sorted, and a line for each value or row of values, so that a person can read a difference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_lines(content, 0) + "\n", encoding="utf-8")


def _lines(content, depth: int) -> str:
    indent = " " * (depth + 1)
    if isinstance(content, dict) and content:
        items = [f"{indent}{json.dumps(key)}: {_lines(content[key], depth + 1)}" for key in sorted(content)]
        return "{\n" + ",\n".join(items) + f"\n{indent[1:]}" + "}"
    if isinstance(content, list) and any(isinstance(item, dict | list) for item in content):
        rows = [f"{indent}{json.dumps(item, ensure_ascii=False, sort_keys=True)}" for item in content]
        return "[\n" + ",\n".join(rows) + f"\n{indent[1:]}]"
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
