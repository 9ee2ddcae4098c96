"""What a destination has of a study, by its own account: C-FIND (PS3.4 C) or QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import quote

from pydicom.dataset import Dataset

from ponte.errors import (
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    InvalidRequest,
)
from ponte.quiet import quiet
from ponte.storeclient import StoreClient, StoreLimits, raise_for_status
from ponte.uid import is_valid_uid
from ponte_net import tls
from ponte_net.tls import TlsOptions
from router.destinations import DicomNode, WebServer
from router.links import credentials_of

_STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING: Final = frozenset({0xFF00, 0xFF01})
_SUCCESS = 0x0000
_PAGE = 1000
_MOST: Final = 200_000
_SOP_INSTANCE_UID, _SERIES_INSTANCE_UID = "00080018", "0020000E"


class Catalogue(Protocol):
    """Asked for what there is; it knows nothing of what we sent."""

    def instances(self, study_instance_uid: str, series_instance_uid: str = "") -> set[str]:
        """The SOP Instance UIDs that it has of the series, or of the whole study.

        Raises `AccessRefused`, `DestinationRefused`, `DestinationUnavailable`, `DestinationTimeout`,
        `BadAnswer`: never less than it has without saying so.
        """
        ...


class FindCatalogue:
    """C-FIND, Study Root, on an association for each question."""

    def __init__(self, node: DicomNode) -> None:
        self._node = node

    def instances(self, study_instance_uid: str, series_instance_uid: str = "") -> set[str]:
        """See `Catalogue`. Without a series all series are asked for first, as the standard wants."""
        with quiet():
            return self._instances(study_instance_uid, series_instance_uid)

    def _instances(self, study: str, series: str) -> set[str]:
        association = self._associate()
        try:
            wanted = [series] if series else [
                _value(one, "SeriesInstanceUID")
                for one in self._find(association, "SERIES", StudyInstanceUID=study, SeriesInstanceUID="")
            ]  # fmt: skip
            return {
                _value(one, "SOPInstanceUID")
                for each in wanted
                for one in self._find(
                    association, "IMAGE", StudyInstanceUID=study, SeriesInstanceUID=each, SOPInstanceUID=""
                )
            }
        finally:
            association.release()

    def _associate(self) -> Any:
        from pynetdicom import AE

        node = self._node
        entity = AE(ae_title=node.calling_ae_title)
        entity.acse_timeout = entity.connection_timeout = min(30.0, node.timeout_s)
        entity.dimse_timeout = entity.network_timeout = node.timeout_s
        entity.add_requested_context(_STUDY_ROOT_FIND)
        options = TlsOptions(node.ca_file, node.certificate_file, node.key_file)
        context = (tls.client_context(options), node.host) if node.tls else None
        association = entity.associate(node.host, node.port, ae_title=node.ae_title, tls_args=context)
        if association.is_established:
            return association
        if association.is_rejected:
            raise DestinationRefused("The peer takes no association for C-FIND")
        raise DestinationUnavailable("The peer cannot be reached for C-FIND")

    def _find(self, association: Any, level: str, **keys: str) -> Iterator[Dataset]:
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        found = 0
        for status, identifier in association.send_c_find(query, _STUDY_ROOT_FIND):
            code = status.get("Status")
            if code is None:
                raise DestinationTimeout("The peer does not answer C-FIND to its end")
            if code in _PENDING and identifier is not None:
                found += 1
                if found > _MOST:
                    raise BadAnswer(f"The peer answers C-FIND with more than {_MOST} matches")
                yield identifier
            elif code != _SUCCESS:
                raise DestinationRefused(f"The peer answers C-FIND with {code:04X}H")


class QidoCatalogue:
    """QIDO-RS, page by page."""

    def __init__(self, server: WebServer) -> None:
        limits = StoreLimits(answer_s=server.timeout_s, retries=1)
        self._client = StoreClient(server.url, credentials=credentials_of(server), limits=limits)

    def instances(self, study_instance_uid: str, series_instance_uid: str = "") -> set[str]:
        """See `Catalogue`. It ends at a page that brings nothing new."""
        path = f"/studies/{quote(study_instance_uid, safe='')}"
        if series_instance_uid:
            path += f"/series/{quote(series_instance_uid, safe='')}"
        found: set[str] = set()
        while len(found) <= _MOST:
            query = f"/instances?includefield={_SOP_INSTANCE_UID}&limit={_PAGE}&offset={len(found)}"
            page = self._client.persist(partial(self._page, path + query))
            if not page - found:
                return found
            found |= page
        raise BadAnswer(f"The server answers with more than {_MOST} instances")

    def _page(self, path: str) -> set[str]:
        with self._client.ask("GET", path, {"Accept": "application/dicom+json"}) as answer:
            if answer.status in (204, 404):
                return set()
            if answer.status != 200:
                raise_for_status(answer, "200 or 204")
            return _uids(self._client.whole(answer))


def open_catalogue(target: DicomNode | WebServer) -> Catalogue:
    """Raises `InvalidRequest` for a destination that cannot be asked."""
    if isinstance(target, DicomNode):
        return FindCatalogue(target)
    if target.kind == "dicomweb":
        return QidoCatalogue(target)
    raise InvalidRequest(f"{target.name} cannot be asked for what it has; give it as dicom or dicomweb")


def _uids(body: bytes) -> set[str]:
    try:
        rows = json.loads(body)
        return {row[_SOP_INSTANCE_UID]["Value"][0] for row in rows}
    except (ValueError, RecursionError, KeyError, TypeError, IndexError) as error:
        raise BadAnswer("The answer is no list of instances in DICOM JSON") from error


def _value(identifier: Dataset, keyword: str) -> str:
    """Raises `BadAnswer` for a match that does not say what it matches."""
    value = str(identifier.get(keyword) or "").strip(" \0")
    if not is_valid_uid(value):
        raise BadAnswer(f"The peer answers C-FIND without a {keyword}")
    return value
