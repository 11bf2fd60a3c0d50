"""What a job's or a delivery's reason means in plain words, and what to do about it.

Read by people at pages and the command line. A test compares the codes with those that the code and
the packaged rules give.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.state.schema import DeliveryState, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Both are whole sentences; `todo` is empty where there is nothing to do."""

    meaning: str
    todo: str = ""


BY_STATE: dict[JobState, Advice] = {
    JobState.RECEIVING: Advice(
        meaning="Images are coming in. The series counts as complete when nothing came for the "
        "quiet time and its slices have no hole.",
        todo="If it waits for slices that will never come, force it.",
    ),
    JobState.COMPLETE: Advice(
        meaning="The series is complete. It waits a moment for a better series of the same study.",
    ),
    JobState.QUEUED: Advice(
        meaning="It waits for a free worker.",
        todo="If it waits long: is the queue paused, and does a worker run?",
    ),
    JobState.ANALYSING: Advice(meaning="A worker analyses it now."),
    JobState.ANALYSED: Advice(
        meaning="The result is there and stays here.",
        todo="If it should go out: is a destination configured, and in normal mode?",
    ),
    JobState.DELIVERING: Advice(
        meaning="The result is on its way, or a destination has not proved yet that it keeps it.",
        todo="If it stays so: the states of its destinations say why.",
    ),
    JobState.DELIVERED: Advice(
        meaning="Every destination acknowledged every object; not all of them give proof.",
    ),
    JobState.CONFIRMED: Advice(meaning="Every destination proved that it keeps the result."),
    JobState.NOT_ELIGIBLE: Advice(
        meaning="The series is none that can be analysed.",
        todo="If the rule is wrong for your site, change it and retry the job.",
    ),
    JobState.QUARANTINED: Advice(
        meaning="Something about the data is wrong, and going on could harm.",
        todo="Look at the reason, mend it at the source, send the series again or retry.",
    ),
    JobState.CANCELLED: Advice(
        meaning="Somebody stopped it.", todo="Retry it if that was a mistake."
    ),
    JobState.SUPERSEDED: Advice(meaning="Another job's result replaces it: nothing to do."),
    JobState.FAILED: Advice(
        meaning="Every attempt failed.",
        todo="Mend the cause, then retry. If it fails again, report the job's number and the "
        "worker's log of that time.",
    ),
}

_ROUTE = "Route the thin axial CT series of the chest; other series need not come."
_RULE = "Nothing, if that is so. If not, change the rule in PULMONODE_RULES_FILE and retry."
_SOURCE = "Send the series again from the scanner or the PACS; retry then judges it anew."

