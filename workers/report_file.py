"""A radiologist's report as a text file, for an analysis without network or database."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from dicom_node.read.ct_series import CtSeries
from inference.findings import ClinicalContext
from workers.context.facts import Person, ReportText
from workers.context.items import load_items
from workers.context.resolve import CtPatient, Resolved, Statement, resolve
from workers.errors import ContextRefused
from workers.translate import to_ct_patient

LAST_DAY = "9999-12-31"
"""Nothing in a file is of the future."""
ENCODINGS = ("utf-8-sig", "gb18030")


def read_report_file(path: Path, series: CtSeries) -> Resolved:
    """What a report in a file says of a CT and its patient, as one that came by HL7.

    The file is taken for the report of this CT, of its day: nothing in it is compared.

    Raises
    ------
    ContextRefused
        If it cannot be read as text.
    """
    try:
        text = decode_report(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ContextRefused(path.name, str(why), "give the report as plain text") from None
    ct = to_ct_patient(series)
    return resolve(ct, [_statement(path.name, text, ct)], load_items(None), today=LAST_DAY)


def decode_report(data: bytes) -> str:
    """UTF-8, else what Chinese systems write.

    Raises
    ------
    ValueError
        If it is neither.
    """
    for encoding in ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError("neither UTF-8 nor GB18030; convert it, for example with iconv")


def prefer(given: ClinicalContext | None, told: Resolved) -> Resolved:
    """What was given, and where it says nothing what the report and the CT's header tell."""
    if given is None:
        return told
    context = replace(
        given,
        **{
            item.name: getattr(told.context, item.name)
            for item in fields(ClinicalContext)
            if getattr(given, item.name) is None
        },
    )
    missing = tuple(name for name in told.known.missing if getattr(context, name) is None)
    return replace(told, context=context, known=replace(told.known, missing=missing))


def _statement(name: str, text: str, ct: CtPatient) -> Statement:
    report = ReportText(
        kind="report",
        key=name,
        status="F",
        observed_on=ct.study_date,
        title="",
        text=text,
        accession=ct.accession,
        study_uid=ct.study_uid,
    )
    return Statement(
        number=1,
        source="file",
        control_id=name,
        said_at="",
        person=Person(),
        is_identity=False,
        confirmed=True,
        values=(),
        reports=(report,),
    )
