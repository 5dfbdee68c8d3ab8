"""The greedy answer, samples and beams of every question of a batch, in one pass over shared prefixes.

A causal model's next token depends on the prefix alone. So all answers in the making of one question - greedy,
samples, beams - are pointers into one set of *distinct* prefixes, of which the model reads each once: where
samples agree with each other or with a beam, they cost nothing extra. The prompt is read once; its cache is
repeated and reordered as the prefixes branch, and what has ended leaves the batch.

Every answer of a question depends on its prompt and its own random numbers only, never on its batch mates.
"""

import inspect
import math
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from closedbook.evaluation.answering import PromptBatch


@dataclass(frozen=True)
class Hypothesis:
    """One answer, written to its end or cut off where the room was used up.

    Attributes:
        tokens: Its token ids, at least one; the last of them is the end mark if it is complete.
        log_probability: Natural logarithm of the model's probability of the tokens.
        complete: Whether it ended with the end mark.
    """

    tokens: tuple[int, ...]
    log_probability: float
    complete: bool


@dataclass
class Decoded:
    """What one question was answered: the greedy answer, the samples in their order, the beams best first."""

    greedy: Hypothesis
    samples: list[Hypothesis]
    beams: list[Hypothesis]


class _PrefixReader:
    """Reads R distinct prefixes, one a row, and goes on from them.

    Attributes:
        tokens: `(R, t)`, the new tokens of each prefix so far.
    """

    def __init__(self, model: PreTrainedModel, batch: PromptBatch, use_cache: bool):
        self._model, self._use_cache = model, use_cache
        self._prompts, self._mask = batch.input_ids, batch.attention_mask
        self._accepted = inspect.signature(model.forward).parameters
        self._cache = None
        self.tokens = batch.input_ids[:, :0]

    def start(self) -> torch.Tensor:
        """Log-probabilities of the first token after each prompt, `(B, V)`."""
        return self._read(self._prompts)

    def advance(self, parents: torch.Tensor, next_tokens: torch.Tensor) -> torch.Tensor:
        """Go on with the prefixes `parents` `(R,)`, each followed by its token; `(R, V)` log-probabilities."""
        # copying the cache is a large part of a step's time, so not where rows stay as they are
        if len(parents) != len(self.tokens) or not torch.equal(parents, torch.arange(len(parents)).to(parents)):
            self._prompts, self._mask, self.tokens = (
                rows.index_select(0, parents) for rows in (self._prompts, self._mask, self.tokens)
            )
            if self._cache is not None:
                self._cache.reorder_cache(parents)
        next_tokens = next_tokens.unsqueeze(1)
        self.tokens = torch.cat([self.tokens, next_tokens], dim=1)
        self._mask = torch.cat([self._mask, torch.ones_like(next_tokens)], dim=1)
        return self._read(next_tokens if self._use_cache else torch.cat([self._prompts, self.tokens], dim=1))

    def _read(self, input_ids: torch.Tensor) -> torch.Tensor:
        arguments = {"input_ids": input_ids, "attention_mask": self._mask, "use_cache": self._use_cache}
        if "position_ids" in self._accepted:  # some models count by themselves
            positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
            arguments["position_ids"] = positions[:, -input_ids.shape[1] :]
        if "logits_to_keep" in self._accepted:
            arguments["logits_to_keep"] = 1
        if self._cache is not None:
            arguments["past_key_values"] = self._cache
        outputs = self._model(**arguments)
        if self._use_cache:
            self._cache = getattr(outputs, "past_key_values", None)
            if self._cache is None:
                raise ValueError(
                    f"{type(self._model).__name__} returned no key-value cache; pass use_cache=False to read the "
                    "whole text again at every step."
                )
        return outputs.logits[:, -1].float().log_softmax(-1)


