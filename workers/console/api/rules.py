"""Trying the eligibility rules on uploaded DICOM files, which are not kept."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from dicom_node.errors import UnreadableInstance
from dicom_node.read.eligibility import load_rules
from workers.access_errors import RequestRefused
from workers.console.access import FILES_AT_MOST, App, Operator
from workers.console.api.paths import PREFIX, REFUSALS
from workers.console.api.site_models import JudgedSeriesRow
from workers.console.uploads import UNPACKED_AT_MOST, unpack
from workers.usecases.share_settings import with_site_settings
from workers.usecases.try_rules import try_rules

router = APIRouter(prefix=PREFIX, tags=["rules"], responses=REFUSALS)
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "DICOM files of series, or ZIP archives of them",
                        }
                    },
                }
            }
        },
    }
}


@router.post("/rules/test", response_model=list[JudgedSeriesRow], openapi_extra=BODY)
async def judge(request: Request, app: App, _caller: Operator) -> Any:
    """Which rule says what of the uploaded series.

    The body is read after the caller is known, so nobody else can fill the disk.
    """
    return await judge_upload(request, app)


async def judge_upload(request: Request, app: App) -> list[dict[str, Any]]:
    """Judge the files of a form's field ``files``; they are deleted afterwards.

    Raises
    ------
    RequestRefused
        If there is none, or none is DICOM.
    """
    async with request.form(max_files=FILES_AT_MOST) as form:
        uploads = [item.file for item in form.getlist("files") if isinstance(item, UploadFile)]
        if not uploads:
            raise RequestRefused("no file came in the field 'files'", "send DICOM files in it")
        try:
            return await run_in_threadpool(_judge, app, uploads)
        except UnreadableInstance as error:
            raise RequestRefused(
                "no file is DICOM, or one cannot be read",
                "send the files as the PACS stores them",
            ) from error


def _judge(app: App, files: Sequence[BinaryIO]) -> list[dict[str, Any]]:
    rules = load_rules(with_site_settings(app).settings.rules_file)
    with tempfile.TemporaryDirectory(prefix="pulmonode-rules-") as folder:
        limit_bytes = UNPACKED_AT_MOST * app.settings.console_upload_limit_bytes
        unpack(files, Path(folder), limit_bytes=limit_bytes)
        return try_rules(Path(folder), rules)
