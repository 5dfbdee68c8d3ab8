"""The constructions of `constructions*.py`, measured against what they promise: rows for tables and figures."""

import math
from dataclasses import dataclass
from itertools import product

import torch

from closedbook.evaluation.attention import constructions as build
from closedbook.evaluation.attention import constructions_relation as relation
from closedbook.evaluation.attention import constructions_spread as spread

IMPLEMENTATIONS = ("eager", "sdpa")
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
PAIR = (1, 5)  # the tokens a and b; any two do


@dataclass(frozen=True)
class Setting:
    """One set of tokens for all measurements.

    Attributes:
        num_tokens, size: n tokens with keys and values of d numbers; at least 6, and n at most d.
        scale: t.
        draws: of the keys.
        seed: of everything that is drawn.
    """

    num_tokens: int = 8
    size: int = 16
    scale: float = 20.0
    draws: int = 1000
    seed: int = 0

    def __post_init__(self):
        if not PAIR[1] < self.num_tokens <= self.size:
            raise ValueError(
                f"num_tokens must lie between {PAIR[1] + 1} and size ({self.size}), got {self.num_tokens}: "
                "the keys are at right angles"
            )
        if self.scale < 0 or self.draws < 2:
            raise ValueError(f"scale must be at least 0 and draws at least 2, got {self.scale} and {self.draws}")

    def vectors(self, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `(n, d)`, both orthonormal, so that shares can be read off the output."""
        keys, values = (
            build.orthonormal(self.num_tokens, self.size, torch.Generator().manual_seed(self.seed + number), dtype)
            for number in range(2)
        )
        return keys, values


def make_constructions(
    setting: Setting, dtype: torch.dtype = torch.float64, implementation: str = "eager"
) -> dict[str, build.Construction]:
    """Every construction of one output, by name."""
    keys, values = setting.vectors(dtype)
    scale = setting.scale
    tokens = relation.relate_tokens(*keys[:4], scale, implementation)
    basis = values[[PAIR[0], 0]].T
    return {
        "copy": build.copy_value(keys, values, PAIR[0], scale, implementation),
        "average, one head": build.average_values(keys, values, PAIR, scale, implementation),
        "average, two heads": build.average_of_two_heads(keys, values, PAIR, scale, implementation),
        "component in a subspace": build.extract_component(keys, values, PAIR, basis, scale, implementation),
        "tokens find each other": tokens,
        "identities": relation.identity_attention(tokens.tokens, 1.0, implementation),
    }


def measure_errors(setting: Setting) -> list[dict]:
    """Every construction, implementation and precision: how far the layer is off, and how far it may be."""
    rows = []
    for (precision, dtype), implementation in product(PRECISIONS.items(), IMPLEMENTATIONS):
        for name, construction in make_constructions(setting, dtype, implementation).items():
            claimed = construction.tolerance.isfinite()
            worst = int((construction.distance() / construction.tolerance).argmax())
            rows.append(
                {
                    "construction": name,
                    "implementation": implementation,
                    "precision": precision,
                    "error": float(construction.distance().flatten()[worst]),
                    "tolerance": float(construction.tolerance.flatten()[worst]),
                    "holds": bool((construction.distance() <= construction.tolerance)[claimed].all()),
                }
            )
    return rows


def measure_scales(setting: Setting, scales: list[float]) -> list[dict]:
    """Copying against t: the error in both precisions, and what the argument allows without rounding."""
    rows = []
    for scale in scales:
        row = {"scale": scale, "bound": float(2 * build.leak(scale, setting.num_tokens - 1))}
        for precision, dtype in PRECISIONS.items():
            keys, values = setting.vectors(dtype)
            construction = build.copy_value(keys, values, PAIR[0], scale)
            row[precision] = float(construction.distance())
            row[f"{precision}_tolerance"] = float(construction.tolerance)
        rows.append(row)
    return rows


def measure_identities(setting: Setting, scores: list[float]) -> list[dict]:
    """Distance of position 2 from b with identities, against the score s of a token with itself; lengths are 1."""
    keys, _ = setting.vectors()
    tokens = relation.relate_tokens(*keys[:4], setting.scale).tokens
    rows = []
    for score in scores:
        output, _ = relation.identity_attention(tokens, score * math.sqrt(setting.size)).run()
        distance = float((output[0, 1] - keys[1]).norm())
        rows.append({"score": score, "distance": distance, "theory": relation.identity_distance(score)})
    return rows


def draw_shares(setting: Setting, norm_variance: float) -> dict[str, torch.Tensor]:
    """Draw the keys: their `lengths` along the mean, and the share of `v_a` with `one` head and with `two`."""
    means, values = setting.vectors()
    generator = torch.Generator().manual_seed(setting.seed + 2)
    keys = spread.draw_keys(means, PAIR[0], setting.draws, generator, norm_variance)
    shares = {
        name: spread.share_of(heads(means, values, PAIR, setting.scale, keys), values, PAIR[0])
        for name, heads in (("one", spread.one_head), ("two", spread.two_heads))
    }
    return {"lengths": keys[:, PAIR[0]] @ means[PAIR[0]], **shares}


def measure_spreads(setting: Setting, norm_variances: list[float]) -> list[dict]:
    """One head against two for every variance of the length: measured and by theory, with standard errors."""
    rows = []
    for norm_variance in norm_variances:
        shares = draw_shares(setting, norm_variance)
        for heads, theory_of in (("one", spread.one_head_spread), ("two", spread.two_heads_spread)):
            theory = theory_of(setting.num_tokens, setting.scale, norm_variance)
            mean_error, std_error = theory.standard_errors(setting.draws)
            rows.append(
                {
                    "norm_variance": norm_variance,
                    "heads": heads,
                    "mean": float(shares[heads].mean()),
                    "std": float(shares[heads].std()),
                    "theory_mean": theory.mean,
                    "theory_std": theory.std,
                    "mean_standard_error": mean_error,
                    "std_standard_error": std_error,
                    "bias_at_most": theory.bias,
                }
            )
    return rows


def constructions_table(errors: list[dict], spreads: list[dict], draws: int) -> str:
    """Both tables in Markdown; an error stands beside the largest that the argument allows."""
    lines = [
        "Distance of the layer's output from what the construction promises, and the largest that the argument",
        "allows (the worst position; `identities` promises the formula, not that position 2 finds b).",
        "",
        "| construction | precision | implementation | error | allowed |",
        "|---|---|---|---|---|",
    ]
    for row in errors:
        what = f"| {row['construction']} | {row['precision']} | {row['implementation']} "
        lines.append(f"{what}| {row['error']:.1e} | {row['tolerance']:.1e} |")
    lines += [
        "",
        f"Share of `v_a` in the output over {draws:,} draws of the key, whose length along its mean has the",
        "variance nu; ± is one standard error of the measurement.",
        "",
        "| nu | heads | mean | by theory | standard deviation | by theory |",
        "|---|---|---|---|---|---|",
    ]
    for row in spreads:
        lines.append(
            f"| {row['norm_variance']:g} | {row['heads']} "
            f"| {row['mean']:.3f} ± {row['mean_standard_error']:.3f} | {row['theory_mean']:.3f} "
            f"| {row['std']:.4f} ± {row['std_standard_error']:.4f} | {row['theory_std']:.4f} |"
        )
    return "\n".join(lines) + "\n"
