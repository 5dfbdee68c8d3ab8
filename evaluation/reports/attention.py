"""Figures about attention, as PNG: weights by construction, one head against two, and what trained heads read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from closedbook.evaluation.attention import constructions_spread as spread
from closedbook.evaluation.attention.maps import SCORES, AskedText, AttentionMap
from closedbook.evaluation.attention.measured import PAIR, Setting, draw_shares, make_constructions
from closedbook.evaluation.figures import new_figure, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = "Blues"
_ONE, _TWO = "tab:orange", "tab:blue"
_HEADS = (  # key in the rows, colour, label, theory
    ("one", _ONE, "one head", spread.one_head_spread),
    ("two", _TWO, "two heads", spread.two_heads_spread),
)
LABELS_AT_MOST = 70  # more characters than that cannot be read at any size that a page has


@styled
def draw_construction_weights(setting: Setting, path: str | Path) -> None:
    """Heat maps of the weights that the constructed layers really compute."""
    made = make_constructions(setting)
    keys = [f"$k_{{{number + 1}}}$" for number in range(setting.num_tokens)]
    a, b = (keys[place].strip("$") for place in PAIR)
    tokens = ["$x_1=d+b$", "$x_2=a$", "$x_3=c+b$"]
    panels = [
        (
            "copy",
            f"Copy: $q = t\\,{a}$ puts all weight on one\ntoken: its value is the output",
            [f"$t\\,{a}$"],
            keys,
        ),
        (
            "average, one head",
            f"Average: $q = t\\,({a} + {b})$ splits\nthe weight between two tokens",
            [f"$t\\,({a}+{b})$"],
            keys,
        ),
        (
            "average, two heads",
            "Average by two heads: one copies each,\n$W_O$ takes the mean",
            [f"head 1: $t\\,{a}$", f"head 2: $t\\,{b}$"],
            keys,
        ),
        (
            "tokens find each other",
            "Chosen $W_Q, W_K, W_V$: position 1 reads $x_3$, gives $b-c$;\nposition 2 reads $x_1$, gives $b$",
            tokens,
            tokens,
        ),
        (
            "identities",
            "$W_Q = W_K = W_V = I$: position 2 reads itself most,\nand stays 2/3 of a length or more from $b$",
            tokens,
            tokens,
        ),
    ]
    picture = new_figure(13, 5.4)
    grid = picture.add_gridspec(2, 6)
    places = [grid[0, :2], grid[0, 2:4], grid[0, 4:], grid[1, :3], grid[1, 3:]]
    for (name, title, rows, columns), place in zip(panels, places, strict=True):
        axes = picture.add_subplot(place)
        weights = made[name].run()[1][0].flatten(0, 1)
        image = _heat_map(axes, weights.numpy(), rows, columns)
        for row, column in np.ndindex(*weights.shape):
            weight = float(weights[row, column])
            if weight >= 0.005:
                axes.text(
                    column,
                    row,
                    f"{weight:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if weight > 0.6 else "black",
                )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("token that is read")
        axes.set_ylabel("asks")
    picture.colorbar(image, ax=picture.axes, label="attention weight", shrink=0.8)
    picture.suptitle(
        f"Weights set by hand, computed by the package's own layer ($t$ = {setting.scale:g}, every token visible)"
    )
    save_figure(picture, path)


@styled
def draw_heads(setting: Setting, norm_variance: float, spreads: Sequence[dict], path: str | Path) -> None:
    """Draws of the key: the share of `v_a` against the key's length, how it is distributed, its spread."""
    shares = draw_shares(setting, norm_variance)
    picture = new_figure(14, 4.8)
    left, middle, right = picture.subplots(1, 3)
    _draw_draws(left, setting, shares)
    _draw_distribution(middle, setting, norm_variance, shares)
    _draw_spreads(right, setting, spreads)
    picture.suptitle(
        f"When the length of one key varies, a single head swings between $v_a$ and $v_b$; two heads stay put, "
        f"except where that key points away ($t$ = {setting.scale:g}, {setting.num_tokens} tokens, "
        f"{setting.draws:,} draws)"
    )
    save_figure(picture, path)


