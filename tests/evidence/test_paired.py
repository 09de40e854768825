"""Two models' errors on the same images, against statsmodels and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from worked_samples import alone

from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.paired import compare_errors


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_it_is_mcnemars_exact_test(cases) -> None:
    first, second = (np.array(column) for column in zip(*cases, strict=True))
    found = compare_errors(first, second, alone(len(first)))
    table = [[(first & second).sum(), (first & ~second).sum()], [(~first & second).sum(), (~first & ~second).sum()]]
    assert found.p_value == pytest.approx(min(mcnemar(table, exact=True).pvalue, 1))
    assert found.p_by_cluster == pytest.approx(found.p_value)  # each lesion has one photograph
    assert (found.n, found.first, found.second) == (len(first), first.sum(), second.sum())
    assert found.first - found.second == found.first_alone - found.second_alone


def test_photographs_of_a_lesion_are_one_trial() -> None:
    # Lesion 0: the first alone is wrong in all four photographs; lesion 1: the second in one; lesion 2: each in one.
    first = np.array([1, 1, 1, 1, 0, 1, 0], dtype=bool)
    second = np.array([0, 0, 0, 0, 1, 0, 1], dtype=bool)
    found = compare_errors(first, second, Clusters.of_lesions(np.array([0, 0, 0, 0, 1, 2, 2])))
    assert (found.first_alone, found.second_alone) == (5, 2)
    assert found.p_value == pytest.approx(2 * binom.cdf(2, 7, 0.5))
    assert (found.first_clusters, found.second_clusters) == (1, 1)
    assert found.p_by_cluster == 1
