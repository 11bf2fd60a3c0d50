from __future__ import annotations

import copy

import pytest
from pydicom.dataset import Dataset

from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    compose_both,
    decode,
    report,
    series_on_disk,
    three_nodules,
)


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return series_on_disk(tmp_path_factory.mktemp("ct"))[0]


@pytest.fixture(scope="session")
def _composed(series: CtSeries) -> tuple[Dataset, Dataset]:
    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None
    return decode(seg), decode(sr)


@pytest.fixture
def seg_ds(_composed: tuple[Dataset, Dataset]) -> Dataset:
    """A segmentation that a test may spoil."""
    return copy.deepcopy(_composed[0])


@pytest.fixture
def sr_ds(_composed: tuple[Dataset, Dataset]) -> Dataset:
    """A report that a test may spoil."""
    return copy.deepcopy(_composed[1])
