"""Commands that need no network: analyse and phantom.

What processes images is imported where it is used: no other command waits for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from dicom_node.compose.profile import DEFAULT_NAME, find_profile, load_profiles
from dicom_node.read.eligibility import load_rules
from workers.cli.nodules import print_findings
from workers.cli.output import console, errors, fail, load_settings, print_json, reported_errors

if TYPE_CHECKING:
    from workers.local import ContextFile

NOT_ELIGIBLE_EXIT = 3
Folder = Annotated[
    Path, typer.Argument(exists=True, file_okay=False, help="folder with DICOM files")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(analyse)
    app.command()(phantom)


def analyse(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="findings.json, features.npz, objects, pictures")],
    context: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON: age, sex ...")
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="folder with an earlier CT of the same patient"
        ),
    ] = None,
    pet: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder with a PET of the same study, and with its own CT if that is another one",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="text file with the radiologist's report of this CT, UTF-8 or GB18030",
        ),
    ] = None,
    grade_by: Annotated[
        str | None,
        typer.Option(
            help="what may count for a level beside the pixels, comma separated: ct_report, "
            "clinical, serology, pet; instead of PULMONODE_GRADE_BY"
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="dress of the objects, repeatable: default, ohif, air ... or your own"),
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="report.pdf and key_1.png ... as well, in the profile's language")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print findings.json")] = False,
) -> None:
    """Analyse the best chest CT series of a folder, without any network.

    Ends with 0 when analysed, 3 when nothing in the folder is eligible, 1 on an error.
    """
    from workers.case import CaseResult
    from workers.detector_choice import detector_of, grading_of, segmenter_of
    from workers.local import analyse_folder, write_result

    settings = load_settings(grade_by=grade_by)
    with reported_errors():
        told = _read_context(context)
        profiles = load_profiles(settings.profiles_dir)
        chosen = [find_profile(profiles, name) for name in profile or [DEFAULT_NAME]]
        with errors.status("judging the series") as status:
            result = analyse_folder(
                folder,
                load_rules(settings.rules_file),
                context=None if told is None else told.to_context(),
                known=None if told is None else told.to_known(),
                profiles=chosen,
                detector=detector_of(settings),
                segmenter=segmenter_of(settings),
                grading=grading_of(settings),
                prior=prior,
                pet=pet,
                report=report,
                pictures_in=chosen[0].language if pictures else None,
                font_file=settings.font_file,
                progress=lambda stage: status.update(f"{stage} ..."),
            )
        paths = write_result(result, out)
    findings = result.findings_json if isinstance(result, CaseResult) else result
    if as_json:
        print_json(findings)
    else:
        print_findings(console, findings)
        console.print("wrote " + ", ".join(str(path) for path in paths), soft_wrap=True)
    if not isinstance(result, CaseResult):
        raise typer.Exit(NOT_ELIGIBLE_EXIT)


def _read_context(path: Path | None) -> ContextFile | None:
    if path is None:
        return None
    from workers.local import ContextFile

    try:
        return ContextFile.model_validate_json(path.read_text())
    except ValidationError as error:
        details = "; ".join(f"{item['loc']}: {item['msg']}" for item in error.errors())
        fail(f"{path}: {details}")


def phantom(
    out: Annotated[Path, typer.Argument(help="folder for the series and truth.json")],
    seed: Annotated[int, typer.Option(help="same seed, same phantom")] = 0,
    slices: Annotated[int, typer.Option(min=8, max=1200, help="how many")] = 130,
    spacing: Annotated[float, typer.Option(min=0.3, max=10, help="between slices, mm")] = 2.5,
    pixels: Annotated[int, typer.Option(min=128, max=1024, help="rows and columns")] = 512,
    pixel_spacing: Annotated[float, typer.Option(min=0.3, max=3, help="mm")] = 0.7,
    noise: Annotated[float, typer.Option(min=0, max=200, help="standard deviation, HU")] = 20.0,
    descending: Annotated[bool, typer.Option(help="instance 1 at the feet or at the head")] = False,
    nodule: Annotated[
        list[str] | None,
        typer.Option(help="TYPE:DIAMETER_MM, repeatable, e.g. solid:12 or ground-glass:14"),
    ] = None,
) -> None:
    """Write a chest CT series with known truth."""
    from workers.phantom import write_phantom

    load_settings()
    with reported_errors():
        try:
            truth = write_phantom(
                out,
                seed=seed,
                slices=slices,
                spacing_mm=spacing,
                pixels=pixels,
                pixel_spacing_mm=pixel_spacing,
                noise_hu=noise,
                descending=descending,
                nodules=nodule,
            )
        except ValueError as error:
            fail(str(error))
    console.print(f"wrote {slices} slices with {len(truth['nodules'])} nodules to {out}")
