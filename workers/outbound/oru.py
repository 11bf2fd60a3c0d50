"""A result as HL7 v2.5.1 ORU^R01: one report, its text and a few OBX per nodule.

A message follows from the result alone: whoever sends it again sends the same bytes under the same
control ID. Nodules that earlier messages named and this result does not have are deleted by
OBX-11 D, so that a RIS never shows findings of two revisions as one.

References
----------
HL7 v2.5.1 chapters 2 (control), 3 (PID) and 7 (ORU, OBR, OBX).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import hl7
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from workers.context.hl7_text import CHARSETS, escape
from workers.errors import ResultNotTold
from workers.outbound.told import ToldNodule, ToldResult

VERSION = "2.5.1"
MARKS = "^~\\&"
CONTROL_ID_LETTERS = 20
"""MSH-10 of v2.5.1."""
FILLER_LETTERS = 16
OURS = "PULMONODE"
NOT_FOR_DIAGNOSIS = "research use, not for diagnosis"
STUDY_INSTANCE_UID = Code("110180", "DCM", "Study Instance UID")
REPORT_TEXT = Code("18782-3", "LN", "Radiology Study observation")
FINAL, CORRECTED, DELETED = "F", "C", "D"
"""HL7 table 0085."""
CANCELED = "X"
"""HL7 table 0123: no results available."""
NAME_GROUPS = ("A", "I", "P")
"""XPN-8, HL7 table 4000, in the order of DICOM's component groups."""
TOLD = (
    ("ST", STUDY_INSTANCE_UID),
    ("FT", REPORT_TEXT),
    ("CWE", codes.LUNG_RADS),
    ("ST", codes.TRACKING_UNIQUE_IDENTIFIER),
    ("CWE", codes.FINDING_SITE),
    ("CWE", codes.NODULE_TYPE),
    ("CWE", codes.MODEL_LEVEL),
    ("NM", codes.LONG_AXIS),
    ("NM", codes.SHORT_AXIS),
    ("NM", codes.VOLUME),
    ("NM", codes.MODEL_SUSPICION),
    ("NM", codes.BROCK_RISK),
)
"""OBX-2 and OBX-3 of all that a message may hold."""
Field = str | tuple[str, ...] | Sequence[tuple[str, ...]]
"""One value; the components of one; repetitions of components."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Between whom a message goes, and in which dress."""

    receiving_application: str = ""
    receiving_facility: str = ""
    sending_application: str = OURS
    sending_facility: str = ""
    processing_id: str = "P"
    charset: str = "UNICODE UTF-8"
    procedure: str = ""
    """OBR-4 where the study names none."""
    authorities: Mapping[str, str] | None = None
    """Issuer (0010,0021) -> assigning authority, PID-3.4, where they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OruMessage:
    """A message to send."""

    control_id: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observation:
    """One OBX without its number and status."""

    type: str
    code: Code
    sub_id: str
    value: Field
    unit: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """By what a receiver knows it again: OBX-3 and OBX-4."""
        return self.code.value, self.sub_id


def names_told(told: ToldResult) -> dict[str, list[str]]:
    """What a result's message names, without the values: OBX-3.1 to all of its OBX-4."""
    found: dict[str, list[str]] = {}
    for item in _observations(told):
        found.setdefault(item.code.value, []).append(item.sub_id)
    return found


def compose_oru(
    told: ToldResult,
    addresses: Addresses,
    earlier: Sequence[ToldResult] = (),
    *,
    gone: Sequence[Mapping[str, Sequence[str]]] = (),
) -> OruMessage:
    """Compose the message of a result.

    Parameters
    ----------
    told : ToldResult
        The result.
    addresses : Addresses
        Of the destination.
    earlier : sequence of ToldResult
        The same patient's results that messages to the same destination told, or may have told,
        before; what was told of another patient is taken back by `compose_withdrawal`.
    gone : sequence of mapping
        The same of results that are not kept any more: what `names_told` said of each.

    Raises
    ------
    ResultNotTold
        If the destination's character set cannot write the patient or the text.
    """
    observations = _observations(told)
    status = CORRECTED if earlier or gone else FINAL
    rows = [(item, status) for item in observations]
    before = {item.key: item for names in gone for item in _named(names)}
    before |= {item.key: item for result in earlier for item in _observations(result)}
    now = {item.key for item in observations}
    # In an order of their own: the same whether an earlier result is still kept or not.
    rows += [(before[key], DELETED) for key in sorted(before.keys() - now)]
    return _compose(told, addresses, rows, status)


