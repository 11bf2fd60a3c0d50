"""LIDC-IDRI-0001 to 0020 never train, under whatever name they come.

Their readings are kept for evaluation by others. LUNA16 and many copies of LIDC-IDRI name no
patient, so their series stand here as well (Series Instance UIDs as in the collection, doi
10.7937/K9/TCIA.2015.LO9QL9SX).
"""

from __future__ import annotations

from inference.training.shapes import EXCLUDED_PATIENTS
from workers.datasets.scan import AnnotatedScan

LIDC_ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
EXCLUDED_SERIES = frozenset(
    LIDC_ROOT + tail
    for tail in (
        "179049373636438705059720603192", "619372068417051974713149104919",
        "170706757615202213033480003264", "323541312620128092852212458228",
        "129007566048223160327836686225", "132817748896065918417924920957",
        "272348349298439120568330857680", "774060103415303828812229821954",
        "286061375572911414226912429210", "416701701108520592702405866796",
        "140253591510022414496468423138", "328789598898469177563438457842",
        "174907798609769549012640380786", "747803439040091794717626507402",
        "227962600322799211676960828223", "153536305742006952753134773630",
        "108231420525711026834210228428", "882070241245008756731854510592",
        "330425234131526435132846006585", "315214756157389122376518747372",
    )
)  # fmt: skip


def may_train(scan: AnnotatedScan) -> bool:
    """Whether training, tuning and simulation may see a scan."""
    return scan.patient_id not in EXCLUDED_PATIENTS and scan.identifier not in EXCLUDED_SERIES
