"""Which profile each destination uses, by the settings."""

from __future__ import annotations

from dicom_node.compose.profile import (
    DEFAULT_NAME,
    InvalidProfile,
    ObjectKind,
    Profile,
    load_profiles,
)
from workers.peer_settings import Hl7DestinationSettings
from workers.settings import Settings


def profiles_in_use(settings: Settings) -> tuple[Profile, ...]:
    """The profiles that results are composed in: each destination's, by name.

    The one called ``default`` where there is no destination, so that the result can be looked
    at, and sent when there is one.

    Raises
    ------
    InvalidProfile
        If a file of the site's is not a profile's, or a destination names one that is not there.
    """
    known = load_profiles(settings.profiles_dir)
    names = {item.profile for item in settings.destinations} or {DEFAULT_NAME}
    for item in settings.destinations:
        if item.profile not in known:
            raise InvalidProfile(
                f"destination {item.name}: no profile {item.profile!r}; there are "
                f"{', '.join(sorted(known))}"
            )
        objects = known[item.profile].objects
        if isinstance(item, Hl7DestinationSettings) and ObjectKind.SR not in objects:
            raise InvalidProfile(
                f"destination {item.name}: profile {item.profile!r} has no sr, of which an HL7 "
                "message would tell"
            )
    return tuple(known[name] for name in sorted(names))