def _draw_draws(axes: Axes, setting: Setting, shares: dict) -> None:
    lengths = shares["lengths"].numpy()
    line = np.linspace(lengths.min(), lengths.max(), 600)
    scale, others = setting.scale, setting.num_tokens - 1
    curves = {
        "one": _sigmoid(scale * (line - 1)),
        "two": (_sigmoid(scale * line - np.log(others)) + 1 / (np.exp(scale) + others)) / 2,
    }
    for name, colour, label, _ in _HEADS:
        axes.plot(line, curves[name], color=colour, linewidth=1, label=label)
        axes.plot(lengths, shares[name].numpy(), ".", color=colour, alpha=0.35, markersize=5)
    axes.axvline(0, color="gray", linewidth=0.8, linestyle=":")
    axes.text(-0.06, 0.97, "key points away", ha="right", va="top", fontsize=8, color="gray")
    axes.set_xlabel(r"length of $k_a$ along its mean $\mu_a$ in a draw")
    axes.set_ylabel("share of $v_a$ in the output")
    axes.set_title(
        "Every draw (dot) lies on the curve of theory (line):\none head turns over where both keys are as long",
        fontsize=10,
    )
    axes.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.8))


def _draw_distribution(axes: Axes, setting: Setting, norm_variance: float, shares: dict) -> None:
    bins = np.linspace(-0.0125, 1.0125, 42)  # centred on 0, 1/2 and 1
    for place, (name, colour, label, theory_of) in enumerate(_HEADS):
        theory = theory_of(setting.num_tokens, setting.scale, norm_variance)
        measured = f"{float(shares[name].mean()):.3f} ± {float(shares[name].std()):.3f}"
        axes.hist(shares[name].numpy(), bins=bins, color=colour, alpha=0.6, label=f"{label}: measured {measured}")
        height = setting.draws * (1 + 0.07 * place)
        axes.errorbar(
            theory.mean, height, xerr=theory.std, fmt="D", color=colour, markeredgecolor="black", capsize=5,
            markersize=5, label=f"{label}: theory {theory.mean:.3f} ± {theory.std:.3f}",
        )  # fmt: skip
    axes.set_ylim(0, setting.draws * 1.5)  # room for the theory and the legend above
    axes.set_yticks(np.linspace(0, setting.draws, 6))
    axes.set_xlabel("share of $v_a$ in the output")
    axes.set_ylabel(f"draws of {setting.draws:,}")
    axes.set_title("All or nothing with one head, one half with two\n(mean ± standard deviation)", fontsize=10)
    axes.legend(fontsize=8, loc="upper center")


