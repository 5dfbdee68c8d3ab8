"""Three tokens and the matrices that relate them; and why the identity cannot. Goes on from `constructions.py`."""

import math

import torch

from closedbook.evaluation.attention.constructions import (
    Construction,
    defect_of,
    empty_layer,
    gamma,
    leak,
    longest_of,
    mean_rounding,
)


def relate_tokens(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor, scale: float, implementation: str = "eager"
) -> Construction:
    """Three tokens `x_1 = d + b`, `x_2 = a`, `x_3 = c + b`: position 2 gives b and position 1 gives `b - c`.

    a, b, c, d are at right angles and of one length L. One head as wide as the stream, and

    * `V = (b b^T - c c^T) / L^2`, so that the values are b, 0 and `b - c`;
    * `K = I`;
    * `Q = t (d a^T + c d^T) / L^4`: position 2 asks `t d / L^2` and finds x_1, position 1 asks `t c / L^2` and
      finds x_3. Position 3 asks nothing and reads all alike: `(2 b - c) / 3`.

    Positions 1 and 2 are copies (bound 1, V at most `sqrt(2) L`, n = 3). A score is a product of two inner
    products of sums of two vectors, each within `2 defect` of 0 or 1, and of these there are two: off by at
    most `7 t defect`. At position 3, scores within x of 0 give weights within a factor `e^(2 x)` of a third.
    Position 1 reads position 3: under a causal mask it could not.

    Raises:
        ValueError: if the vectors are not at right angles and of one length.
    """
    length = float(a.double().norm())
    vectors = torch.stack([a, b, c, d])
    defect = defect_of(vectors.double() / length)
    layer = empty_layer(a, len(a), 1, implementation)
    with torch.no_grad():
        wide = (vector.double() for vector in (a, b, c, d))
        u_a, u_b, u_c, u_d = (vector / length for vector in wide)
        query = scale * (torch.outer(u_d, u_a) + torch.outer(u_c, u_d)) / length**2
        layer.q_proj.weight.copy_(query * layer.head_dim**0.5)
        layer.k_proj.weight.copy_(torch.eye(len(a)))
        layer.v_proj.weight.copy_(torch.outer(u_b, u_b) - torch.outer(u_c, u_c))
        layer.o_proj.weight.copy_(torch.eye(len(a)))
    tokens = torch.stack([d + b, a, c + b]).unsqueeze(0)
    expected = torch.stack([b - c, b, (2 * b - c) / 3]).unsqueeze(0)
    # |Q| in the Frobenius norm is sqrt(2) t / L^2, tokens are at most sqrt(2) L long: 2 sqrt(2) t, and some slack
    rounding = gamma(2 * len(a) + 13, a.dtype) * 2 * math.sqrt(2) * scale * (1 + 4 * defect)
    off = 7 * scale * defect + rounding
    longest = math.sqrt(2) * length * (1 + defect)
    # of the values: four inner products within 2 defects, and V x computed, |V| being sqrt(2) in that norm
    values = (4 * defect + gamma(len(a) + 3, a.dtype) * 2) * longest
    mean = mean_rounding(layer, 3) * longest + values
    copied = 2 * leak(scale - 2 * off, 2) * longest + mean
    spread = math.expm1(2 * off) * longest + mean
    tolerance = torch.tensor([[copied, copied, spread]], dtype=torch.float64)
    return Construction(layer, tokens, tokens, expected, tolerance)


def identity_attention(tokens: torch.Tensor, scale: float, implementation: str = "eager") -> Construction:
    """The same three tokens through Q = K = V = I: position 2 stays away from b, whatever the scale.

    With V = I, position 2 outputs `w_1 (d + b) + w_2 a + w_3 (c + b)`. Its squared distance from b, in units of
    L^2, is `w_1^2 + w_3^2 + 2 w_2^2`, as `w_1 + w_3 - 1 = -w_2`. Among all weights that sum to 1 the least is 0.4,
    at (0.4, 0.2, 0.4): no queries and keys whatever bring it nearer than `sqrt(0.4) L = 0.632 L`. With Q = K = I,
    a finds itself: scores (0, s, 0) with `s = scale L^2 / sqrt(d) >= 0`, so `w_1 = w_3 = x = 1 / (2 + e^s)`, and
    the squared distance `2 x^2 + 2 (1 - 2 x)^2` is least at s = 0, where it is 4/9: never nearer than 2/3 L.

    Args:
        tokens: `(1, 3, d)`, those of `relate_tokens`.
        scale: of the queries, at least 0; 1 is the identity as it stands, with the layer's own `1 / sqrt(d)`.

    Returns:
        Expected is the output of this formula; its distance from b is `identity_distance(s) L`. The tolerance of
        positions 1 and 3, of which nothing is claimed, is infinite.
    """
    size = tokens.shape[-1]
    layer = empty_layer(tokens, size, 1, implementation)
    with torch.no_grad():
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            getattr(layer, name).weight.copy_(torch.eye(size))
        layer.q_proj.weight.mul_(scale)
    wide = tokens[0].double()
    squared = float(wide[1] @ wide[1])
    score = scale * squared / math.sqrt(size)
    others = _weight_of_others(score)
    expected = others * (wide[0] + wide[2]) + (1 - 2 * others) * wide[1]
    defect = float((wide[1] @ wide[[0, 2]].T).abs().max()) / squared
    off = score * defect + gamma(2 * size + 13, tokens.dtype) * score * math.sqrt(2)
    tolerance = (math.expm1(2 * off) + mean_rounding(layer, 3)) * longest_of(tokens[0])
    none = torch.zeros_like(expected)
    return Construction(
        layer,
        tokens,
        tokens,
        torch.stack([none, expected, none]).unsqueeze(0).to(tokens.dtype),
        torch.tensor([[math.inf, tolerance, math.inf]], dtype=torch.float64),
    )


def identity_distance(score: float) -> float:
    """Distance of position 2 from b in units of L, with Q = K = V = I; see `identity_attention`."""
    others = _weight_of_others(score)
    return math.sqrt(2 * others**2 + 2 * (1 - 2 * others) ** 2)


def _weight_of_others(score: float) -> float:
    """`1 / (2 + e^s)` for s of at least 0, without overflow."""
    return math.exp(-score) / (1 + 2 * math.exp(-score))
