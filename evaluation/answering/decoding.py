"""The greedy answer, samples and beams of every question of a batch, in one pass over shared prefixes.

A causal model's next token depends on the prefix alone. So all answers in the making of one question - greedy,
samples, beams - are pointers into one set of *distinct* prefixes, of which the model reads each once: where
samples agree with each other or with a beam, they cost nothing extra. The prompt is read once; its cache is
repeated and reordered as the prefixes branch, and what has ended leaves the batch.

Every answer of a question depends on its prompt and its own random numbers only, never on its batch mates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from closedbook.evaluation.answering.prefix_reader import PrefixReader, PromptBatch

# Of prefixes `(R, t)` says which tokens end an answer right after each, `(R or 1, V)` booleans.
EndOfText = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Hypothesis:
    """One answer, written to its end or cut off where the room was used up.

    Attributes:
        tokens: Its token ids, at least one; the last of them is the end mark if it is complete.
        log_probability: Natural logarithm of the model's probability of the tokens.
        complete: Whether it ended with the end mark.
        mean_entropy: In nats, of the model's choice of each token; of greedy answers alone, else None.
    """

    tokens: tuple[int, ...]
    log_probability: float
    complete: bool
    mean_entropy: float | None = None


@dataclass
class Decoded:
    """What one question was answered.

    Attributes:
        greedy: The greedy answer, or None where it was not asked for.
        samples: The samples in their order.
        beams: The beams best first.
        beam_tokens: Tokens that beam search wrote: at each step one for each beam it went on with or ended, at
            most K. So K beams of T tokens write at most K T, as K samples do.
    """

    greedy: Hypothesis | None
    samples: list[Hypothesis]
    beams: list[Hypothesis]
    beam_tokens: int


def decode(
    model: PreTrainedModel,
    batch: PromptBatch,
    ends: list[int] | EndOfText,
    uniforms: torch.Tensor,
    num_beams: int,
    use_cache: bool = True,
    *,
    greedy: bool = True,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[Decoded]:
    """Decode B prompts: greedily, by sampling, and by beam search.

    A sample takes at each step the token whose stretch of the cumulative probabilities holds the sample's number;
    by default of the model's own distribution. Beam search is the canonical one, which looks for the most probable
    whole answers: `generate` with `length_penalty=0`. Log-probabilities are the model's own in any case.

    Args:
        batch: The prompts.
        ends: Ids of the tokens that end an answer, each by itself; or what tells them by what they follow.
        uniforms: `(B, T, S)`, float64 in [0, 1): a number for each question, step and sample; T is at least the
            batch's budget.
        num_beams: K, number of beams; 0 for no search.
        use_cache: Whether the model keeps keys and values if it can; without, every step reads the whole text
            again.
        greedy: Whether the greedy answer is wanted.
        temperature: Of samples: above 0; the model's log-probabilities are divided by it.
        top_p: Of samples, in (0, 1]: they are drawn from the fewest most probable tokens that hold this share of
            the probability together (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751).

    Raises:
        ValueError: If a cache is asked for and the model has none, or its logits are not numbers.
    """
    reader = PrefixReader(model, batch, use_cache)
    chains = _Chains(batch, uniforms, greedy, temperature, top_p)
    beams = _Beams(batch, num_beams)
    log_probabilities = reader.start()
    for step in range(batch.budget):
        last = step == batch.budget - 1
        vocabulary = log_probabilities.shape[1]
        ending = _ending(ends, reader.tokens, log_probabilities)
        # a child's key tells its prefix, because parents are distinct
        keys = torch.cat(
            [
                chains.step(step, last, log_probabilities, ending, reader.tokens),
                beams.step(last, log_probabilities, ending, reader.tokens),
            ]
        )
        if not len(keys):
            break
        children, rows = torch.unique(keys, return_inverse=True)
        chains.rows, beams.rows = rows[: len(chains.rows)], rows[len(chains.rows) :]
        log_probabilities = reader.advance(children // vocabulary, children % vocabulary)
    return [
        Decoded(
            found[0] if greedy else None,
            found[int(greedy) :],
            sorted(kept, key=lambda hypothesis: -hypothesis.log_probability),
            num_tokens,
        )
        for found, kept, num_tokens in zip(chains.found(), beams.finished, beams.num_tokens, strict=True)
    ]


def _ending(ends: list[int] | EndOfText, prefixes: torch.Tensor, log_probabilities: torch.Tensor) -> torch.Tensor:
    """Which tokens end an answer that goes on from each prefix, `(R, V)`."""
    if callable(ends):
        return ends(prefixes).expand(len(prefixes), -1)
    marks = torch.zeros(log_probabilities.shape[1], dtype=torch.bool, device=prefixes.device)
    marks[ends] = True
    return marks.expand(len(prefixes), -1)


def _sampled_from(log_probabilities: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """What samples are drawn from, `(R, V)` in float64; rows need not add up to 1."""
    weights = log_probabilities.double()
    weights = weights.exp() if temperature == 1 else (weights / temperature).softmax(-1)
    if top_p == 1:
        return weights
    ordered, tokens = weights.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    return weights.scatter(-1, tokens, torch.where(before < top_p * weights.sum(-1, keepdim=True), ordered, 0))


class _Chains:
    """Answers that grow by one token a step: the greedy one, if wanted, and then the samples of each question.

    Attributes, of those not ended: `question`, `number`, `rows` (which prefix they stand at), `scores`.
    """

    def __init__(self, batch: PromptBatch, uniforms: torch.Tensor, greedy: bool, temperature: float, top_p: float):
        device = batch.input_ids.device
        self._num_chains = int(greedy) + uniforms.shape[2]
        self.question = torch.arange(len(batch.rows), device=device).repeat_interleave(self._num_chains)
        self.number = torch.arange(self._num_chains, device=device).repeat(len(batch.rows))
        self.rows = self.question
        self.scores = torch.zeros(len(self.question), dtype=torch.float64, device=device)
        # a greedy chain has a column too, so that numbers are places
        self._uniforms = torch.nn.functional.pad(uniforms, (int(greedy), 0)).to(device)
        self._greedy, self._temperature, self._top_p = greedy, temperature, top_p
        self._entropies = [0.0] * len(batch.rows)  # of the greedy chains, summed over their steps
        self._found: dict[tuple[int, int], Hypothesis] = {}

    def step(
        self,
        step: int,
        last: bool,
        log_probabilities: torch.Tensor,
        ending: torch.Tensor,
        prefixes: torch.Tensor,
    ) -> torch.Tensor:
        """Choose each chain's next token, note what ends; `(chains that go on,)` keys of their prefixes."""
        if not len(self.rows):
            return self.rows
        vocabulary = log_probabilities.shape[1]
        self._add_entropies(log_probabilities)
        keys = self._choose(step, log_probabilities)
        self.scores = self.scores + log_probabilities.flatten()[keys]
        ends = ending[self.rows, keys % vocabulary]
        over = torch.ones_like(ends) if last else ends
        for question, number, score, complete, token, prefix in zip(
            *(
                values[over].tolist()
                for values in (self.question, self.number, self.scores, ends, keys % vocabulary)
            ),
            prefixes[self.rows[over]].tolist(),
            strict=True,
        ):
            tokens = (*prefix, token)
            entropy = self._entropies[question] / len(tokens) if self._greedy and number == 0 else None
            self._found[question, number] = Hypothesis(tokens, score, complete, entropy)
        going_on = ~over
        self.question, self.number, self.rows, self.scores = (
            values[going_on] for values in (self.question, self.number, self.rows, self.scores)
        )
        return keys[going_on]

    def _add_entropies(self, log_probabilities: torch.Tensor) -> None:
        if not self._greedy:
            return
        greedy = self.number == 0
        entropies = torch.special.entr(log_probabilities[self.rows[greedy]].exp()).sum(-1)
        for question, entropy in zip(self.question[greedy].tolist(), entropies.tolist(), strict=True):
            self._entropies[question] += entropy

    def _choose(self, step: int, log_probabilities: torch.Tensor) -> torch.Tensor:
        """The next token of each chain, as the key of the prefix it makes."""
        vocabulary = log_probabilities.shape[1]
        first = self.rows * vocabulary
        if self._greedy:
            best = first + log_probabilities.argmax(-1)[self.rows]
            if self._num_chains == 1:
                return best
        # all rows in one sorted line: row r takes up (r, r + 1], so that one search serves all chains
        line = _sampled_from(log_probabilities, self._temperature, self._top_p).cumsum(-1)
        line = line / line[:, -1:] + torch.arange(len(line), device=line.device).unsqueeze(1)
        wanted = self.rows + self._uniforms[self.question, step, self.number]
        drawn = torch.searchsorted(line.flatten(), wanted, right=True)
        drawn = torch.minimum(drawn, first + vocabulary - 1)  # a number next to 1 is rounded up to it
        return torch.where(self.number == 0, best, drawn) if self._greedy else drawn

    def found(self) -> list[list[Hypothesis]]:
        """The greedy answer and the samples of each question, once all have ended."""
        num_questions = len(self._uniforms)
        return [[self._found[q, number] for number in range(self._num_chains)] for q in range(num_questions)]


