"""What is not an image, on paper: which module draws an instance of which SOP class.

A drawer is imported when its first instance comes: a study of images alone pays for none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, Protocol, cast

from pydicom.dataset import Dataset
from pydicom.uid import (
    AcquisitionContextSRStorage,
    AmbulatoryECGWaveformStorage,
    ArterialPulseWaveformStorage,
    BasicTextSRStorage,
    BodyPositionWaveformStorage,
    CardiacElectrophysiologyWaveformStorage,
    ChestCADSRStorage,
    ColonCADSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ElectromyogramWaveformStorage,
    ElectrooculogramWaveformStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    EnhancedXRayRadiationDoseSRStorage,
    ExtensibleSRStorage,
    General32bitECGWaveformStorage,
    GeneralECGWaveformStorage,
    HemodynamicWaveformStorage,
    ImplantationPlanSRStorage,
    MammographyCADSRStorage,
    MultichannelRespiratoryWaveformStorage,
    PatientRadiationDoseSRStorage,
    PerformedImagingAgentAdministrationSRStorage,
    PlannedImagingAgentAdministrationSRStorage,
    ProcedureLogStorage,
    RadiopharmaceuticalRadiationDoseSRStorage,
    RespiratoryWaveformStorage,
    RoutineScalpElectroencephalogramWaveformStorage,
    SimplifiedAdultEchoSRStorage,
    SleepElectroencephalogramWaveformStorage,
    SpectaclePrescriptionReportStorage,
    TwelveLeadECGWaveformStorage,
    WaveformAnnotationSRStorage,
    XRayRadiationDoseSRStorage,
)

from render.pdf import PdfWriter
from render.sheet import Document
from render.texts import Texts


class Drawer(Protocol):
    """Draws one instance; its images and forms are in `writer` when it returns.

    A document without sheets is listed by its title alone. With `anonymize`, neither title nor sheets hold
    anything that a person wrote. Raises errors of `ponte.errors`.
    """

    def __call__(
        self, dataset: Dataset, writer: PdfWriter, texts: Texts, *, anonymize: bool
    ) -> Document | None: ...


_REPORTS: Final = (
    AcquisitionContextSRStorage,
    BasicTextSRStorage,
    ChestCADSRStorage,
    ColonCADSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    EnhancedXRayRadiationDoseSRStorage,
    ExtensibleSRStorage,
    ImplantationPlanSRStorage,
    MammographyCADSRStorage,
    PatientRadiationDoseSRStorage,
    PerformedImagingAgentAdministrationSRStorage,
    PlannedImagingAgentAdministrationSRStorage,
    ProcedureLogStorage,
    RadiopharmaceuticalRadiationDoseSRStorage,
    SimplifiedAdultEchoSRStorage,
    SpectaclePrescriptionReportStorage,
    WaveformAnnotationSRStorage,
    XRayRadiationDoseSRStorage,
)

_WAVEFORMS: Final = (
    AmbulatoryECGWaveformStorage,
    ArterialPulseWaveformStorage,
    BodyPositionWaveformStorage,
    CardiacElectrophysiologyWaveformStorage,
    ElectromyogramWaveformStorage,
    ElectrooculogramWaveformStorage,
    General32bitECGWaveformStorage,
    GeneralECGWaveformStorage,
    HemodynamicWaveformStorage,
    MultichannelRespiratoryWaveformStorage,
    RespiratoryWaveformStorage,
    RoutineScalpElectroencephalogramWaveformStorage,
    SleepElectroencephalogramWaveformStorage,
    TwelveLeadECGWaveformStorage,
)

_MODULES: Final[dict[str, str]] = {
    EncapsulatedPDFStorage: "encapsulated",
    **dict.fromkeys(_REPORTS, "structured"),
    **dict.fromkeys(_WAVEFORMS, "tracing"),
}
_OTHERS: Final = "listed"


def drawer_of(sop_class_uid: str) -> Drawer:
    """What draws instances of this class; of a class that has no pages, what names it."""
    module = import_module(f"{__name__}.{_MODULES.get(sop_class_uid, _OTHERS)}")
    return cast("Drawer", module.draw)
