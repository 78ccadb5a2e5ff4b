"""How far a share may be from what was counted: Wilson's interval."""

from __future__ import annotations

import math

NORMAL_95 = 1.959963984540054  # that 95 % of a normal variable lie within, in deviations


def wilson(right: int, n: int) -> tuple[float, float]:
    """Lower and upper end of the 95 % interval of a share, of which ``right`` of ``n`` were seen.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    All of [0, 1] where nothing was seen.

    >>> low, high = wilson(8, 10)
    >>> f"{low:.4f} {high:.4f}"
    '0.4902 0.9433'
    """
    if not n:
        return 0.0, 1.0
    share, spread = right / n, NORMAL_95**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = NORMAL_95 / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)
