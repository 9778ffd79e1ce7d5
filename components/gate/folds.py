"""The statistics of a cross-validation: the queries of a fold share a model, and stand or fall together.

The models of the folds differ by the luck of their own training, and each gives its luck to all of its queries. The
randomisation test therefore flips the signs of whole folds, as one does with clusters (for example Cameron, Gelbach and
Miller 2008): what the test takes for one observation is the sum of a fold's differences. Luck that all folds have in
common is no error, since the final model has it as well.
"""

import math

import numpy as np

from components.gate.statistics import Values


def fold_sums(values: Values, folds: Values) -> Values:
    """Return the sums over each fold: of shape (folds, …) for values of shape (queries, …).

    Args:
        values: of each query.
        folds: the number of each query's fold, from 0.
    """
    sums = np.zeros((int(folds.max()) + 1, *values.shape[1:]))
    np.add.at(sums, folds.astype(np.int64), values)
    return sums


def error_over_folds(differences: Values, folds: Values) -> float:
    """Return the standard error of the mean over queries when those of a fold are not independent."""
    sums = fold_sums(differences, folds)
    sizes = fold_sums(np.ones(len(differences)), folds)
    used = sizes > 0
    count = int(used.sum())
    if count < 2:
        return math.inf
    residuals = sums[used] - sizes[used] * differences.mean()
    return math.sqrt(count / (count - 1) * float(residuals @ residuals)) / len(differences)


def interval_over_folds(differences: Values, folds: Values, confidence: float) -> tuple[float, float]:
    """Student's interval of the mean over queries, from the sums of the folds; at most from -1 to 1.

    A bootstrap of ten folds would be too narrow: it knows nothing of the few that it draws from.
    """
    from scipy import stats

    mean, error = float(differences.mean()), error_over_folds(differences, folds)
    if not math.isfinite(error):
        return (-1.0, 1.0)
    count = len(np.unique(folds))
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * error
    return max(-1.0, mean - reach), min(1.0, mean + reach)