BY_CODE: dict[str, Advice] = {
    # what a series is
    "not_ct": Advice(meaning="It is no CT.", todo=_ROUTE),
    "enhanced_ct": Advice(
        meaning="It is an Enhanced (multi-frame) CT, which is not supported.",
        todo="Let the scanner or PACS send the classic CT series.",
    ),
    "not_ct_image": Advice(meaning="The objects are no CT images.", todo=_ROUTE),
    "localizer": Advice(meaning="It is a localizer (scout)."),
    "localizer_by_description": Advice(meaning="Its description says localizer.", todo=_RULE),
    "projection": Advice(
        meaning="It is reformatted or projected (MIP, MPR), no axial original.", todo=_ROUTE
    ),
    "projection_by_description": Advice(
        meaning="Its description says reformatted or projected.", todo=_RULE
    ),
    "subtracted_or_map": Advice(meaning="It is a calculated map or a dose sheet."),
    "dose_or_screen": Advice(meaning="It is a dose sheet, a screenshot or bolus monitoring."),
    "quality_assurance": Advice(meaning="It is a quality check of the scanner, no patient."),
    "quality_assurance_procedure": Advice(
        meaning="The procedure is a quality check of the scanner, no patient.", todo=_RULE
    ),
    "colour": Advice(meaning="The images are in colour."),
    "not_monochrome": Advice(meaning="The images are not greyscale as CT is."),
    "not_hounsfield": Advice(
        meaning="The values are not in Hounsfield units.",
        todo="Have the scanner send the original series.",
    ),
    "rescale_slope": Advice(
        meaning="The images do not say how to make Hounsfield units of their values.",
        todo="Look at whoever changed them on the way (PACS, archive, anonymiser).",
    ),
    "rescale_intercept": Advice(
        meaning="The images do not say how to make Hounsfield units of their values.",
        todo="Look at whoever changed them on the way (PACS, archive, anonymiser).",
    ),
    "under_age": Advice(meaning="The patient is under 18: the methods are not made for that."),
    "other_body_part": Advice(meaning="By its header it shows another region.", todo=_RULE),
    "other_region_by_description": Advice(
        meaning="By its description it shows another region.", todo=_RULE
    ),
    "spacing": Advice(
        meaning="The slices lie too far apart for small nodules.", todo="Route the thin series too."
    ),
    "thickness": Advice(
        meaning="The slices are too thick for small nodules.", todo="Route the thin series too."
    ),
    "pixel_spacing": Advice(
        meaning="The pixels are too coarse for small nodules.", todo="Route the chest series."
    ),
    "lossy": Advice(
        meaning="The images were compressed with loss.",
        todo="Route them before the PACS compresses them.",
    ),
    "derived": Advice(meaning="The images are derived, no originals.", todo=_ROUTE),
    "secondary": Advice(meaning="The images are secondary, no originals.", todo=_ROUTE),
    "burned_in": Advice(meaning="Text may be burned into the images.", todo=_RULE),
    "own_object": Advice(
        meaning="It is a result of ours that came back. Such a thing is kept and never analysed.",
        todo="Nothing. A route that sends our results back to us can be left out.",
    ),
    "better_series_chosen": Advice(
        meaning="Another series of the same study suits better and was analysed.",
        todo="Force this one if you want it all the same.",
    ),
    "not_judged": Advice(
        meaning="The series could not be judged by the rules.",
        todo="Look at the node's log of that time; retry then.",
    ),
    # how complete and sound it is
    "missing_slices": Advice(
        meaning="Slices are missing in the middle of the series.",
        todo="Send the series again. If they do not exist, force it; the report then warns.",
    ),
    "too_few_slices": Advice(
        meaning="There are too few slices for a chest.",
        todo="Send the whole series.",
    ),
    "too_many_instances": Advice(
        meaning="The series has more images than this site lets one analysis hold.",
        todo="Route the axial series alone. If it is one, raise "
        "PULMONODE_MAXIMUM_SERIES_INSTANCES and the workers' memory with it, then retry.",
    ),
    "fewer_than_pacs": Advice(
        meaning="The PACS says that it has more images of this series than came.",
        todo="Send the series again, or force it.",
    ),
    "pacs_silent": Advice(
        meaning="The PACS did not say how many images the series has.",
        todo="Check the query service (PULMONODE_PACS_QUERY) with C-ECHO; force the job meanwhile.",
    ),
    "no_geometry": Advice(
        meaning="The images do not say where they lie in the patient.", todo=_SOURCE
    ),
    "unequal_spacing": Advice(
        meaning="The distance between slices changes within the series.",
        todo="Route the reconstruction with equal spacing.",
    ),
    "mixed_series": Advice(
        meaning="One series number holds images of several acquisitions.",
        todo="Have the source split them; the reason says in what they differ.",
    ),
    "gantry_tilt": Advice(
        meaning="The gantry was tilted more than the methods allow.",
        todo="Route a reconstruction without tilt, if there is one.",
    ),
    "not_axial": Advice(meaning="The slices are not axial.", todo=_ROUTE),
    "temporal_4d": Advice(
        meaning="The series holds the same place at several times (4D, perfusion).", todo=_ROUTE
    ),
    "duplicate_slices": Advice(
        meaning="Several images lie at the same place.",
        todo="Have the source split the acquisitions into series.",
    ),
    "conflicting_instances": Advice(
        meaning="Two images of one identity hold different pixels.", todo=_SOURCE
    ),
    "not_pet": Advice(meaning="A PET series holds other images as well.", todo=_SOURCE),
    "truncated": Advice(meaning="Images are cut short.", todo=_SOURCE),
    "undecodable": Advice(
        meaning="Pixels cannot be decoded; the reason names the image.", todo=_SOURCE
    ),
    "too_large": Advice(
        meaning="The series has, or claims, more pixels than are analysed.",
        todo="Route an axial series of usual size; if it is one, look at its Rows and Columns.",
    ),
    "unreadable": Advice(
        meaning="A file that came is no readable DICOM object. It is kept aside.",
        todo="Look at what sent it; send the image again.",
    ),
    "no_instances": Advice(meaning="None of its files can be used.", todo="Send the series again."),
    "wrong_rescale": Advice(
        meaning="The densities are not those of a chest CT.",
        todo="Look at Rescale Slope and Intercept at the source, and at who changed them.",
    ),
    "implausible_hu": Advice(
        meaning="Air and tissue do not have the densities that they have in a CT.",
        todo="Look at Rescale Slope and Intercept at the source, and at who changed them.",
    ),
    "no_lungs": Advice(
        meaning="No lungs were found in the pixels.",
        todo="Nothing, if it is no chest. If it is one, please report the job.",
    ),
    # whose it is
    "conflicting_patient": Advice(
        meaning="Images of one study name different patients. Nothing goes out before it is clear.",
        todo="Clear it up at the source, correct the study in the PACS, send it again, then retry.",
    ),
    "correction_not_agreed": Advice(
        meaning="Patient or study data were corrected, and the PACS says something else.",
        todo="Correct the study in the PACS, then retry.",
    ),
    "answer_conflicts": Advice(
        meaning="A report about our result names another patient or study.",
        todo="Correct that report in the PACS and send it again.",
    ),
    "pixels_changed": Advice(
        meaning="An image came again with other pixels. The first ones count.",
        todo="If the new ones are right, cancel this job and send them as a new series.",
    ),
    "older_copy": Advice(meaning="An older copy of what is known came; the newer one counts."),
    # how the work went
    "retry": Advice(meaning="An attempt failed in a way that may pass; it is tried again soon."),
    "worker_lost": Advice(
        meaning="The worker that had it fell silent; another one takes it.",
        todo="If that happens often: memory of the worker's host, and its log.",
    ),
    "delivery_failed": Advice(
        meaning="A destination did not take the result, and trying was given up.",
        todo="Press C-ECHO at the destination, mend what it says, then retry: the same bytes are "
        "sent again.",
    ),
    "recorded_otherwise": Advice(
        meaning="The store holds a result of this revision under other patient data.",
        todo="Stop the node, run 'pulmonode reindex', start it again.",
    ),
    "cancelled": Advice(meaning="Somebody stopped it.", todo="Retry it if that was a mistake."),
    "superseded": Advice(meaning="Another job's result replaces it."),
    "late_instance": Advice(meaning="More images came; a newer revision replaces it."),
    "corrected": Advice(meaning="Patient or study data were corrected; a newer one replaces it."),
    "withheld": Advice(
        meaning="Its destinations withhold results until the radiologist's report is signed.",
        todo="Nothing. 'Release' lets it go now.",
    ),
    "shadow": Advice(meaning="Its destinations are in shadow: results are counted, never sent."),
    # errors by their class
    "OutOfMemory": Advice(
        meaning="The machine ran out of memory.",
        todo="Give the worker more, or fewer processes at once; then retry.",
    ),
    "MemoryError": Advice(
        meaning="The machine ran out of memory.",
        todo="Give the worker more, or fewer processes at once; then retry.",
    ),
    "WeightsRefused": Advice(
        meaning="The trained weights are missing or not those of the manifest.",
        todo="Run 'pulmonode doctor' on the worker.",
    ),
    "BankRefused": Advice(
        meaning="The typical-case bank is missing or damaged.",
        todo="Is its folder mounted on the worker? 'pulmonode doctor' says more.",
    ),
    "EngineUnavailable": Advice(
        meaning="What shall run the networks is not installed, or cannot.",
        todo="Run 'pulmonode doctor' on the worker.",
    ),
    "ComposeError": Advice(
        meaning="A result object could not be written.",
        todo="Please report the job's number and the worker's log of that time.",
    ),
    "FontMissing": Advice(
        meaning="No font has the letters of a report's language.",
        todo="Install one on the worker (Debian: fonts-wqy-microhei), or set PULMONODE_FONT_FILE.",
    ),
    "StoreUnavailable": Advice(
        meaning="The object store does not answer.", todo="Look at the store or share; then retry."
    ),
    "ObjectMissing": Advice(
        meaning="A file that must be in the object store is gone.",
        todo="Is the share mounted? Restore it from the backup, then retry.",
    ),
    "ObjectChanged": Advice(
        meaning="A file in the object store is not what was written.",
        todo="Restore it from the backup, then retry. Look at the disk.",
    ),
    "TimeLimitExceeded": Advice(
        meaning="The analysis took longer than allowed.",
        todo="Raise PULMONODE_ANALYSE_LIMIT_S or give the worker more cores.",
    ),
}

