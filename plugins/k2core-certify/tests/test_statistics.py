"""Against values from tables and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from k2core_certify import statistics as st


@pytest.mark.parametrize(("x", "dof", "p"), [(3.841459, 1, 0.05), (18.307038, 10, 0.05), (124.342113, 100, 0.05)])
def test_chi_square_of_the_tables(x: float, dof: int, p: float) -> None:
    assert st.chi_square_tail(x, dof) == pytest.approx(p, rel=1e-5)


def test_non_central_chi_square_by_simulation() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.noncentral_chisquare(7, 11.0, 200_000)
    for x in (8.0, 18.0, 35.0):
        assert st.chi_square_tail(x, 7, 11.0) == pytest.approx((drawn > x).mean(), abs=0.005)


def test_poisson_is_the_sum() -> None:
    terms = [math.exp(-3.3) * 3.3**k / math.factorial(k) for k in range(60)]
    assert st.poisson_tail(5, 3.3) == pytest.approx(sum(terms[5:]))
    assert st.poisson_head(5, 3.3) == pytest.approx(sum(terms[:6]))


def test_holm() -> None:
    assert st.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_power_inverts_the_test() -> None:
    shift = st.chi_square_power(10, 0.001, 4.0)
    point = 4.0
    rng = np.random.default_rng(1)
    null = np.quantile(rng.noncentral_chisquare(10, point, 400_000), 0.999)
    assert (rng.noncentral_chisquare(10, shift, 100_000) > null).mean() == pytest.approx(0.95, abs=0.01)
