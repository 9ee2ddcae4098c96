"""The associations' side, as the configuration wants it."""

from __future__ import annotations

import os
from typing import Final

from ponte_net.tls import TlsOptions
from router.access import AccessRules
from router.association import AssociationLimits
from router.carrier import CarrierSettings
from router.carriers import Carriers
from router.config import ListenerConfig, RouterConfig
from router.counters import Counters
from router.intake import DiskLimits, SpoolIntake
from router.listener import Endpoint
from router.scp import ConnectionLimits, Scp
from router.stem import Stem

MOST_PROCESSES: Final = 4
"""Where as many carry as there are cores: one committer serves no more of them faster."""


def listen(config: RouterConfig, intake: SpoolIntake, counters: Counters) -> Scp | Carriers:
    """The SCP that hands what it receives to `intake`. It listens from its `start` on."""
    endpoints = tuple(_endpoint(listener) for listener in config.listeners)
    found, most, disk = config.access, config.limits, config.disk
    access = AccessRules(found.called_ae_titles, found.calling_ae_titles, found.addresses, found.sop_classes)
    connections = ConnectionLimits(most.associations, most.associations_per_address)
    limits = AssociationLimits(
        max_pdu_bytes=most.max_pdu_bytes,
        instance_bytes=most.instance_bytes,
        handshake_s=most.handshake_s,
        idle_s=most.idle_s,
        pdu_s=most.pdu_s,
    )
    processes = most.processes or min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    if processes == 1:
        return Scp(
            endpoints, intake, access=access, connections=connections, limits=limits, counters=counters
        )
    settings = CarrierSettings(
        config.dicom_root,
        endpoints,
        access,
        limits,
        DiskLimits(disk.associations_bytes, disk.instances_bytes, disk.warning_bytes),
        quarantine_bytes=disk.quarantine_bytes,
        log_level=config.log_level,
    )
    return Carriers(
        settings,
        intake,
        processes=processes,
        stem=Stem(settings),
        connections=connections,
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
