"""How sure a model is of its answers, by six names, from one pass over shared prefixes (`decoding.py`).

* `sequence_probability`: the model's probability of the whole greedy answer, end mark included.
* `length_normalised`: the geometric mean of its tokens' probabilities, which does not fall with length alone
  (Malinin and Gales 2021, arXiv:2002.07650).
* `agreement`: the share of samples that say the same as the greedy answer (Wang et al. 2023, arXiv:2203.11171;
  for calibration: Si et al. 2023, arXiv:2210.09150). It estimates the probability of the answer in all its
  wordings, in steps of 1 / num_samples.
* `margin`: how much more probable the greedy answer is than the most probable other one that beam search found,
  in all the wordings found; 0 where another one is more probable.
* `token_entropy`: exp(-H), where H is the mean entropy of the model's choice of each token of the greedy answer: 1
  where it never hesitates, 1 / k where it wavers among k equal ones (Malinin and Gales 2021; the strongest of the
  simple baselines in Vashurin et al. 2025, arXiv:2406.15627).
* `semantic_entropy`: 1 - H / ln(num_samples), where H is the entropy of what the samples say (Kuhn et al. 2023,
  arXiv:2302.09664, by counting, as Farquhar et al. 2024, doi:10.1038/s41586-024-07421-0).

"The same" means equal after `answer_match.normalize`: letter case, white space, punctuation and English articles
aside. Two such wordings are one answer, so their probabilities add up. (Kuhn et al. 2023, arXiv:2302.09664, merge
paraphrases with a second language model; answers here are names, of which spelling is what varies.)

Randomness: sample s of a question takes its numbers from a generator seeded by (seed, question text), one a
step. So samples do not depend on the batch, on the order of questions, on other questions, or on any generator
of the process, and the same question asked twice gets the same samples.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.answers import Answer, Candidate, ScoredAnswer
from closedbook.evaluation.answering.batches import answer_text, prompt_batches, ready_for_decoding
from closedbook.evaluation.answering.decoding import Decoded, Hypothesis, decode
from closedbook.evaluation.metrics.answer_match.normalisation import normalize

CONFIDENCES = (
    *("sequence_probability", "length_normalised", "agreement", "margin"),
    *("token_entropy", "semantic_entropy"),
)
OF_SAMPLES = ("agreement", "semantic_entropy")  # those that take more than one sample to say anything


def answer_with_confidence(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: list[str],
    *,
    num_samples: int = 8,
    num_beams: int = 4,
    seed: int = 0,
    batch_size: int = 32,
    max_new_tokens: int = 32,
    progress: bool = True,
    use_cache: bool = True,
    end_token: str | None = None,
) -> list[ScoredAnswer]:
    """Answer every question greedily and say how sure the model is; the same whatever the batch size and order.

    Args:
        model: A causal language model. It is put into evaluation mode and given back as it was.
        tokenizer: Its tokenizer, as `answer_questions` needs it.
        questions: The questions, without the mask token that ends a prompt.
        num_samples: Samples a question. With 8 the agreement moves in steps of 0.125, and its standard error is
            at most 0.18; more cost time in proportion to how much they differ.
        num_beams: Beams a question. 4 nearly always hold the second most probable answer, which is all that the
            margin needs.
        seed: Seeds the samples.
        batch_size: Questions decoded at once, each of which takes up to 1 + num_samples + num_beams rows. With 32
            the rows' keys and values are copied at little cost on a processor; a GPU takes more.
        max_new_tokens, progress, use_cache, end_token: As for `answer_questions`.

    Returns:
        One `ScoredAnswer` a question, in the order of `questions`.

    Raises:
        ValueError: As `answer_questions`; or if `num_samples` or `num_beams` is below 1.
    """
    if num_samples < 1 or num_beams < 1:
        raise ValueError(f"num_samples and num_beams must be at least 1, but are {num_samples} and {num_beams}.")
    ends, batches = prompt_batches(model, tokenizer, questions, batch_size, max_new_tokens, end_token)
    scored: dict[int, ScoredAnswer] = {}
    with ready_for_decoding(model), tqdm(total=len(questions), unit="question", disable=not progress) as bar:
        for batch in batches:
            numbers = [_uniforms(seed, questions[row], batch.budget, num_samples) for row in batch.rows]
            decoded = decode(model, batch, ends, torch.from_numpy(np.stack(numbers)), num_beams, use_cache)
            for row, found in zip(batch.rows, decoded, strict=True):
                scored[row] = _score(found, tokenizer, ends, end_token)
            bar.update(len(batch.rows))
    return [scored[row] for row in range(len(questions))]


def _uniforms(seed: int, question: str, num_steps: int, num_samples: int) -> np.ndarray:
    """`(steps, samples)` numbers in [0, 1); steps first, so that more room for an answer keeps its beginning."""
    digest = hashlib.sha256(f"{seed}\n{question}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest)).random((num_steps, num_samples))


def _score(
    found: Decoded, tokenizer: PreTrainedTokenizerBase, ends: list[int], end_token: str | None
) -> ScoredAnswer:
    def text(hypothesis: Hypothesis) -> str:
        return answer_text(tokenizer, list(hypothesis.tokens), ends, end_token)

    greedy = found.greedy
    assert greedy is not None and greedy.mean_entropy is not None, "decoding was asked for it"
    answer = Answer(text(greedy), greedy.log_probability, greedy.complete)
    samples = tuple(map(text, found.samples))
    # the greedy answer need not be among the beams, and must not count twice if it is
    others = [h for h in found.beams if h.tokens != greedy.tokens]
    candidates = merge_candidates((text(h), h.log_probability) for h in [greedy, *others])
    return ScoredAnswer(
        answer=answer,
        confidences={
            "sequence_probability": answer.confidence,
            "length_normalised": math.exp(greedy.log_probability / len(greedy.tokens)),
            "agreement": agreement(answer.text, samples),
            "margin": margin(answer.text, candidates),
            "token_entropy": math.exp(-max(0.0, greedy.mean_entropy)),
            "semantic_entropy": concord(samples),
        },
        candidates=candidates,
        samples=samples,
    )


def merge_candidates(scored_texts: Iterable[tuple[str, float]]) -> tuple[Candidate, ...]:
    """Merge the wordings of each answer: probabilities add up, and the most probable wording stands for it.

    Args:
        scored_texts: Texts with natural logarithms of their probabilities, which belong to events that exclude
            each other (different sequences of tokens, none of them the beginning of another).

    Returns:
        The distinct answers, the most probable first; of equals, the one first in the alphabet.
    """
    wordings: dict[str, list[tuple[str, float]]] = {}
    for text, log_probability in scored_texts:
        wordings.setdefault(normalize(text), []).append((text, log_probability))
    merged = [
        Candidate(
            text=min(group, key=lambda wording: (-wording[1], wording[0]))[0],
            # rounding may lift a certain answer above certainty
            log_probability=min(0.0, float(np.logaddexp.reduce([score for _, score in group]))),
        )
        for group in wordings.values()
    ]
    return tuple(sorted(merged, key=lambda candidate: (-candidate.log_probability, candidate.text)))


def agreement(text: str, samples: tuple[str, ...]) -> float:
    """Share of the samples that say the same as `text`."""
    wanted = normalize(text)
    return sum(normalize(sample) == wanted for sample in samples) / len(samples)


def concord(samples: tuple[str, ...]) -> float:
    """1 - the entropy of what samples say, as a share of the largest: 1 where all agree, 0 where no two do."""
    if len(samples) == 1:
        return 1.0
    counts = Counter(map(normalize, samples)).values()
    entropy = -sum(count / len(samples) * math.log(count / len(samples)) for count in counts)
    return min(1.0, max(0.0, 1 - entropy / math.log(len(samples))))


def margin(text: str, candidates: tuple[Candidate, ...]) -> float:
    """Probability of `text`, one of the candidates, minus that of the most probable other one; 0 if negative."""
    wanted = normalize(text)
    own = sum(math.exp(c.log_probability) for c in candidates if normalize(c.text) == wanted)
    other = max((math.exp(c.log_probability) for c in candidates if normalize(c.text) != wanted), default=0.0)
    return max(0.0, own - other)