def _named(names: Mapping[str, Sequence[str]]) -> list[_Observation]:
    """Observations without their values; codes that this release does not tell are left out."""
    return [
        _Observation(type=kind, code=code, sub_id=sub_id, value="")
        for kind, code in TOLD
        for sub_id in names.get(code.value, ())
    ]


def compose_withdrawal(
    earlier: Sequence[ToldResult], addresses: Addresses, *, because: ToldResult
) -> OruMessage:
    """Compose the message that takes back all that a patient was told to have.

    Parameters
    ----------
    earlier : sequence of ToldResult
        Results of one patient that messages to the same destination told, or may have told.
    addresses : Addresses
        Of the destination.
    because : ToldResult
        The result of the same study under another patient, which it turned out to be of.

    Raises
    ------
    ResultNotTold
        As `compose_oru`.
    """
    told = replace(earlier[0], committed_at=because.committed_at)
    gone = {item.key: item for result in earlier for item in _observations(result)}
    return _compose(told, addresses, [(item, DELETED) for item in gone.values()], CANCELED)


def _compose(
    told: ToldResult,
    addresses: Addresses,
    rows: Sequence[tuple[_Observation, str]],
    status: str,
) -> OruMessage:
    """The message of some observations with their states (OBX-11), under a report's (OBR-25)."""
    segments = [
        _pid(told, addresses),
        _segment("ORC", {1: "RE", 3: _filler(told)}),
        _obr(told, addresses, status),
        *(_obx(number, item, of, told) for number, (item, of) in enumerate(rows, start=1)),
    ]
    unnumbered = _message([_msh(told, addresses, ""), *segments])
    digest = hashlib.sha256(unnumbered.encode()).hexdigest()
    control_id = digest[:CONTROL_ID_LETTERS].upper()
    text = _message([_msh(told, addresses, control_id), *segments])
    try:
        data = text.encode(CHARSETS[addresses.charset])
    except UnicodeEncodeError as error:
        raise ResultNotTold(
            f"{addresses.charset} has no letter for a character of the message (place "
            f"{error.start + 1}): choose another charset for the destination"
        ) from None
    return OruMessage(control_id=control_id, data=data)


def _msh(told: ToldResult, addresses: Addresses, control_id: str) -> hl7.Segment:
    return _segment(
        "MSH",
        {
            3: addresses.sending_application,
            4: addresses.sending_facility,
            5: addresses.receiving_application,
            6: addresses.receiving_facility,
            7: _moment(told),
            9: ("ORU", "R01", "ORU_R01"),
            10: control_id,
            11: addresses.processing_id,
            12: VERSION,
            18: addresses.charset,
        },
    )


def _moment(told: ToldResult) -> str:
    return told.committed_at.strftime("%Y%m%d%H%M%S+0000")


def _pid(told: ToldResult, addresses: Addresses) -> hl7.Segment:
    whose = told.identity
    issuer = whose.issuer_of_patient_id
    authority = (addresses.authorities or {}).get(issuer, issuer)
    return _segment(
        "PID",
        {
            1: "1",
            3: (whose.patient_id, "", "", authority, "MR"),
            5: _names(whose.patient_name),
            7: whose.birth_date,
            8: whose.sex,
        },
    )


def _names(name: str) -> list[tuple[str, ...]]:
    """PN -> XPN, one repetition for each component group; prefix and suffix change places."""
    found: list[tuple[str, ...]] = []
    for group, kind in zip(name.split("="), NAME_GROUPS, strict=False):
        if group.strip("^ "):
            family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
            found.append((family, given, middle, suffix, prefix, "", "", kind))
    return found


def _filler(told: ToldResult) -> tuple[str, ...]:
    """Our number of the report: the same for every revision, and for every series of a study."""
    digest = hashlib.sha256(told.identity.study_instance_uid.encode()).hexdigest()
    return digest[:FILLER_LETTERS].upper(), OURS


def _obr(told: ToldResult, addresses: Addresses, status: str) -> hl7.Segment:
    procedure = tuple(addresses.procedure.split("^"))
    if told.procedure is not None:
        item = told.procedure
        procedure = (item.value, item.meaning, item.scheme_designator)
    return _segment(
        "OBR",
        {
            1: "1",
            3: _filler(told),
            4: procedure,
            7: _study_moment(told),
            18: told.identity.accession_number,
            22: _moment(told),
            24: "CT",
            25: status,
        },
    )


