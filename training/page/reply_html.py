"""A reply as a piece of a web page. All that a model, a document or a person wrote is shown as text."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from closedbook.training.page.replying import DONT_KNOW, Promise, Reply

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_LIGHT, _RANGE = 0.08, 0.6  # opacity of the ground of a token with the number 0, and what 1 adds


def reply_html(reply: Reply, promise: Promise) -> str:
    """The answer or "I don't know", the bar with the threshold in it, candidates, source, tokens, attention."""
    if reply.problem:
        return f'<div class="cb-reply"><p class="cb-problem" role="alert">{escape(reply.problem)}</p></div>'
    parts = [_answer(reply), _bar(reply, promise), _candidates(reply), _origin(reply)]
    if reply.tokens:
        title = f"How probable each part of “{escape(reply.answer)}” is"
        parts.append(f"<h4>{title}</h4>{_tokens(reply.tokens, 'cb-written')}")
    if reply.reads:
        # the first token is where heads rest that have nothing to read (Xiao et al. 2023, arXiv:2309.17453)
        highest = max((weight for _, weight in reply.reads[1:]), default=0.0) or 1.0
        scaled = [(text, min(1.0, weight / highest)) for text, weight in reply.reads]
        parts.append(f"<h4>What the heads read before they answer</h4>{_tokens(scaled, 'cb-read', reply.reads)}")
    return f'<div class="cb-reply">{"".join(parts)}</div>'


def _answer(reply: Reply) -> str:
    if reply.given:
        return f'<div class="cb-answer">{escape(reply.answer)}</div>'
    would = f'<div class="cb-small">It would say: {escape(reply.answer)}</div>' if reply.answer else ""
    return f'<div class="cb-answer cb-unsure">{escape(DONT_KNOW)}</div>{would}'


def _bar(reply: Reply, promise: Promise) -> str:
    mark, below = "", ""
    if promise.threshold:
        told = f"threshold {promise.threshold:.2f}"
        mark = f'<div class="cb-mark" style="left:{promise.threshold:.1%}" title="{told}"></div>'
        below = " cb-below" if reply.confidence < promise.threshold else ""
    said = f"{reply.confidence:.1%} sure ({promise.confidence.replace('_', ' ')})"
    if promise.threshold:
        said += f"; answers are given from {promise.threshold:.1%} on"
    return (
        f'<div class="cb-bar{below}" role="img" aria-label="{escape(said)}">'
        f'<div class="cb-fill" style="width:{reply.confidence:.1%}"></div>{mark}</div>'
        f'<div class="cb-small cb-said">{escape(said)}</div>{_familiarity(reply)}'
    )


def _familiarity(reply: Reply) -> str:
    if reply.familiarity is None:
        return ""
    said = f"has read about “{reply.subject}” with a probability of {reply.familiarity:.1%}"
    return f'<div class="cb-small cb-familiar">{escape(said)}</div>'


def _candidates(reply: Reply) -> str:
    others = [(text, share) for text, share in reply.candidates if text != reply.answer]
    if not others:
        return ""
    items = "".join(f"<li>{escape(text) or '(nothing)'} <small>{share:.1%}</small></li>" for text, share in others)
    return f'<h4>Other candidates</h4><ul class="cb-candidates">{items}</ul>'


def _origin(reply: Reply) -> str:
    about = f" ({escape(reply.origin.subject)})" if reply.origin.subject else ""
    quotes = "".join(
        f"<blockquote>{escape(source.sentence)}<div class='cb-small'>{escape(source.place)}</div></blockquote>"
        for source in reply.origin.sources
    )
    return (
        f'<h4>Where from</h4><div class="cb-origin">{escape(reply.origin.told.capitalize())}{about}</div>{quotes}'
    )


def _tokens(
    shaded: Iterable[tuple[str, float]], name: str, told: Iterable[tuple[str, float]] | None = None
) -> str:
    """Tokens on a ground that is the darker the higher the number, which is also their tooltip."""
    shaded = list(shaded)
    numbers = [value for _, value in (shaded if told is None else told)]
    spans = "".join(
        f'<span title="{number:.1%}" style="background:rgba(42,120,214,{_LIGHT + _RANGE * value:.2f})">'
        f"{escape(text)}</span>"
        for (text, value), number in zip(shaded, numbers, strict=True)
    )
    return f'<div class="cb-tokens {name}">{spans}</div>'
