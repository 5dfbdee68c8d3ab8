"""The architectures that `probe.py` and `compare.py` set side by side, by the names that results give them."""

from collections.abc import Sequence

# What each sets of `ModelArguments`; the rest is the same for all.
VARIANTS: dict[str, dict[str, str]] = {
    "vanilla": {},
    "vanilla-rotary": {"position": "rotary"},
    "vanilla-synthesizer_dense": {"attention": "synthesizer_dense"},
    "vanilla-synthesizer_random": {"attention": "synthesizer_random"},
    "vanilla-linformer": {"attention": "linformer"},
    "vanilla-linformer-rotary": {"attention": "linformer", "position": "rotary"},
    "vanilla-bigbird": {"attention": "bigbird"},
    "vanilla-bigbird-rotary": {"attention": "bigbird", "position": "rotary"},
    "perceiver-spread": {"architecture": "perceiver", "latent_layout": "spread"},
    "perceiver-prefix": {"architecture": "perceiver", "latent_layout": "prefix"},
    "perceiver-last": {"architecture": "perceiver", "latent_layout": "last"},
}


def check_choices(flag: str, chosen: Sequence, known: Sequence | None = None) -> None:
    """Refuse an empty choice, a repeated one, and one that is not known.

    Raises:
        ValueError: naming the flag, the first wrong choice, and the known ones.
    """
    if not chosen:
        raise ValueError(f"--{flag} names nothing")
    for number, choice in enumerate(chosen):
        if known is not None and choice not in known:
            raise ValueError(f"--{flag}: {choice!r} is unknown; known: {', '.join(known)}")
        if choice in chosen[:number]:
            raise ValueError(f"--{flag} names {choice} twice")
