"""Selective accuracy: how right the answers are that are left when the least sure ones are held back.

`evaluate.load` copies this file elsewhere before it imports it, with those siblings whose imports it finds here;
it looks no further. So every sibling that is needed is imported here, and nothing else of this package at all.
"""

from collections.abc import Sequence

import datasets
import evaluate

from .selection import COVERAGES, RiskCoverageCurve, accuracy_at_coverage, aurc, risk_coverage_curve

__all__ = [
    "COVERAGES",
    "RiskCoverageCurve",
    "SelectiveAccuracy",
    "accuracy_at_coverage",
    "aurc",
    "risk_coverage_curve",
]

_DESCRIPTION = """
Accuracy of the most confident answers at given coverages, and the area under the risk-coverage curve (AURC).
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of float, the confidence in each answer; only their order matters.
    references: list of int or bool, whether the answer is right: 1 or 0.
    coverages: shares of the questions that are to be answered, each above 0 and up to 1; default 0.5, 0.8, 0.95.
    refused: list of bool, the questions that the model itself declined to answer: abstained from at any coverage,
        whatever their confidence; default none.

Returns:
    aurc: area under the risk-coverage curve, from 0.0 to 1.0; lower is better. None if everything was refused.
    accuracy_at: accuracy by coverage; None where refusals leave too few answers for it.
    answered: share of questions not refused, the largest coverage that there is.
    n: number of questions.

Examples:
    >>> selective_accuracy = evaluate.load("evaluation/metrics/selective_accuracy")
    >>> selective_accuracy.compute(predictions=[0.9, 0.8, 0.3, 0.2], references=[1, 1, 0, 1], coverages=[0.5, 1.0])
    {'aurc': 0.14583333333333331, 'accuracy_at': {'0.5': 1.0, '1.0': 0.75}, 'answered': 1.0, 'n': 4}
"""

_CITATION = """
@inproceedings{geifman2017selective,
    title = {Selective Classification for Deep Neural Networks},
    author = {Geifman, Yonatan and El-Yaniv, Ran},
    booktitle = {Advances in Neural Information Processing Systems},
    year = {2017},
}
@inproceedings{geifman2019bias,
    title = {Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers},
    author = {Geifman, Yonatan and Uziel, Guy and El-Yaniv, Ran},
    booktitle = {Proceedings of ICLR},
    year = {2019},
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class SelectiveAccuracy(evaluate.Metric):
    """Accuracy at given coverages, and AURC."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[float],
        references: Sequence[int],
        coverages: Sequence[float] = COVERAGES,
        refused: Sequence[bool] | None = None,
    ) -> dict:
        curve = risk_coverage_curve(predictions, references, refused)
        return {
            "aurc": aurc(curve),
            "accuracy_at": {str(coverage): accuracy_at_coverage(curve, coverage) for coverage in coverages},
            "answered": int(curve.answered[-1]) / curve.n if len(curve.answered) else 0.0,
            "n": curve.n,
        }
