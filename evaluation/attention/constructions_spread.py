"""One head against two, when the keys vary from draw to draw. Goes on from `constructions.py`.

Means `mu_i` are orthonormal; a key is drawn as `k_i = mu_i + sqrt(alpha) noise`, and that of token a besides has a
length that varies: its covariance is `alpha I + nu mu_a mu_a^T`, with nu = 1/2 in the exercise that this comes
from and alpha vanishing. So `k_a = (1 + xi) mu_a + noise`, xi of variance nu.

* One head, `q = t (mu_a + mu_b)`. The scores of a and b differ by a Gaussian gap G of mean 0 and variance
  `t^2 (nu + 4 alpha)` (a and b each have `t^2 2 alpha` of the noise), so the share of `v_a` in the output is the
  sigmoid of G: 1/2 on average, but with a large t nearly always close to 0 or to 1. The head swings.
* Two heads, `q_1 = t mu_a` and `q_2 = t mu_b`, averaged. The first scores its own token `t (1 + xi)` against n - 1
  zeros and reads `v_a` unless `1 + xi` is small; the second never meets the length of `k_a` with a weight. The
  share of `v_a` is `(sigmoid(t (1 + xi) - log(n - 1)) + 1 / (e^t + n - 1)) / 2`: one half in nearly every draw.

"Nearly": a key that points away from its mean, `1 + xi < 0`, is lost to the first head at any scale. For nu = 1/2
that happens in `Phi(-sqrt 2)` = 7.9% of the draws, and two heads then keep a spread of about
`sqrt(.079 x .921) / 2` = 0.135, against up to 0.5 for one head. It vanishes with nu, where that of one head does
not as long as `t sqrt(nu)` is large.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from closedbook.evaluation.attention.constructions import (
    Construction,
    average_of_two_heads,
    average_values,
    leak,
    longest_of,
    mean_rounding,
    score_rounding,
)

EXERCISE_VARIANCE = 0.5
VANISHING = 1e-8


@dataclass(frozen=True)
class Spread:
    """The distribution of the share of `v_a` in the output, by theory.

    Attributes:
        mean, std: of the limit without noise and leak.
        fourth: its fourth central moment, from which the standard error of a measured spread follows.
        bias: root mean square, at most, of the difference between a draw's share and that of the limit. Mean and
            standard deviation are then off by at most as much (Minkowski's inequality).
    """

    mean: float
    std: float
    fourth: float
    bias: float

    def standard_errors(self, draws: int) -> tuple[float, float]:
        """Of the mean and the standard deviation of so many draws.

        Of the mean `std / sqrt(N)`; of the standard deviation `sqrt((fourth - std^4) / N) / (2 std)`: a sample
        variance has variance `(fourth - std^4) / N` for large N, and a root halves relative errors.
        """
        of_std = math.sqrt(max(0.0, self.fourth - self.std**4) / draws) / (2 * self.std)
        return self.std / math.sqrt(draws), of_std


def draw_keys(
    means: torch.Tensor,
    varying: int,
    draws: int,
    generator: torch.Generator,
    norm_variance: float = EXERCISE_VARIANCE,
    noise_variance: float = VANISHING,
) -> torch.Tensor:
    """`(draws, n, d)`: keys of mean `means`, covariance `alpha I`, and for one token also `nu mu mu^T`.

    Args:
        means: `(n, d)`, orthonormal.
        varying: the token whose key varies in length.
        norm_variance: nu.
        noise_variance: alpha.
    """
    noise = torch.randn(draws, *means.shape, generator=generator, dtype=torch.float64)
    keys = means.double() + math.sqrt(noise_variance) * noise
    lengths = torch.randn(draws, 1, generator=generator, dtype=torch.float64) * math.sqrt(norm_variance)
    keys[:, varying] += lengths * means[varying].double()
    return keys.to(means.dtype)


def one_head(
    means: torch.Tensor,
    values: torch.Tensor,
    pair: tuple[int, int],
    scale: float,
    keys: torch.Tensor,
    implementation: str = "eager",
) -> Construction:
    """`q = t (mu_a + mu_b)` over drawn keys `(B, n, d)`.

    Expected of a draw is `p v_a + (1 - p) v_b` with `p = sigmoid(G)` for the gap G of that draw. Tolerance: the n
    - 2 others take at most `(n - 2) / (e^g + n - 2)`, g being the lead of the better of a and b over the best of
    them, and by bound 2 the rounding of two scores moves the output by at most `2 rounding / 4 x 2 V`.
    """
    layer = average_values(means, values, pair, scale, implementation).layer
    first, second = pair
    asked = means[first] + means[second]
    wide, longest = keys.double(), longest_of(values)
    scores = scale * wide @ asked.double()
    share = torch.sigmoid(scores[:, first] - scores[:, second]).unsqueeze(-1)
    expected = share * values[first].double() + (1 - share) * values[second].double()
    rounding = score_rounding(layer, scale, float(asked.double().norm()) * longest_of(keys.flatten(0, 1)))
    gap = scores[:, list(pair)].amax(-1) - _others(scores, pair).amax(-1) - 2 * rounding
    rest = 2 * leak(gap, means.shape[0] - 2)
    tolerance = (rest + rounding + mean_rounding(layer, len(means))) * longest
    return _many_draws(layer, [asked], keys, values, expected, tolerance)


def two_heads(
    means: torch.Tensor,
    values: torch.Tensor,
    pair: tuple[int, int],
    scale: float,
    keys: torch.Tensor,
    implementation: str = "eager",
) -> Construction:
    """`q_1 = t mu_a`, `q_2 = t mu_b`, averaged, over drawn keys `(B, n, d)`.

    Expected of every draw is `(v_a + v_b) / 2`. Tolerance: half of what bound 1 gives for either head with the
    lead that its token has in that draw; where it has none, because the key points away, that bound is wide.
    """
    layer = average_of_two_heads(means, values, pair, scale, implementation).layer
    wide, longest = keys.double(), longest_of(values)
    rounding = score_rounding(layer, scale, longest_of(means) * longest_of(keys.flatten(0, 1)))
    lost = 0.0
    for aim in pair:
        scores = scale * wide @ means[aim].double()
        gap = scores[:, aim] - _others(scores, (aim,)).amax(-1) - 2 * rounding
        lost = lost + leak(gap, means.shape[0] - 1)  # half of 2 V times the leak
    expected = ((values[pair[0]].double() + values[pair[1]].double()) / 2).expand(len(keys), -1)
    tolerance = (lost + mean_rounding(layer, len(means))) * longest
    return _many_draws(layer, [means[pair[0]], means[pair[1]]], keys, values, expected, tolerance)


def share_of(construction: Construction, values: torch.Tensor, token: int) -> torch.Tensor:
    """`(B,)`: the share of a token's value in what the layer puts out; the values must be orthonormal."""
    output, _ = construction.run()
    return (output[:, 0, values.shape[-1] :] @ values[token]).double()


def one_head_spread(
    num_tokens: int,
    scale: float,
    norm_variance: float = EXERCISE_VARIANCE,
    noise_variance: float = VANISHING,
) -> Spread:
    """Of `sigmoid(G)`, G of mean 0 and variance `t^2 (nu + 4 alpha)`.

    Bias: the others' weight is at most the sum of `e^(s_i - s_b)` over n - 2 tokens. Each exponent is Gaussian, of
    mean `-t` and variance `4 alpha t^2`, so its exponential has the root mean square `e^(-t + 4 alpha t^2)`.
    """
    std = scale * math.sqrt(norm_variance + 4 * noise_variance)
    bias = (num_tokens - 2) * math.exp(-scale + 4 * noise_variance * scale**2)
    return _moments(lambda normal: torch.sigmoid(std * normal), bias)


def two_heads_spread(
    num_tokens: int,
    scale: float,
    norm_variance: float = EXERCISE_VARIANCE,
    noise_variance: float = VANISHING,
) -> Spread:
    """Of `(sigmoid(t (1 + xi) - log(n - 1)) + 1 / (e^t + n - 1)) / 2`, xi of variance `nu + alpha`.

    Bias, by bound 2: the noise of the n - 1 other scores has standard deviation `t sqrt(alpha)` each, so the
    largest of them at most `sqrt(n - 1)` times that (root mean square). It moves the first head by a quarter; the
    second by a quarter of it and of the noise of its own score for a; and half of both counts.
    """
    others = num_tokens - 1
    std = math.sqrt(norm_variance + noise_variance)
    second = math.exp(-scale) / (1 + others * math.exp(-scale))
    bias = scale * math.sqrt(noise_variance) * (2 * math.sqrt(others) + 1) / 8
    return _moments(
        lambda normal: (torch.sigmoid(scale * (1 + std * normal) - math.log(others)) + second) / 2, bias
    )


def _moments(share: Callable[[torch.Tensor], torch.Tensor], bias: float) -> Spread:
    """Mean, spread and fourth moment of a function of a standard normal number, by the trapezoid rule.

    A sigmoid of slope s has its nearest poles at a distance of pi / s from the real axis, so with steps of h the
    rule's error is of the order of `e^(-2 pi^2 / (s h))`: with h = 1e-3 below 1e-8 for slopes up to 1000, which is
    `t sqrt(nu)` here. Beyond 10 the normal density is below 1e-22.
    """
    normal = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    density = torch.exp(-(normal**2) / 2) / math.sqrt(2 * math.pi)
    shares = share(normal)
    mean = torch.trapezoid(shares * density, normal)
    variance, fourth = (torch.trapezoid((shares - mean) ** power * density, normal) for power in (2, 4))
    return Spread(float(mean), math.sqrt(float(variance)), float(fourth), bias)


def _others(scores: torch.Tensor, aimed_at: tuple[int, ...]) -> torch.Tensor:
    return scores[:, [token for token in range(scores.shape[1]) if token not in aimed_at]]


def _many_draws(layer, directions, keys, values, expected, tolerance) -> Construction:
    size = values.shape[-1]
    asking = torch.zeros(1, 1, 2 * size, dtype=values.dtype)
    for head, direction in enumerate(directions):
        asking[0, 0, head * size : (head + 1) * size] = direction
    tokens = torch.cat([keys, values.expand(len(keys), -1, -1)], dim=-1)
    padded = torch.cat([torch.zeros_like(expected), expected], dim=-1).unsqueeze(1)
    return Construction(layer, asking, tokens, padded, tolerance.unsqueeze(1))
