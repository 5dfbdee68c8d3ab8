"""How well a number ranks one group above another."""

from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are imported when they are used


def area_under_roc(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Probability that a random one of `above` has the larger number than one of `below`, ties counting half.

    The area under the receiver operating characteristic (Hanley and McNeil 1982,
    doi:10.1148/radiology.143.1.7063747), by ranks. None where a group is empty.
    """
    if not len(above) or not len(below):
        return None
    ranks = scipy.stats.rankdata(np.r_[np.asarray(above, float), np.asarray(below, float)])
    n, m = len(above), len(below)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
