"""How much, how many and how slowly: what the SCP takes before it says no."""

from __future__ import annotations

from dataclasses import dataclass

ANNOUNCED_PDU_BYTES = 131072
"""Maximum PDU length that we announce: what DCMTK and Orthanc send at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveLimits:
    """What a peer may do; each one that is reached is logged and counted.

    Attributes
    ----------
    maximum_associations, maximum_associations_per_peer : int
        Established at once, in all and from one address; more are rejected as transient
        (local limit exceeded, PS3.8 section 9.3.4).
    maximum_connections_per_peer : int
        TCP connections from one address, silent ones included; more are closed.
    associations_per_minute : int
        New associations of one address; more are rejected as transient. 0: any number.
    request_timeout_s : float
        By when a connection has asked for an association, TLS included (ARTIM, PS3.8
        section 9.1.5).
    pdu_timeout_s : float
        By when a PDU that began is whole.
    instance_timeout_s : float
        By when an instance that began is whole.
    maximum_pdu_bytes : int
        Longest PDU taken; one that is longer ends the association.
    maximum_instance_bytes : int
        Of a data set; a longer one is read to its end, not kept, and answered Out of Resources.
    maximum_contexts : int
        Presentation contexts proposed; more are rejected. 128 are possible (PS3.8 section 9.3.2).
    """

    maximum_associations: int = 32
    maximum_associations_per_peer: int = 16
    maximum_connections_per_peer: int = 64
    associations_per_minute: int = 0
    request_timeout_s: float = 10.0
    pdu_timeout_s: float = 60.0
    instance_timeout_s: float = 600.0
    maximum_pdu_bytes: int = 1 << 20
    maximum_instance_bytes: int = 4 << 30
    maximum_contexts: int = 128
