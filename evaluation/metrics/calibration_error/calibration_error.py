"""Calibration error: do answers given with confidence p turn out right a share p of the time?

`evaluate.load` copies this file elsewhere before it imports it, with those siblings whose imports it finds here;
it looks no further. So every sibling that is needed is imported here, and nothing else of this package at all.
"""

from collections.abc import Sequence

import datasets
import evaluate

from .calibration import (
    NUM_BINS,
    ReliabilityBin,
    brier_score,
    check_confidences,
    expected_calibration_error,
    reliability_bins,
)

__all__ = [
    "NUM_BINS",
    "CalibrationError",
    "ReliabilityBin",
    "brier_score",
    "check_confidences",
    "expected_calibration_error",
    "reliability_bins",
]

_DESCRIPTION = """
Expected calibration error over bins of equal mass, and Brier score, of confidences in right and wrong answers.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of float, the confidence in each answer, from 0 to 1.
    references: list of int or bool, whether the answer is right: 1 or 0.
    num_bins: how many bins of equally many answers the error is taken over; default 10.

Returns:
    expected_calibration_error: mean distance of a bin's accuracy from its confidence, from 0.0 to 1.0.
    brier: mean squared distance of confidence and verdict, from 0.0 to 1.0.
    n: number of answers.

Examples:
    >>> calibration_error = evaluate.load("evaluation/metrics/calibration_error")
    >>> calibration_error.compute(predictions=[0.9, 0.8, 0.3, 0.2], references=[1, 1, 1, 0], num_bins=2)
    {'expected_calibration_error': 0.19999999999999996, 'brier': 0.145, 'n': 4}
"""

_CITATION = """
@inproceedings{guo2017calibration,
    title = {On Calibration of Modern Neural Networks},
    author = {Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
    booktitle = {Proceedings of ICML},
    year = {2017},
}
@inproceedings{nixon2019measuring,
    title = {Measuring Calibration in Deep Learning},
    author = {Nixon, Jeremy and Dusenberry, Michael W. and Zhang, Linchuan and Jerfel, Ghassen and Tran, Dustin},
    booktitle = {CVPR Workshops},
    year = {2019},
}
@article{brier1950verification,
    title = {Verification of Forecasts Expressed in Terms of Probability},
    author = {Brier, Glenn W.},
    journal = {Monthly Weather Review},
    year = {1950},
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class CalibrationError(evaluate.Metric):
    """Expected calibration error and Brier score."""

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
        self, predictions: Sequence[float], references: Sequence[int], num_bins: int = NUM_BINS
    ) -> dict[str, float | int]:
        return {
            "expected_calibration_error": expected_calibration_error(predictions, references, num_bins),
            "brier": brier_score(predictions, references),
            "n": len(predictions),
        }
