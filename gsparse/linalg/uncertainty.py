"""Standard deviations of which two cover what two of a normal variable cover."""

from scipy.special import gammaincc, gammaincinv, stdtrit

#: Probability that a normal variable is off by more than two standard deviations.
MISSED = 0.0455


def uncertainty(num_columns: int) -> float:
    r"""Return the uncertainty of a mean of squares, relative to the mean.

    The mean of k squares of normal variables is the true value times
    :math:`\chi^2_k / k`, a skewed distribution: for 16 columns, two standard deviations
    cover only 88 % of the true values. Twice the returned value covers 95.4 %, as two
    standard deviations of a normal variable do.
    """
    half, upper, width = num_columns / 2, 0.0, 0.0
    for _ in range(30):  # fixed point: both tails together have probability MISSED
        width = (half / gammaincinv(half, MISSED - upper) - 1) / 2
        upper = gammaincc(half, half / (1 - 2 * width)) if width < 0.5 else 0.0
    return float(width)


def student(num_batches: int) -> float:
    """Return the factor that widens a standard deviation estimated from few batches.

    Twice the widened value covers 95.4 % of the true values, by Student's t.
    """
    return float(stdtrit(num_batches - 1, 1 - MISSED / 2) / 2)
