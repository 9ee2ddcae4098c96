"""The associations' side, as the configuration wants it."""

from __future__ import annotations

from ponte_net.tls import TlsOptions
from router.access import AccessRules
from router.association import AssociationLimits
from router.config import ListenerConfig, RouterConfig
from router.counters import Counters
from router.listener import Endpoint
from router.reception import Intake
from router.scp import ConnectionLimits, Scp


def listen(config: RouterConfig, intake: Intake, counters: Counters) -> Scp:
    """The SCP that hands what it receives to `intake`. It listens from its `start` on."""
    access, limits = config.access, config.limits
    return Scp(
        [_endpoint(listener) for listener in config.listeners],
        intake,
        access=AccessRules(
            access.called_ae_titles, access.calling_ae_titles, access.addresses, access.sop_classes
        ),
        connections=ConnectionLimits(limits.associations, limits.associations_per_address),
        limits=AssociationLimits(
            max_pdu_bytes=limits.max_pdu_bytes,
            instance_bytes=limits.instance_bytes,
            handshake_s=limits.handshake_s,
            idle_s=limits.idle_s,
            pdu_s=limits.pdu_s,
        ),
        counters=counters,
    )


def _endpoint(listener: ListenerConfig) -> Endpoint:
    tls = listener.tls
    if tls is None:
        return Endpoint(listener.port, listener.address, listener.label)
    options = TlsOptions(
        ca_file=tls.client_ca_file,
        certificate_file=tls.certificate_file,
        key_file=tls.key_file,
        require_client=tls.client_ca_file is not None,
        key_password=tls.key_password,
    )
    return Endpoint(listener.port, listener.address, listener.label, options)