class _Beams:
    """Beam search of each question, K beams.

    Of the best K children of all beams at each step, those that end are finished. The best K of the children that
    do not end go on, as long as they can still be better than the worst of K finished ones: a probability only
    falls as an answer grows.

    Attributes:
        finished: Of each question the best K answers so far.
        num_tokens: Of each question how many tokens were written, as `Decoded.beam_tokens` counts them.
        rows: Which prefix each beam in the search stands at, question after question.
    """

    def __init__(self, batch: PromptBatch, num_beams: int):
        device = batch.input_ids.device
        self._num_beams = num_beams
        self.finished: list[list[Hypothesis]] = [[] for _ in batch.rows]
        self.num_tokens = [0] * len(batch.rows)
        num_searched = len(batch.rows) if num_beams else 0
        self.rows = torch.arange(num_searched, device=device)
        # (questions still searched, K); -inf where there is no beam
        self._questions = torch.arange(num_searched, device=device)
        self._scores = torch.full((num_searched, num_beams), -math.inf, dtype=torch.float64, device=device)
        self._scores[:, :1] = 0

    def step(
        self, last: bool, log_probabilities: torch.Tensor, ending: torch.Tensor, prefixes: torch.Tensor
    ) -> torch.Tensor:
        """Extend the beams by a token, note what ends; `(beams that go on,)` keys of their prefixes."""
        if not len(self._questions):
            return self.rows
        vocabulary = log_probabilities.shape[1]
        scores, keys = self._best_children(log_probabilities)
        ends = ending[keys // vocabulary, keys % vocabulary]
        over = (ends | last) & (scores > -math.inf)
        worst = self._note(over, ends, scores, keys, vocabulary, prefixes)

        # looked for by themselves, because a beam has as many children that end as there are end marks
        scores, keys = self._best_children(log_probabilities.masked_fill(ending, -math.inf))
        scores = torch.where((scores > worst.unsqueeze(1)) & (not last), scores, -math.inf)
        written = (over.sum(1) + (scores > -math.inf).sum(1)).clamp(max=self._num_beams)
        for question, num_new in zip(self._questions.tolist(), written.tolist(), strict=True):
            self.num_tokens[question] += num_new
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

    def _note(
        self,
        over: torch.Tensor,
        ends: torch.Tensor,
        scores: torch.Tensor,
        keys: torch.Tensor,
        vocabulary: int,
        prefixes: torch.Tensor,
    ) -> torch.Tensor:
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
