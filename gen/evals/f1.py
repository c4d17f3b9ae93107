"""F1, the harmonic mean of precision and recall, from a confusion matrix [c, g]: texts of class c taken for class g.

F1_c = 2 right_c / (texts_c + taken_c)

macro(confusion_CC)             # the mean over the classes that occur, as scikit-learn's average="macro"
"""

import numpy as np
from jaxtyping import Float, Real


def per_class(confusion_CC: Real[np.ndarray, "C C"]) -> Float[np.ndarray, "C"]:
    """NaN for a class that occurs neither as label nor as guess."""
    either_C = (confusion_CC.sum(0) + confusion_CC.sum(1)).astype(float)
    either_C[either_C == 0] = np.nan
    return 2 * np.diag(confusion_CC) / either_C


def macro(confusion_CC: Real[np.ndarray, "C C"]) -> float:
    return float(np.nanmean(per_class(confusion_CC)))
