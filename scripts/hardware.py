"""What the machine can do."""

import torch


def has_bf16(use_cpu: bool) -> bool:
    """Whether the hardware multiplies bf16 matrices faster than fp32 ones."""
    if not use_cpu and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
