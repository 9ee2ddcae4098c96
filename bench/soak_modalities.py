"""The modalities of the soak, in a process of their own, a thread each:
`python -m bench.soak_modalities PORT TLS_PORT CA_FILE INSTANCES RATE SEED LEDGER`.

Each sends its share in associations of some dozens, and again what was not answered with Success; that goes
into the ledger when it was. They end when all of it was.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
import pydicom.uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from bench.receivers import HOST
from bench.soak_archive import note, open_ledger
from ponte.destination import Outgoing
from ponte.errors import PonteError
from ponte.scan import scan
from ponte_net.association import Patience
from ponte_net.scu import Peer, Scu, ScuLimits, TlsOptions

PER_STUDY: Final = 120
_ROOT: Final = "1.2.826.0.1.3680043.10.543."
_PATIENCE = Patience(connect_s=5, acse_s=10, dimse_s=60)
_INSTANCE, _STUDY, _SERIES = 1, 2, 3


@dataclass(frozen=True)
class Modality:
    """What it makes: so many pixels a side, in this syntax; 0 for none."""

    modality: str
    sop_class: UID
    syntax: UID
    side: int
    tls: bool = False


MODALITIES: Final = (
    Modality("CT", pydicom.uid.CTImageStorage, pydicom.uid.ExplicitVRLittleEndian, 128),
    Modality("CT", pydicom.uid.CTImageStorage, pydicom.uid.JPEGLosslessSV1, 256),
    Modality("MR", pydicom.uid.MRImageStorage, pydicom.uid.ImplicitVRLittleEndian, 128),
    Modality("MR", pydicom.uid.MRImageStorage, pydicom.uid.RLELossless, 128, tls=True),
    Modality("CR", pydicom.uid.ComputedRadiographyImageStorage, pydicom.uid.ExplicitVRLittleEndian, 384),
    Modality(
        "MG",
        pydicom.uid.DigitalMammographyXRayImageStorageForPresentation,
        pydicom.uid.JPEG2000Lossless,
        384,
        tls=True,
    ),
    Modality("US", pydicom.uid.UltrasoundImageStorage, pydicom.uid.JPEGBaseline8Bit, 384),
    Modality("OT", pydicom.uid.SecondaryCaptureImageStorage, pydicom.uid.ExplicitVRLittleEndian, 64),
    Modality("XA", pydicom.uid.XRayAngiographicImageStorage, pydicom.uid.JPEGLSLossless, 256),
    Modality("SR", pydicom.uid.BasicTextSRStorage, pydicom.uid.ImplicitVRLittleEndian, 0),
)


def uid_of(modality: int, kind: int, number: int) -> str:
    """All of one length, so that they can be written over each other."""
    return f"{_ROOT}1{modality:02}{kind}{number:09}"


class Templates:
    """Instances of one modality: the same bytes but for their UIDs."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.kind = MODALITIES[number]
        data = _encoded(number, self.kind)
        self._dataset = data[scan([data]).dataset_start :]

    def instance(self, number: int) -> Outgoing:
        """The number-th; each study has `PER_STUDY`."""
        data = self._dataset
        for kind, which in (
            (_INSTANCE, number),
            (_STUDY, number // PER_STUDY),
            (_SERIES, number // PER_STUDY),
        ):
            old, new = uid_of(self._number, kind, 0), uid_of(self._number, kind, which)
            data = data.replace(old.encode(), new.encode(), 1)
        uid = uid_of(self._number, _INSTANCE, number)
        return Outgoing(uid, data, self.kind.sop_class, self.kind.syntax)


def _encoded(number: int, kind: Modality) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = kind.syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind.sop_class, uid_of(number, _INSTANCE, 0)
    dataset.StudyInstanceUID = uid_of(number, _STUDY, 0)
    dataset.SeriesInstanceUID = uid_of(number, _SERIES, 0)
    dataset.PatientName, dataset.PatientID = f"Soak^{number}", f"S{number}"
    dataset.StudyDate, dataset.Modality = "20260102", kind.modality
    if kind.side:
        _set_pixels(dataset, kind)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _set_pixels(dataset: Dataset, kind: Modality) -> None:
    depth = np.uint8 if kind.syntax == pydicom.uid.JPEGBaseline8Bit else np.uint16
    pixels = np.random.default_rng(7).integers(0, 200, (kind.side, kind.side)).astype(depth)
    bits = pixels.itemsize * 8
    dataset.Rows = dataset.Columns = kind.side
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    encoders = {
        pydicom.uid.JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(pixels, bitspersample=16),
        pydicom.uid.JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", level=0),
        pydicom.uid.JPEGBaseline8Bit: lambda: imagecodecs.jpeg8_encode(pixels),
        pydicom.uid.JPEGLSLossless: lambda: imagecodecs.jpegls_encode(pixels),
    }
    if kind.syntax == pydicom.uid.RLELossless:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    elif kind.syntax in encoders:
        dataset.PixelData = encapsulate([bytes(encoders[kind.syntax]())])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True


class Sender:
    """One modality at work."""

    def __init__(self, number: int, scu: Scu, ledger: int, seed: int) -> None:
        self._templates = Templates(number)
        self._scu = scu
        self._ledger = ledger
        self._chance = random.Random(seed * 100 + number)

    def send(self, count: int, rate: float) -> None:
        """So many, at so many a second; behind that as fast as it goes."""
        waiting = dict.fromkeys(range(1, count + 1))
        began = time.monotonic()
        while waiting:
            numbers = list(islice(waiting, self._chance.randint(10, 60)))
            for number in self._stored(numbers):
                del waiting[number]
            due_s = (count - len(waiting)) / rate - (time.monotonic() - began)
            time.sleep(max(due_s, self._chance.uniform(0.0, 0.2)))

    def _stored(self, numbers: list[int]) -> Iterator[int]:
        """On one association, as far as it goes."""
        batch = [self._templates.instance(number) for number in numbers]
        try:
            for number, instance, outcome in zip(numbers, batch, self._scu.store(batch), strict=False):
                if outcome.stored:
                    assert isinstance(instance.content, bytes)
                    note(self._ledger, outcome.sop_instance_uid, hashlib.sha256(instance.content).hexdigest())
                    yield number
        except PonteError:
            return


def main() -> None:
    port, tls_port, ca_file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    instances, rate, seed = int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6])
    ledger = open_ledger(Path(sys.argv[7]))
    limits, tls = ScuLimits(retries=0, patience=_PATIENCE), TlsOptions(ca_file=ca_file)
    count = len(MODALITIES)
    senders = []
    for number, kind in enumerate(MODALITIES):
        peer = Peer(HOST, tls_port if kind.tls else port, "STORESCP")
        title = f"{kind.modality}{number}"
        scu = Scu(peer, calling_ae_title=title, tls_options=tls if kind.tls else None, limits=limits)
        senders.append(Sender(number, scu, ledger, seed))
    shares = [instances // count + (number < instances % count) for number in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda sender, share: sender.send(share, rate / count), senders, shares))


if __name__ == "__main__":
    main()