def _draw_spreads(axes: Axes, setting: Setting, spreads: Sequence[dict]) -> None:
    variances = np.geomspace(
        min(row["norm_variance"] for row in spreads), max(row["norm_variance"] for row in spreads), 60
    )
    for name, colour, label, theory_of in _HEADS:
        theory = [theory_of(setting.num_tokens, setting.scale, float(variance)).std for variance in variances]
        axes.plot(variances, theory, color=colour, label=f"{label}: theory")
        own = [row for row in spreads if row["heads"] == name]
        axes.errorbar(
            [row["norm_variance"] for row in own], [row["std"] for row in own],
            [2 * row["std_standard_error"] for row in own],
            fmt="o", color=colour, markersize=4, capsize=3, label=f"{label}: measured, ± 2 standard errors",
        )  # fmt: skip
    axes.axvline(spread.EXERCISE_VARIANCE, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel(r"$\nu$: variance of the length of $k_a$")
    axes.set_ylabel("standard deviation of the share of $v_a$")
    axes.set_title(
        "Two heads have next to no spread, until the key\nmay point away (dotted: $\\nu$ = 1/2, 7.9% of draws)",
        fontsize=10,
    )
    axes.legend(fontsize=8)


@styled
def draw_scales(setting: Setting, scales: Sequence[dict], identities: Sequence[dict], path: str | Path) -> None:
    """The error of a copy against t, and the distance that identities keep."""
    picture = new_figure(11, 4.8)
    left, right = picture.subplots(1, 2)
    places = [row["scale"] for row in scales]
    first = next((row["scale"] for row in scales if row["float32"] == 0), None)
    exact = "" if first is None else f" (error 0 from $t$ = {first:g} on)"
    left.plot(
        places,
        [row["bound"] for row in scales],
        color="black",
        linewidth=1,
        label=r"bound: $2\,(n-1)\,/\,(e^t+n-1)$",
    )
    left.plot(
        places,
        [row["float32_tolerance"] for row in scales],
        color=_ONE,
        linewidth=1,
        linestyle="--",
        label="bound with float32 rounding",
    )
    left.plot(
        places, [row["float32"] for row in scales], "o", color=_ONE, markersize=4, label=f"layer in float32{exact}"
    )
    left.plot(places, [row["float64"] for row in scales], ".", color=_TWO, markersize=5, label="layer in float64")
    left.set_yscale("log")
    left.set_xlabel("scale $t$ of the query")
    left.set_ylabel(r"distance of the output from $v_a$ (longest value: 1)")
    left.set_title(
        f"The error of a copy falls as $e^{{-t}}$, and stays\nbelow the bound ({setting.num_tokens} tokens)",
        fontsize=10,
    )
    left.legend(fontsize=8)
    scores = [row["score"] for row in identities]
    right.plot(
        scores,
        [row["theory"] for row in identities],
        color="black",
        linewidth=1,
        label=r"theory: $\sqrt{2x^2+2(1-2x)^2},\ x=1/(2+e^s)$",
    )
    right.plot(scores, [row["distance"] for row in identities], "o", color=_TWO, markersize=4, label="layer")
    right.axhline(2 / 3, color="gray", linestyle="--", linewidth=1, label="bound for identities: 2/3")
    right.axhline(
        0.4**0.5,
        color="gray",
        linestyle=":",
        linewidth=1,
        label=r"bound for $W_V = I$ and any weights: $\sqrt{0.4}$ = 0.632",
    )
    right.set_ylim(0, 1.5)
    right.set_xlabel("score $s$ of a token with itself (larger scale: larger $s$)")
    right.set_ylabel("distance of position 2's output from $b$, in lengths of $b$")
    right.set_title(
        "With $W_Q = W_K = W_V = I$ position 2 never gets near $b$,\nand a larger scale makes it worse",
        fontsize=10,
    )
    right.legend(fontsize=8, loc="lower right")
    save_figure(picture, path)


def check_readable(asked: AskedText) -> None:
    """Refuse a text that no picture could hold.

    Raises:
        ValueError: if it has more than `LABELS_AT_MOST` characters.
    """
    if len(asked.text) > LABELS_AT_MOST:
        raise ValueError(
            f"a picture holds at most {LABELS_AT_MOST} characters that can still be read, but the text, with its "
            f"answer if it has one, has {len(asked.text)}: {asked.text!r}"
        )


@styled
def draw_maps(
    maps: Sequence[AttentionMap], asked: AskedText, scores: Sequence[dict], title: str, path: str | Path
) -> None:
    """All heads as small multiples, a layer a row; name and answer framed, a head's scores in its title.

    Raises:
        ValueError: for a text with too many characters to label.
    """
    check_readable(asked)
    num_heads = max(len(item.weights) for item in maps)
    over_text = all(item.over_tokens for item in maps)
    side = max(2.6, 0.085 * max(len(item.key_labels) for item in maps))
    picture = new_figure(1.2 + side * num_heads, 1 + (side + 0.35) * len(maps))
    grid = picture.subplots(len(maps), num_heads, squeeze=False)
    by_head = {(row["layer"], row["head"]): row for row in scores}
    for item, row in zip(maps, grid, strict=True):
        for head, (axes, weights) in enumerate(zip(row, item.weights, strict=True), start=1):
            image = _heat_map(axes, weights.numpy(), item.query_labels, item.key_labels, 5.5)
            axes.set_title(f"{item.name}, head {head}\n{_scores_line(by_head.get((item.name, head)))}", fontsize=8)
            if item.over_tokens and asked.name is not None:
                _frame(axes, asked)
        row[0].set_ylabel("at this character" if over_text else "asks (L: a latent)", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("reads this character" if over_text else "is read (L: a latent)", fontsize=8)
    picture.colorbar(image, ax=grid, label="attention weight", shrink=0.6, pad=0.01)
    picture.suptitle(title)
    save_figure(picture, path)


def _scores_line(row: dict | None) -> str:
    if row is None:
        return ""
    short = {"previous_character": "previous", "induction": "induction", "name_to_answer": "name"}
    return ", ".join(f"{short[name]} {row[name]['score']:.2f}" for name in SCORES if row[name] is not None)


def _frame(axes: Axes, asked: AskedText) -> None:
    """Where the positions that produce the answer read the name."""
    from matplotlib.patches import Rectangle

    first, stop = asked.name
    height = len(asked.text) - asked.answer
    axes.add_patch(
        Rectangle((first - 0.5, asked.answer - 0.5), stop - first, height, fill=False, edgecolor="tab:red")
    )


def _heat_map(axes: Axes, weights, rows: Sequence[str], columns: Sequence[str], fontsize: float = 9):
    image = axes.imshow(weights, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), [_shown(label) for label in columns], fontsize=fontsize)
    axes.set_yticks(range(len(rows)), [_shown(label) for label in rows], fontsize=fontsize)
    axes.tick_params(length=0, pad=1)
    axes.grid(visible=False)  # would cross the cells
    return image


def _shown(label: str) -> str:
    """A label as short as a tick: a visible space, and L3 for latent 3."""
    if label.startswith("latent "):
        return f"L{label.split()[1]}"
    return "␣" if label == " " else label


def _sigmoid(numbers: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-numbers))
