"""Attention by construction: weights set by hand, for which the layer provably copies, averages, extracts or
relates.

Every construction sets the weights of this package's own `SoftmaxAttention` (biases zero), and comes with the
tokens it reads, the output that the argument on paper promises, and a tolerance that follows from the argument.
`constructions_relation.py` goes on with three tokens that find each other, `constructions_spread.py` with keys
that vary from draw to draw.

**Layout.** A token is `(key, value)`: its key in the first half of the stream, its value in the second, d numbers
each. A token that asks carries the direction of its query in the first half (with two heads: one direction in each
half). `q_proj` holds the scale t and the square root of the head size by which the layer divides, so that the
score of token i is `t k_i . direction`; `o_proj` writes the values into the second half. The layer is causal by
the mask that it is given and by nothing else: here the mask lets every token read all the others, later ones
included.

**Two bounds carry everything.** V is the length of the longest value, n the number of tokens read.

1. If the score of token j is larger than every other by at least g, then `w_j >= e^g / (e^g + n - 1)`. What is
   left, the *leak*, is at most `(n - 1) / (e^g + n - 1)`, and as the output is a weighted mean of the values, it
   lies at most `2 V leak` away from `v_j`.
2. Weights that depend on a difference x of scores as `1 / (1 + e^-x)` change by at most a quarter of a change in
   x.

**Rounding.** u is the unit roundoff of the precision, and `gamma(m) = m u / (1 - m u)` bounds the relative error
of m rounded operations in a row (Higham 2002, section 3.1). A score is a dot product of the head size plus ten
more operations (weights, scaling and the softmax's subtraction rounded), so it is off by at most
`gamma(size + 10)` times the product of the lengths. A weighted mean of n values is off by `gamma(2 n + 90) V`: a
sum of n exponentials, a sum of n products, and twice 40 u for the exponential, of which the fastest of torch's
kernels promises 20 units in the last place. Inputs are not exactly orthonormal once they are rounded: how far they
are from it is measured in float64, and enters the gap.
"""

import math
from dataclasses import dataclass

import torch

from closedbook.modeling.attention_softmax import SoftmaxAttention
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.token_mixer import as_mask

LARGEST_DEFECT = 1e-3  # inner products further from those of orthonormal vectors are a mistake, not rounding