REFUSED = re.compile(r"status 0x([0-9A-F]{4})")
UNREACHABLE = Advice(
    meaning="No association could be made: nobody listens there, the address is wrong, a firewall "
    "is between, or the destination does not know our AE title.",
    todo="Press C-ECHO. Check host, port and AE title on both sides. Results wait and go out by "
    "themselves when it answers.",
)
GIVEN_UP = Advice(
    meaning=UNREACHABLE.meaning,
    todo="Press C-ECHO. Check host, port and AE title on both sides. When it answers, retry: it "
    "was given up.",
)
OUT_OF_RESOURCES = Advice(
    meaning="The destination is out of resources (often: its disk is full).",
    todo="Free space there. What waits goes out by itself afterwards; retry what was given up.",
)
NO_PROOF = Advice(
    meaning="The destination did not prove that it keeps the objects.",
    todo="Look at its storage commitment service and its way back to us; what is unproved is sent "
    "again.",
)
NOT_TAKEN = Advice(
    meaning="The destination refused an object.",
    todo="Look at its log: does it take SR and SEG from our AE title? Then retry.",
)

HL7_AWAY = Advice(
    meaning="The receiver of HL7 takes no connection, or gives no answer that can be read.",
    todo="Press Connect. Check host, port, TLS and the interface engine. What waits goes out by "
    "itself under the same control ID; retry what was given up.",
)
HL7_LATER = Advice(
    meaning="The receiver of HL7 cannot take the message now (AR, CE, or an error of its own).",
    todo="Look at its log. The message is sent again by itself; retry what was given up.",
)
HL7_REFUSED = Advice(
    meaning="The receiver of HL7 says that the message is wrong for it (AE, CR).",
    todo="Look at its log: does it know the patient ID and its authority, the codes, MSH-3 to "
    "MSH-6? Mend it there or in the destination's settings, then retry.",
)


def advise(state: str, code: str | None) -> Advice:
    """What a job's state and reason code mean."""
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    return BY_STATE[JobState(state)]


def advise_delivery(state: str, reason: str | None) -> Advice | None:
    """What the last answer of a destination means; `None` where there is nothing to explain.

    Parameters
    ----------
    state : str
        Of the delivery.
    reason : str or None
        As it stands there.
    """
    if state == DeliveryState.WITHHELD:
        return BY_CODE["withheld"]
    if state == DeliveryState.SHADOW:
        return BY_CODE["shadow"]
    if not reason:
        return None
    if "no association" in reason:
        return GIVEN_UP if state == DeliveryState.FAILED else UNREACHABLE
    if "storage commitment" in reason:
        return NO_PROOF
    if "the receiver answered" in reason:
        return HL7_REFUSED if "then retry" in reason else HL7_LATER
    if "HL7 receiver" in reason or "the answer " in reason:
        return HL7_AWAY
    refused = REFUSED.search(reason)
    if refused:
        return OUT_OF_RESOURCES if refused[1].startswith("A7") else NOT_TAKEN
    return None