def decode(
    model: PreTrainedModel,
    batch: PromptBatch,
    ends: list[int],
    uniforms: torch.Tensor,
    num_beams: int,
    use_cache: bool = True,
) -> list[Decoded]:
    """Decode B prompts: greedily, by sampling, and by beam search.

    Samples are drawn from the model's own distribution (temperature 1, the whole vocabulary): at each step the
    token whose stretch of the cumulative probabilities holds the sample's number. Beam search is the canonical
    one, which looks for the most probable whole answers: `generate` with `length_penalty=0`.

    Args:
        batch: The prompts.
        ends: Ids of the tokens that end an answer, each by itself.
        uniforms: `(B, T, S)`, float64 in [0, 1): a number for each question, step and sample; T is at least the
            batch's budget.
        num_beams: K, number of beams, at least 1.
        use_cache: Whether the model keeps keys and values; without, every step reads the whole text again.

    Raises:
        ValueError: If a cache is asked for and the model has none.
    """
    num_samples = uniforms.shape[2]
    end_marks = torch.tensor(ends, device=batch.input_ids.device)
    reader = _PrefixReader(model, batch, use_cache)
    chains = _Chains(batch, end_marks, uniforms)
    beams = _Beams(batch, end_marks, num_beams)
    log_probabilities = reader.start()
    for step in range(batch.budget):
        last = step == batch.budget - 1
        vocabulary = log_probabilities.shape[1]
        # a child's key tells its prefix, because parents are distinct
        keys = torch.cat(
            [
                chains.step(step, last, log_probabilities, reader.tokens),
                beams.step(last, log_probabilities, reader.tokens),
            ]
        )
        if not len(keys):
            break
        children, rows = torch.unique(keys, return_inverse=True)
        chains.rows, beams.rows = rows[: len(chains.rows)], rows[len(chains.rows) :]
        log_probabilities = reader.advance(children // vocabulary, children % vocabulary)
    return [
        Decoded(found[0], found[1:], sorted(kept, key=lambda hypothesis: -hypothesis.log_probability))
        for found, kept in zip(chains.found(num_samples), beams.finished, strict=True)
    ]


class _Chains:
    """Answers that grow by one token a step: the greedy one (number 0) and the samples of each question.

    Attributes, of those not ended: `question`, `number`, `rows` (which prefix they stand at), `scores`.
    """

    def __init__(self, batch: PromptBatch, ends: torch.Tensor, uniforms: torch.Tensor):
        device = batch.input_ids.device
        num_chains = 1 + uniforms.shape[2]
        self.question = torch.arange(len(batch.rows), device=device).repeat_interleave(num_chains)
        self.number = torch.arange(num_chains, device=device).repeat(len(batch.rows))
        self.rows = self.question
        self.scores = torch.zeros(len(self.question), dtype=torch.float64, device=device)
        # the greedy chain has a column too, so that numbers are places
        self._uniforms = torch.nn.functional.pad(uniforms, (1, 0)).to(device)
        self._ends = ends
        self._found: dict[tuple[int, int], Hypothesis] = {}

    def step(self, step: int, last: bool, log_probabilities: torch.Tensor, prefixes: torch.Tensor) -> torch.Tensor:
        """Choose each chain's next token, note what ends; `(chains that go on,)` keys of their prefixes."""
        vocabulary = log_probabilities.shape[1]
        first = self.rows * vocabulary
        # all rows in one sorted line: row r takes up (r, r + 1], so that one search serves all chains
        line = log_probabilities.double().exp().cumsum(-1)
        line = line / line[:, -1:] + torch.arange(len(line), device=line.device).unsqueeze(1)
        wanted = self.rows + self._uniforms[self.question, step, self.number]
        drawn = torch.searchsorted(line.flatten(), wanted, right=True)
        drawn = torch.minimum(drawn, first + vocabulary - 1)  # a number next to 1 is rounded up to it
        keys = torch.where(self.number == 0, first + log_probabilities.argmax(-1)[self.rows], drawn)
        self.scores = self.scores + log_probabilities.flatten()[keys]
        ends = torch.isin(keys % vocabulary, self._ends)
        over = torch.ones_like(ends) if last else ends
        for question, number, score, complete, token, prefix in zip(
            *(
                values[over].tolist()
                for values in (self.question, self.number, self.scores, ends, keys % vocabulary)
            ),
            prefixes[self.rows[over]].tolist(),
            strict=True,
        ):
            self._found[question, number] = Hypothesis((*prefix, token), score, complete)
        going_on = ~over
        self.question, self.number, self.rows, self.scores = (
            values[going_on] for values in (self.question, self.number, self.rows, self.scores)
        )
        return keys[going_on]

    def found(self, num_samples: int) -> list[list[Hypothesis]]:
        """The greedy answer and the samples of each question, once all have ended."""
        num_questions = len(self._uniforms)
        return [[self._found[q, number] for number in range(num_samples + 1)] for q in range(num_questions)]


class _Beams:
    """Beam search of each question, K beams.

    Of the best K children of all beams at each step, those that end are finished. The best K of the children that
    do not end go on, as long as they can still be better than the worst of K finished ones: a probability only
    falls as an answer grows.

    Attributes:
        finished: Of each question the best K answers so far.
        rows: Which prefix each beam in the search stands at, question after question.
    """

    def __init__(self, batch: PromptBatch, ends: torch.Tensor, num_beams: int):
        device = batch.input_ids.device
        self._num_beams, self._ends = num_beams, ends
        self.finished: list[list[Hypothesis]] = [[] for _ in batch.rows]
        self.rows = torch.arange(len(batch.rows), device=device)
        # (questions still searched, K); -inf where there is no beam
        self._questions = torch.arange(len(batch.rows), device=device)
        self._scores = torch.full((len(batch.rows), num_beams), -math.inf, dtype=torch.float64, device=device)
        self._scores[:, 0] = 0

    def step(self, last: bool, log_probabilities: torch.Tensor, prefixes: torch.Tensor) -> torch.Tensor:
        """Extend the beams by a token, note what ends; `(beams that go on,)` keys of their prefixes."""
        if not len(self._questions):
            return self.rows
        vocabulary = log_probabilities.shape[1]
        scores, keys = self._best_children(log_probabilities)
        ends = torch.isin(keys % vocabulary, self._ends)
        over = (ends | last) & (scores > -math.inf)
        worst = self._note(over, ends, scores, keys, vocabulary, prefixes)

        # looked for by themselves, because a beam has as many children that end as there are end marks
        scores, keys = self._best_children(log_probabilities.index_fill(1, self._ends, -math.inf))
        scores = torch.where((scores > worst.unsqueeze(1)) & (not last), scores, -math.inf)
        searched = scores[:, 0] > -math.inf
        self._questions, self._scores = self._questions[searched], scores[searched]
        keys = keys[searched][self._scores > -math.inf]
        self.rows = keys // vocabulary  # as many as there are beams; the caller says where they stand
        return keys

    def _best_children(self, log_probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each question the best K children of its beams: scores, falling, and keys, `(questions, K)` each."""
        vocabulary = log_probabilities.shape[1]
        beam_rows = torch.zeros_like(self._scores, dtype=torch.long)
        beam_rows[self._scores > -math.inf] = self.rows
        best, tokens = log_probabilities.topk(min(self._num_beams, vocabulary))
        scores, place = (self._scores.unsqueeze(-1) + best[beam_rows]).flatten(1).topk(self._num_beams)
        return scores, (beam_rows.unsqueeze(-1) * vocabulary + tokens[beam_rows]).flatten(1).gather(1, place)

    def _note(self, over, ends, scores, keys, vocabulary: int, prefixes: torch.Tensor) -> torch.Tensor:
        """Keep the best finished answers; the score that another one has to be above, `(questions,)`."""
        numbers = self._questions.tolist()
        ended = keys[over]
        for place, score, complete, token, prefix in zip(
            over.nonzero()[:, 0].tolist(),
            scores[over].tolist(),
            ends[over].tolist(),
            (ended % vocabulary).tolist(),
            prefixes[ended // vocabulary].tolist(),
            strict=True,
        ):
            kept = self.finished[numbers[place]]
            kept.append(Hypothesis((*prefix, token), score, complete))
            if len(kept) > self._num_beams:
                kept.remove(min(kept, key=lambda hypothesis: hypothesis.log_probability))
        worst = [
            min(hypothesis.log_probability for hypothesis in kept) if len(kept) == self._num_beams else -math.inf
            for kept in (self.finished[number] for number in numbers)
        ]
        return torch.tensor(worst, dtype=scores.dtype, device=scores.device)
