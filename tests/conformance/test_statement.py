"""docs/conformance.md says what the code does."""

from __future__ import annotations

import re

import pytest
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.presentation import negotiate_as_acceptor
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from dicom_node import equipment
from dicom_node.compose.envelope import PATIENT_AND_STUDY_KEYWORDS
from dicom_node.compose.profile import load_profiles
from dicom_node.deliver import peer as outgoing
from dicom_node.deliver.commitment import commitment_context
from dicom_node.deliver.scu import WARNING_STATUSES, Outgoing, storage_contexts
from dicom_node.query.find import STUDY_ROOT_FIND
from dicom_node.receive import scp
from dicom_node.receive.arrival import StoreStatus
from dicom_node.receive.limits import ReceiveLimits
from dicom_node.receive.scp import accepted_contexts
from tests.conformance import statement
from workers.settings import Settings


def copied() -> str:
    rows = []
    for keyword in PATIENT_AND_STUDY_KEYWORDS:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        rows.append((dictionary_description(tag), where))
    return statement.table(("Attribute", "Tag"), rows)


TABLES = {
    "scp_classes": statement.scp_classes,
    "scp_syntaxes": statement.scp_syntaxes,
    "profiles": lambda: statement.profile_rows(load_profiles()),
    "codes": statement.own_codes,
    "copied": copied,
}


@pytest.mark.parametrize("name", [name for name in TABLES if not name.startswith("scp_")])
def test_a_table_equals_the_code(name: str) -> None:
    if statement.WRITE:
        statement.write(statement.STATEMENT, TABLES)

    assert statement.blocks(statement.STATEMENT.read_text())[name] == TABLES[name]()


def test_every_own_code_fits_into_a_code_value() -> None:
    """SH, 16 characters: a longer one would stand in Long Code Value, which few readers know."""
    values = [row[0].strip("`") for row in statement.cells(statement.own_codes())]

    assert [value for value in values if len(value) > 16] == []


@pytest.mark.parametrize("name", ["scp_classes", "scp_syntaxes"])
def test_the_scp_accepts_what_the_statement_lists(name: str) -> None:
    """All of it with any toolkit; and nothing more with the one that the statement names."""
    text = statement.STATEMENT.read_text()
    listed = set(statement.cells(statement.blocks(text)[name]))
    accepted = set(statement.cells(TABLES[name]()))

    assert listed <= accepted
    if statement.toolkit() in " ".join(text.split()):
        assert listed == accepted


def test_a_planted_difference_is_seen() -> None:
    """A class that the SCP does not accept, or one that the statement leaves out."""
    block = statement.blocks(statement.STATEMENT.read_text())["scp_classes"]
    rows = statement.cells(block)
    accepted = set(statement.cells(TABLES["scp_classes"]()))

    assert {*rows, ("Imaginary Storage", "`1.2.3`")} - accepted
    assert accepted - set(rows[1:])


def test_the_contexts_are_those_that_the_scp_is_started_with() -> None:
    """Looked at in the AE itself, Verification and Storage Commitment included."""
    settings = scp.ScpSettings(
        ae_title="PULMONODE", host="127.0.0.1", port=0, calling_ae_titles=("any",)
    )
    ae = scp.application_entity(settings)
    contexts = {str(item.abstract_syntax): item for item in ae.supported_contexts}
    commitment = contexts.pop(str(StorageCommitmentPushModel))

    assert {uid: tuple(map(str, item.transfer_syntax)) for uid, item in contexts.items()} == {
        uid: tuple(map(str, syntaxes)) for uid, syntaxes in accepted_contexts()
    }
    assert (commitment.scu_role, commitment.scp_role) == (False, True)
    assert str(ae.maximum_pdu_size) in statement.STATEMENT.read_text()


def test_of_several_syntaxes_the_first_of_the_table_is_accepted() -> None:
    ct, jpeg_2000 = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.90"
    syntaxes = dict(accepted_contexts())[ct]
    asked = build_context(ct, [jpeg_2000, syntaxes[1], syntaxes[0]])
    asked.context_id = 1

    (accepted,), _ = negotiate_as_acceptor([asked], [build_context(ct, list(syntaxes))])

    assert list(accepted.transfer_syntax) == [syntaxes[0]]
    table = statement.blocks(statement.STATEMENT.read_text())["scp_syntaxes"]
    assert statement.cells(table)[0][1] == f"`{syntaxes[0]}`"


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        "1.2.840.10008.5.1.4.1.1.88.33",
        "1.2.840.10008.5.1.4.1.1.88.34",
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.7",
        "1.2.840.10008.5.1.4.1.1.104.1",
        "1.2.840.10008.5.1.4.1.1.88.59",
    ],
)
def test_what_is_proposed_for_an_object_is_what_the_statement_says(sop_class_uid: str) -> None:
    item = Outgoing(
        path=statement.STATEMENT,
        sop_class_uid=sop_class_uid,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    proposed = "; ".join(
        UID(syntax).name
        for context in storage_contexts([item])
        for syntax in context.transfer_syntax
    )

    row = f"| {UID(sop_class_uid).name} | `{sop_class_uid}` | {proposed} | SCU |"
    assert row in statement.STATEMENT.read_text()


def test_what_is_proposed_for_commitment_is_what_the_statement_says() -> None:
    context = commitment_context()
    syntaxes = "; ".join(UID(syntax).name for syntax in context.transfer_syntax)

    name = context.abstract_syntax.name.removesuffix(" SOP Class")
    row = f"| {name} | `{context.abstract_syntax}` | {syntaxes} | SCU |"
    assert row in statement.STATEMENT.read_text()


def test_names_numbers_and_statuses_are_those_of_the_code() -> None:
    text = " ".join(statement.STATEMENT.read_text().split())
    settings = Settings()

    for wanted in (
        equipment.IMPLEMENTATION_CLASS_UID,
        equipment.IMPLEMENTATION_VERSION_NAME,
        f"scheme `{equipment.CODING_SCHEME_DESIGNATOR}`",
        f"AE title `{settings.ae_title}`, port {settings.dicom_port}",
        f"at most {settings.maximum_associations} associations at once",
        f"maximum PDU {outgoing.MAXIMUM_PDU_BYTES} bytes",
        f"within {ReceiveLimits().request_timeout_s:.0f} s",
        f"`{STUDY_ROOT_FIND}`",
        f"`{Verification}`",
        ", ".join(f"{status:04X}" for status in sorted(WARNING_STATUSES)),
        *(f"| {status:04X} |" for status in StoreStatus),
    ):
        assert wanted in text, wanted


def test_the_statement_has_the_parts_that_ps3_2_asks_for() -> None:
    heads = re.findall(r"^#+ [\d.]+ (.+)$", statement.STATEMENT.read_text(), re.MULTILINE)

    for part in (
        "Overview", "Introduction", "Networking", "Implementation model",
        "Application data flow", "Functional definition of the AEs",
        "Sequencing of real-world activities", "AE specifications", "Network interfaces",
        "Configuration", "Media interchange", "Support of character sets", "Security", "Annexes",
        "IOD contents", "Private attributes", "Coded terminology and templates",
        "Grayscale image consistency", "Standard extended, specialised and private SOP classes",
        "Private transfer syntaxes",
    ):  # fmt: skip
        assert part in heads
