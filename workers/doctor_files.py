"""What `pulmonode doctor` says of files: certificates that end, and who can read secrets."""

from __future__ import annotations

import grp
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from workers.certificates import NamedFile, counts_until, named_files, read_certificates
from workers.doctor_host import Check
from workers.settings import Settings

DAY_S = 86_400.0
SAID_BEFORE_DAYS = 30.0
"""A certificate that ends sooner is said; renewing one takes a hospital weeks."""


def certificates(settings: Settings) -> Iterator[Check]:
    """Until when each certificate counts: ours, the authorities', and those of each port."""
    for file in named_files(settings):
        if file.is_certificate or file.is_authorities:
            yield _certificate(file)


def _certificate(file: NamedFile) -> Check:
    what = f"certificate {file.setting}"
    try:
        found = read_certificates(file.path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no certificate in PEM form"
        return Check(what=what, ok=False, found=f"{file.path}: {why}")
    now = time.time()
    days = (counts_until(file, found) - now) / DAY_S
    if days < 0:
        said = f"{file.path} ended {-days:.0f} days ago: put a new one in its place"
        return Check(what=what, ok=False, found=said)
    soon = [item for item in found if item.not_after - now < SAID_BEFORE_DAYS * DAY_S]
    if not soon:
        return Check(what=what, ok=True, found=f"{file.path}: {days:.0f} days left")
    first = min(soon, key=lambda item: item.not_after)
    left = (first.not_after - now) / DAY_S
    ends = f"ends in {left:.0f} days" if left >= 0 else f"ended {-left:.0f} days ago"
    more = f", and {len(soon) - 1} more of {len(found)} soon" if len(soon) > 1 else ""
    return Check(what=what, ok=None, found=f"{file.path}: {first.name} {ends}{more}: renew it")


def secrets(settings: Settings) -> Iterator[Check]:
    """Whether others on this machine can read keys and passwords, or what is of patients."""
    files = [(file.setting, file.path) for file in named_files(settings) if file.is_secret]
    config = os.environ.get("PULMONODE_CONFIG")
    if config is not None and _has_password(settings):
        files.append(("PULMONODE_CONFIG with a password", Path(config)))
    if settings.data_dir.is_dir():
        files.append(("data folder", settings.data_dir))
    open_to_all, open_to_group = [], []
    for name, path in files:
        try:
            found = path.stat()
        except OSError:
            continue  # said by what needs it
        if found.st_mode & stat.S_IRWXO:
            open_to_all.append(f"{name} {path}")
        elif found.st_mode & stat.S_IRWXG and not path.is_dir():
            open_to_group.append(f"{name} {path} (group {_group(found.st_gid)})")
    if open_to_all:
        said = f"anybody on this machine can read {', '.join(open_to_all)}: chmod o-rwx"
        yield Check(what="secrets", ok=False, found=said)
    if open_to_group:
        said = f"a group can read {', '.join(open_to_group)}: it should be the service's alone"
        yield Check(what="secrets", ok=None, found=said)
    if files and not open_to_all and not open_to_group:
        yield Check(what="secrets", ok=True, found="nobody else can read them")


def _has_password(settings: Settings) -> bool:
    urls = (settings.state_url, settings.broker_url, settings.store_url)
    return any(urlsplit(url).password for url in urls if url)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