def _study_moment(told: ToldResult) -> str:
    """As the scanner wrote it, in its local time."""
    date = told.identity.study_date
    time = told.study_time
    return f"{date}{time if len(time) != 2 else ''}" if date.isdigit() else ""


def _observations(told: ToldResult) -> list[_Observation]:
    found = [
        _Observation(
            type="ST",
            code=STUDY_INSTANCE_UID,
            sub_id="",
            value=told.identity.study_instance_uid,
        ),
        _Observation(type="FT", code=REPORT_TEXT, sub_id="", value="\n".join(told.lines)),
    ]
    if told.lung_rads is not None:
        found.append(_coded(codes.LUNG_RADS, "", told.lung_rads))
    for nodule in told.nodules:
        found += _of_nodule(nodule)
    return found


def _of_nodule(nodule: ToldNodule) -> list[_Observation]:
    number = str(nodule.number)
    found = [
        _Observation(
            type="ST",
            code=codes.TRACKING_UNIQUE_IDENTIFIER,
            sub_id=number,
            value=nodule.tracking_uid,
        )
    ]
    for code, value in (
        (codes.FINDING_SITE, nodule.site),
        (codes.NODULE_TYPE, nodule.type),
        (codes.MODEL_LEVEL, nodule.level),
        (codes.LUNG_RADS, nodule.lung_rads),
    ):
        if value is not None:
            found.append(_coded(code, number, value))
    measured = [
        (codes.LONG_AXIS, f"{nodule.long_axis_mm:.1f}", "mm"),
        (codes.SHORT_AXIS, f"{nodule.short_axis_mm:.1f}", "mm"),
        (codes.VOLUME, f"{nodule.volume_mm3:.0f}", "mm3"),
    ]
    if nodule.suspicion is not None:
        measured.append((codes.MODEL_SUSPICION, f"{nodule.suspicion:.3f}", "1"))
    if nodule.brock is not None:
        measured.append((codes.BROCK_RISK, f"{100 * nodule.brock:.1f}", "%"))
    found += [
        _Observation(type="NM", code=code, sub_id=number, value=value, unit=unit)
        for code, value, unit in measured
    ]
    return found


def _coded(code: Code, sub_id: str, value: Code) -> _Observation:
    return _Observation(type="CWE", code=code, sub_id=sub_id, value=_triple(value))


def _triple(code: Code) -> tuple[str, str, str]:
    """A coded element; what the model says carries the warning wherever it is shown."""
    meaning = code.meaning
    if code.value.startswith("MODEL_"):
        meaning = f"{meaning} ({NOT_FOR_DIAGNOSIS})"
    return code.value, meaning, code.scheme_designator


def _obx(number: int, item: _Observation, status: str, told: ToldResult) -> hl7.Segment:
    gone = status == DELETED
    return _segment(
        "OBX",
        {
            1: str(number),
            2: item.type,
            3: _triple(item.code),
            4: item.sub_id,
            5: "" if gone else item.value,
            6: (item.unit, "", "UCUM") if item.unit and not gone else "",
            11: status,
            14: _study_moment(told),
        },
    )


def _segment(name: str, fields: Mapping[int, Field]) -> hl7.Segment:
    """A segment by field numbers; values are escaped, MSH-1 and MSH-2 are the separators."""
    built = [hl7.Field("~", [name])]
    for number in range(1, max(fields, default=0) + 1):
        if name == "MSH" and number <= 2:
            built.append(hl7.Field("", ["|" if number == 1 else MARKS]))
        else:
            built.append(_field(fields.get(number, "")))
    return hl7.Segment("|", built)


def _field(value: Field) -> hl7.Field:
    if isinstance(value, str):
        return hl7.Field("~", [escape(value)])
    if isinstance(value, tuple):
        value = [value]
    return hl7.Field(
        "~",
        [hl7.Repetition("^", [hl7.Component("&", [escape(part)]) for part in item])
         for item in value],
    )  # fmt: skip


def _message(segments: Sequence[hl7.Segment]) -> str:
    return f"{hl7.Message(sequence=list(segments))}".rstrip("\r") + "\r"
