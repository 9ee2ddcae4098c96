"""Whom to look at: this machine, the modalities and the destinations of a configuration, and who has sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from doctor import seen
from doctor.bucket import Bucket
from doctor.dicom import DicomPeer, Wishes
from doctor.machine import NAME, Machine
from doctor.reach import Reach
from doctor.steps import Check, Found, Subject
from doctor.web import WebPeer
from doctor.words import Phrase, when
from ponte.errors import InvalidRequest
from ponte_net.contexts import Kind
from ponte_net.destinations import read_node
from router.config import ModalityConfig, RouterConfig
from router.destinations import DicomNode, Inbox, Target, WebServer, read_destinations


def subjects(config: RouterConfig, names: Sequence[str] = (), *, stores: bool = False) -> list[Subject]:
    """All of them, or those named: `machine`, a modality, a destination, or an address
    (`dicom://AET@host:port`, `https://host/dicom-web`, `orthanc+http://host:8042`).

    With `stores` the marked object is sent: to destinations, and to modalities that allow it. Raises
    `InvalidRequest` for a name that is not known.
    """
    known = list(_known(config, stores=stores))
    if not names:
        return known
    found = []
    for name in dict.fromkeys(names):
        if "://" in name:
            found.append(_subject_of(_read(name, config.ae_title), [], stores=stores))
        elif chosen := [one for one in known if one.name == name]:
            found += chosen
        else:
            there = ", ".join(one.name for one in known)
            raise InvalidRequest(f"{name} is neither a destination nor a modality; expected one of {there}")
    return found


def _known(config: RouterConfig, *, stores: bool) -> Iterator[Subject]:
    yield Machine(config).subject()
    for modality in config.modalities:
        yield _modality(modality, config.ae_title, stores=stores)
    yield from _seen(config)
    kinds = seen.kinds(config.dicom_root)
    for target in config.destinations:
        yield _subject_of(target, kinds, stores=stores)


def _modality(modality: ModalityConfig, calling_ae_title: str, *, stores: bool) -> Subject:
    node = DicomNode(
        kind="dicom", name="modality", host=modality.host, port=modality.port,
        ae_title=modality.ae_title, calling_ae_title=calling_ae_title,
    )  # fmt: skip
    wishes = Wishes(stores=stores, may_store=modality.test_store, is_modality=True)
    detail = f"{modality.ae_title} {modality.host}:{modality.port}"
    return Subject("modality", modality.name, detail, DicomPeer(node, wishes).checks())


def _seen(config: RouterConfig) -> Iterator[Subject]:
    """Who has sent and has no entry: its address is known, its port is not."""
    titles = {one.ae_title for one in config.modalities}
    for sender in seen.senders(config.dicom_root):
        if sender.ae_title not in titles:
            yield _without_entry(sender)


def _without_entry(sender: seen.Sender) -> Subject:
    values = {"count": str(sender.associations), "at": when(sender.last_at), "ae_title": sender.ae_title}
    said = Found("ok", (Phrase("seen.sent", values),))
    unknown = Found("skipped", (Phrase("seen.no_port"),), (Phrase("seen.advice", values),))
    reach = Reach(sender.address, None)
    ways = (
        (Check("dns", reach.dns), Check("ping", reach.ping, ("dns",))) if _is_address(sender.address) else ()
    )
    checks = (Check("seen", lambda: said), *ways, Check("tcp", lambda: unknown))
    return Subject("modality", f"{sender.ae_title}@{sender.address}", sender.address, checks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _subject_of(target: Target, kinds: Sequence[Kind], *, stores: bool) -> Subject:
    if isinstance(target, DicomNode):
        wishes = Wishes(stores=stores, seen=kinds)
        detail = f"{target.ae_title} {target.host}:{target.port}"
        return Subject("destination", target.name, detail, DicomPeer(target, wishes).checks())
    if isinstance(target, WebServer):
        return Subject("destination", target.name, target.url, WebPeer(target, stores=stores).checks())
    bucket = Bucket(target)
    detail = f"s3://{target.bucket}/{target.prefix}"
    return Subject("destination", target.name, detail, bucket.checks())


def _read(address: str, calling_ae_title: str) -> DicomNode | WebServer:
    """A destination that no configuration has. Raises `InvalidRequest`."""
    if address.startswith("dicom://"):
        node = read_node(address)
        ours = node.calling_ae_title if node.calling_ae_title != "PONTE" else calling_ae_title
        values = {
            "kind": "dicom", "host": node.host, "port": node.port, "ae_title": node.ae_title, "tls": node.tls,
            "calling_ae_title": ours,
            "local_port": node.local_port, "ca_file": node.ca_file, "certificate_file": node.cert_file,
            "key_file": node.key_file,
        }  # fmt: skip
    else:
        kind = "orthanc" if address.startswith("orthanc+") else "dicomweb"
        values = {"kind": kind, "url": address.removeprefix("orthanc+")}
    host = urlsplit(address).hostname or "address"
    (found,) = read_destinations([{"name": "address", **values}])
    assert not isinstance(found, Inbox)  # noqa: S101  (by its kind)
    return found.model_copy(update={"name": host})


__all__ = ["NAME", "subjects"]
