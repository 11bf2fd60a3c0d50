"""pynetdicom inflates a message whole, so none is taken deflated that anybody here decodes."""

from __future__ import annotations

import pytest
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, StorageCommitmentPushModel

from dicom_node.deliver.commitment import commitment_context
from dicom_node.query import find
from dicom_node.query.retrieve import TRANSFER_SYNTAXES
from dicom_node.receive.scp import ScpSettings, application_entity

DEFLATED = UID("1.2.840.10008.1.2.1.99")


def syntaxes_of(ae: AE, sop_class: str) -> list[UID]:
    (found,) = [item for item in ae.supported_contexts if item.abstract_syntax == sop_class]
    return list(found.transfer_syntax)


def test_the_scp_takes_images_deflated_and_commitment_reports_not() -> None:
    settings = ScpSettings(
        ae_title="PULMONODE", host="127.0.0.1", port=0, calling_ae_titles=("any",)
    )

    ae = application_entity(settings)

    assert DEFLATED in syntaxes_of(ae, CTImageStorage)  # stored as it came, never inflated here
    assert not any(uid.is_deflated for uid in syntaxes_of(ae, StorageCommitmentPushModel))


@pytest.mark.parametrize(
    "proposed",
    [
        commitment_context().transfer_syntax,
        TRANSFER_SYNTAXES,
        [uid for item in find._contexts() for uid in item.transfer_syntax],
    ],
)
def test_what_we_ask_for_is_never_deflated(proposed: list[str]) -> None:
    assert proposed
    assert not any(UID(uid).is_deflated for uid in proposed)
