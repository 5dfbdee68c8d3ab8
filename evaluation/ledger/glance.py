"""A quick look at facts, as often as training can afford it: answered in one wording? sentence finished?"""

from collections.abc import Sequence

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.ledger.facts import Fact
from closedbook.evaluation.ledger.measuring import AskedModel, Rule, begins_with, go_on, is_right


def glance(
    asked: AskedModel, facts: Sequence[Fact], rule: Rule, *, batch_size: int = 32, max_new_tokens: int = 16
) -> tuple[list[bool], list[bool]]:
    """Of every fact, whether its first question is answered, and whether its sentence is finished.

    As `measure` has it, without probabilities and ranks, which take most of its time. What the model cannot read
    it does not answer, nor finish.

    Args:
        asked: whom to ask.
        facts: what about.
        rule: by which an answer is right.
        batch_size: texts read at once; changes speed only.
        max_new_tokens: longest answer, in tokens.
    """
    answered, finished = [False] * len(facts), [False] * len(facts)
    texts = asked.asked([fact.questions[0] if fact.questions else "" for fact in facts])
    rows = [row for row, fact in enumerate(facts) if fact.questions and asked.takes(texts[row], 2)]
    if rows:
        answers = answer_questions(
            asked.model,
            asked.tokenizer,
            [texts[row] for row in rows],
            end_token=asked.end,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            progress=False,
        )
        for row, answer in zip(rows, answers, strict=True):
            answered[row] = is_right(answer.text, facts[row].answers, rule)
    begun = [fact.beginning.rstrip() for fact in facts]
    rows = [row for row, fact in enumerate(facts) if begun[row] and asked.takes(fact.beginning + fact.object, 1)]
    if rows:
        written = go_on(asked, [begun[row] for row in rows], batch_size, max_new_tokens, progress=False)
        for row, said in zip(rows, written, strict=True):
            finished[row] = begins_with(said.text, facts[row].answers)
    return answered, finished