@dataclass(frozen=True)
class Construction:
    """A layer with weights set by hand, and what it has to give.

    Attributes:
        layer: the attention layer of this package.
        asking: `(1 or B, queries, D)`, the tokens whose outputs are looked at.
        tokens: `(B, n, D)`, the tokens that are read.
        expected: `(1 or B, queries, D)`, the output by the argument on paper.
        tolerance: `(1 or B, queries)`, the largest distance (2-norm) of the output from it, rounding included.
    """

    layer: SoftmaxAttention
    asking: torch.Tensor
    tokens: torch.Tensor
    expected: torch.Tensor
    tolerance: torch.Tensor

    @torch.no_grad()
    def run(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The layer's output `(B, queries, D)` and, from the eager implementation, weights `(B, heads, queries,
        n)`."""
        asking = self.asking.expand(len(self.tokens), -1, -1)
        visible = torch.ones(1, 1, asking.shape[1], self.tokens.shape[1], dtype=torch.bool)
        mask = as_mask(visible, self.layer.config, asking.dtype)
        return self.layer(asking, mask, key_value_states=self.tokens)

    def distance(self) -> torch.Tensor:
        """`(B, queries)`, in float64: how far the layer's output is from the expected one."""
        return (self.run()[0].double() - self.expected.double()).norm(dim=-1)


def orthonormal(num_vectors: int, size: int, generator: torch.Generator, dtype=torch.float64) -> torch.Tensor:
    """`(num_vectors, size)`: rows of length 1 at right angles, uniformly drawn and then rounded to `dtype`.

    Raises:
        ValueError: for more vectors than dimensions.
    """
    if num_vectors > size:
        raise ValueError(f"{num_vectors} vectors cannot all be at right angles in {size} dimensions")
    drawn = torch.randn(size, num_vectors, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q.T.contiguous().to(dtype)


def scale_for_copy(num_tokens: int, epsilon: float, longest_value: float) -> float:
    """The t from which on a copy is off by at most epsilon, rounding aside.

    The leak `(n - 1) / (e^t + n - 1)` must be at most `epsilon / 2 V`, so `e^t >= (n - 1) (2 V / epsilon - 1)`;
    0 where even evenly spread attention is near enough.
    """
    return math.log(max(1.0, (num_tokens - 1) * (2 * longest_value / epsilon - 1)))


def scale_for_average(num_tokens: int, epsilon: float, longest_value: float) -> float:
    """The same for an average of two: there the leak is `(n - 2) / (2 e^t + n - 2)`."""
    return math.log(max(1.0, (num_tokens - 2) / 2 * (2 * longest_value / epsilon - 1)))


def copy_value(
    keys: torch.Tensor, values: torch.Tensor, index: int, scale: float, implementation: str = "eager"
) -> Construction:
    """One head copies one value: the query `t k_j` over orthonormal keys gives `v_j`.

    The score of token j is t, the others' 0: bound 1 with `g = t (1 - 2 defect) - 2 rounding`. The leak falls as
    `e^-t`: with t = 20 and 100 tokens, to 2e-7.

    Args:
        keys: `(n, d)`, orthonormal.
        values: `(n, d)`, any.
        index: j.
        scale: t; `scale_for_copy` says how large.
        implementation: of the attention interface.

    Raises:
        ValueError: if the keys are not orthonormal, or the shapes differ.
    """
    defect, longest = defect_of(keys), longest_of(values)
    layer = key_value_layer(values, 1, scale, implementation)
    gap = scale * (1 - 2 * defect) - 2 * score_rounding(layer, scale, 1 + defect)
    tolerance = (2 * leak(gap, len(keys) - 1) + mean_rounding(layer, len(keys))) * longest
    return _one_question(layer, [keys[index]], (keys, values), values[index], tolerance)


def average_values(
    keys: torch.Tensor, values: torch.Tensor, pair: tuple[int, int], scale: float, implementation: str = "eager"
) -> Construction:
    """One head averages two values: the query `t (k_a + k_b)` gives `(v_a + v_b) / 2`.

    Both scores are t, the others' 0. The two take `2 e^g / (2 e^g + n - 2)` of the weight or more, the rest is
    at most `2 V` from the average, and by bound 2 the two are out of balance by at most a quarter of the
    difference x of their scores, which moves the output by `x / 4 |v_a - v_b|`, at most `x V / 2`. Here
    `x <= 2 (t defect + rounding)`.

    Args and errors as for `copy_value`; `pair`: a and b.
    """
    defect, longest = defect_of(keys), longest_of(values)
    layer = key_value_layer(values, 1, scale, implementation)
    first, second = pair
    asked = keys[first] + keys[second]
    rounding = score_rounding(layer, scale, float(asked.double().norm()) * (1 + defect))
    gap = scale * (1 - 4 * defect) - 2 * rounding
    tolerance = (
        2 * leak(gap, len(keys) - 2, aimed_at=2) + (scale * defect + rounding) + mean_rounding(layer, len(keys))
    ) * longest
    return _one_question(layer, [asked], (keys, values), (values[first] + values[second]) / 2, tolerance)


def average_of_two_heads(
    keys: torch.Tensor, values: torch.Tensor, pair: tuple[int, int], scale: float, implementation: str = "eager"
) -> Construction:
    """Two heads copy a value each, and the output projection averages them: `q_1 = t k_a`, `q_2 = t k_b`.

    Half of the bound of `copy_value` for either head, so the same. Args and errors as there.
    """
    defect, longest = defect_of(keys), longest_of(values)
    layer = key_value_layer(values, 2, scale, implementation)
    first, second = pair
    gap = scale * (1 - 2 * defect) - 2 * score_rounding(layer, scale, 1 + defect)
    tolerance = (2 * leak(gap, len(keys) - 1) + mean_rounding(layer, len(keys))) * longest
    average = (values[first] + values[second]) / 2
    return _one_question(layer, [keys[first], keys[second]], (keys, values), average, tolerance)


def extract_component(
    keys: torch.Tensor,
    values: torch.Tensor,
    pair: tuple[int, int],
    basis: torch.Tensor,
    scale: float,
    implementation: str = "eager",
) -> Construction:
    """The output projection `2 A A^T` takes `v_a` out of the average of `v_a` and `v_b`, exactly.

    The columns of A are an orthonormal basis of a subspace that holds `v_a` and is at right angles to `v_b`: then
    `A A^T v_a = A c = v_a` for `v_a = A c`, and `A A^T v_b = 0`. A projection lengthens nothing, so the tolerance
    is twice that of the average, plus the rounding of the matrix and of the product, at most
    `gamma(2 d + 6) || |A| ||^2` (Frobenius: the number m of columns) times the length of what is projected,
    and the distance of `A A^T (v_a + v_b)` from `v_a` for the vectors as they were rounded, measured in float64.

    Args:
        basis: A, `(d, m)`.

    Args and errors otherwise as for `average_values`; also a ValueError if A's columns are not orthonormal, or if
    their subspace does not hold `v_a` or is not at right angles to `v_b`.
    """
    defect_of(basis.T)
    average = average_values(keys, values, pair, scale, implementation)
    size, rank = basis.shape
    projection = basis.double() @ basis.double().T
    layer = average.layer
    with torch.no_grad():
        layer.o_proj.weight[size:, :size] = 2 * projection
    first, second = (values[place].double() for place in pair)
    longest = longest_of(values)
    rounding = 2 * gamma(2 * size + 6, layer.o_proj.weight.dtype) * rank * longest
    leftover = float((projection @ (first + second) - first).norm())
    if not leftover <= LARGEST_DEFECT * longest:
        raise ValueError(
            f"the subspace must hold v_a and be at right angles to v_b, but what it takes out of v_a + v_b is "
            f"{leftover:.3g} away from v_a"
        )
    norm = float(torch.linalg.matrix_norm(projection, 2))
    tolerance = 2 * norm * average.tolerance + rounding + leftover
    expected = _in_second_half(values[pair[0]])
    return Construction(layer, average.asking, average.tokens, expected, tolerance)


def leak(gap: float | torch.Tensor, num_others: int, aimed_at: int = 1) -> torch.Tensor:
    """The share of the weight that goes to others, at most, where the tokens aimed at lead them by `gap`: bound
    1."""
    ratio = torch.exp(-torch.as_tensor(gap, dtype=torch.float64)) * num_others / aimed_at
    return ratio / (1 + ratio)


def gamma(num_operations: int, dtype: torch.dtype) -> float:
    """Relative error of so many rounded operations in a row, at most."""
    roundoff = torch.finfo(dtype).eps / 2
    return num_operations * roundoff / (1 - num_operations * roundoff)


def score_rounding(layer: SoftmaxAttention, scale: float, lengths: float) -> float:
    """How far a score is off, at most; `lengths`: of direction and longest key, multiplied."""
    return gamma(layer.head_dim + 10, layer.q_proj.weight.dtype) * scale * lengths


def mean_rounding(layer: SoftmaxAttention, num_tokens: int) -> float:
    """How far a weighted mean is off by rounding, at most, as a share of the longest value."""
    return gamma(2 * num_tokens + 90, layer.q_proj.weight.dtype)


def empty_layer(like: torch.Tensor, hidden_size: int, num_heads: int, implementation: str) -> SoftmaxAttention:
    """A layer of zeros in the precision of `like`."""
    config = VanillaGPTConfig(
        hidden_size=hidden_size,
        num_attention_heads=num_heads,
        attention_dropout=0.0,
        attn_implementation=implementation,
    )
    layer = SoftmaxAttention(config, 0, config.max_position_embeddings).to(like.dtype).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


def key_value_layer(values: torch.Tensor, num_heads: int, scale: float, implementation: str) -> SoftmaxAttention:
    """One or two heads over tokens `(key, value)`; see the head of this file for the layout."""
    size = values.shape[-1]
    layer = empty_layer(values, 2 * size, num_heads, implementation)
    eye = torch.eye(size, dtype=torch.float64)  # rounded once, to the precision of the layer
    with torch.no_grad():
        for head in range(num_heads):
            rows = slice(head * layer.head_dim, head * layer.head_dim + size)
            layer.q_proj.weight[rows, head * size : (head + 1) * size] = eye * (scale * layer.head_dim**0.5)
            layer.k_proj.weight[rows, :size] = eye
            layer.v_proj.weight[rows, size:] = eye
            layer.o_proj.weight[size:, rows] = eye / num_heads
    return layer


def _one_question(layer, directions, tokens, value, tolerance) -> Construction:
    keys, values = tokens
    if keys.shape != values.shape:
        raise ValueError(f"keys {tuple(keys.shape)} and values {tuple(values.shape)} must have one shape, (n, d)")
    asking = torch.zeros(2 * len(value), dtype=value.dtype)
    for head, direction in enumerate(directions):
        asking[head * len(value) : (head + 1) * len(value)] = direction
    return Construction(
        layer,
        asking.view(1, 1, -1),
        torch.cat([keys, values], dim=-1).unsqueeze(0),
        _in_second_half(value),
        torch.full((1, 1), tolerance, dtype=torch.float64),
    )


def _in_second_half(value: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(value), value]).view(1, 1, -1)


def longest_of(values: torch.Tensor) -> float:
    return float(values.double().norm(dim=-1).max())


def defect_of(rows: torch.Tensor) -> float:
    """By how much inner products of the rows miss those of orthonormal vectors, at most.

    Raises:
        ValueError: if that is more than rounding explains.
    """
    wide = rows.double()
    defect = float((wide @ wide.T - torch.eye(len(wide), dtype=wide.dtype)).abs().max())
    if not defect <= LARGEST_DEFECT:
        raise ValueError(
            f"the vectors must be orthonormal, but an inner product is off by {defect:.3g}; see orthonormal()"
        )
    return defect
