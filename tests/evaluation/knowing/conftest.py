"""Confidences of which it is known how often they are right."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def draw():
    """`draw(n, seed, steps)`: confidences, rounded up to that many steps, and which answers are right."""

    def drawn(n: int, seed: int, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        confidences = generator.random(n)
        if steps:
            confidences = np.ceil(confidences * steps) / steps
        return confidences, generator.random(n) < confidences**0.5  # right as often as the square root

    return drawn
