"""Every word that Ponte itself puts into a PDF, in Portuguese and in English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Language = Literal["pt-BR", "en"]


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. Fields with `{}` are filled by `str.format`."""

    date_format: str
    decimal_point: str
    title: str
    anonymous: str
    burned_in: str
    patient: str
    patient_id: str
    birth_date: str
    sex: str
    sexes: Mapping[str, str]
    study: str
    study_date: str
    accession: str
    institution: str
    referring: str
    requested_procedure: str
    study_uid: str
    exam_id: str
    authorisation: str
    procedure: str
    series_heading: str
    series: str
    series_without_number: str
    unreadable: str
    number_column: str
    modality_column: str
    description_column: str
    page_column: str
    instances_column: str
    shown_column: str
    not_shown_column: str
    total: str
    not_shown_heading: str
    and_more: str
    instance: str
    frame: str
    frame_alone: str
    window: str
    position: str
    page: str
    generated: str
    limit: str
    substituted: str
    left_out: str
    reduced: str
    hung: str
    at_detector: str
    continued: str
    notice_title: str
    notice_body: str
    reason_label: str
    reasons: Mapping[str, str]
    other_reason: str
    video_reasons: Mapping[str, str]
    video_listed: str
    video_poster: str
    video_notice: str
    video_of: str
    video_labels: tuple[str, str, str, str, str]
    video_contradicts: str
    video_body: str
    notes: Mapping[str, str]

    def date(self, value: str) -> str:
        """A DICOM date (PS3.5 6.2, DA) as people here write it; anything else as it stands."""
        digits = value.replace(".", "")
        if len(digits) != 8 or not digits.isdecimal():
            return value
        try:
            moment = datetime.strptime(digits + "+0000", "%Y%m%d%z")
        except ValueError:
            return value
        return moment.strftime(self.date_format)

    def time(self, value: str) -> str:
        """A DICOM time (PS3.5 6.2, TM) to the minute; anything else as it stands."""
        digits = value.replace(":", "")
        return f"{digits[:2]}:{digits[2:4]}" if digits[:4].isdecimal() and len(digits) >= 4 else value

    def moment(self, value: datetime) -> str:
        """An aware moment to the minute with its offset from UTC."""
        zone = value.strftime("%z")
        return f"{value.strftime(self.date_format)} {value:%H:%M} (UTC{zone[:3]}:{zone[3:5]})"

    def number(self, value: float) -> str:
        """A number with at most two decimals and none that say nothing."""
        return f"{value:.2f}".rstrip("0").rstrip(".").replace(".", self.decimal_point)

    def duration(self, seconds: float) -> str:
        """`2.5 s` below a minute, `12:05 min` from there on."""
        if seconds < 60:
            return f"{self.number(round(seconds, 1))} s"
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}:{rest:02} min"

    def reason(self, code: str, *, video: bool = False) -> str:
        """A reason code in words; a video is no image."""
        words = self.video_reasons.get(code) if video else None
        return words or self.reasons.get(code, self.other_reason)


_PORTUGUESE = Texts(
    date_format="%d/%m/%Y",
    decimal_point=",",
    title="Imagens do estudo",
    anonymous="Estudo anonimizado: sem dados do paciente",
    burned_in="Pode restar texto gravado dentro das imagens.",
    patient="Paciente",
    patient_id="ID do paciente",
    birth_date="Data de nascimento",
    sex="Sexo",
    sexes={"F": "Feminino", "M": "Masculino", "O": "Outro"},
    study="Estudo",
    study_date="Data do estudo",
    accession="Número de acesso",
    institution="Instituição",
    referring="Médico solicitante",
    requested_procedure="Procedimento solicitado",
    study_uid="UID do estudo",
    exam_id="Código do exame",
    authorisation="Código de autorização",
    procedure="Código do procedimento",
    series_heading="Séries",
    series="Série {}",
    series_without_number="Série sem número",
    unreadable="Ilegível",
    number_column="Nº",
    modality_column="Mod.",
    description_column="Descrição",
    page_column="Página",
    instances_column="Instâncias",
    shown_column="Imagens",
    not_shown_column="Não exibidas",
    total="Total",
    not_shown_heading="O que não pôde ser exibido",
    and_more="e mais {}",
    instance="Instância {}",
    frame="Quadro {} de {}",
    frame_alone="quadro {}",
    window="Janela C {} L {}",
    position="Posição {} mm",
    page="Página {} de {}",
    generated="Gerado em {} por {}",
    limit="Não é dispositivo médico. As imagens deste documento não se destinam a diagnóstico.",
    substituted="O sinal {} está no lugar de caracteres que a fonte deste documento não tem.",
    left_out="Deixadas de fora a pedido: {} imagens ou instâncias.",
    reduced="Imagens reduzidas para que o documento caiba no tamanho pedido.",
    hung="Mamografia",
    at_detector="(no detector)",
    continued="Imagens do estudo (continuação)",
    notice_title="Esta imagem não pôde ser exibida",
    notice_body="Consulte-a no sistema de origem.",
    reason_label="Motivo",
    reasons={
        "CANNOT_DECODE": "A imagem está danificada ou foi escrita fora do padrão.",
        "UNSUPPORTED_SYNTAX": "A imagem usa uma compressão que este sistema não lê.",
        "NOT_AN_IMAGE": "O objeto não é uma imagem.",
        "NO_PIXEL_DATA": "O objeto deveria ser uma imagem, mas chegou sem os pixels.",
        "PIXEL_LENGTH": "Faltam pixels: a imagem chegou incompleta.",
        "PIXEL_HEADER_MISMATCH": "O cabeçalho da imagem contradiz os pixels.",
        "PIXEL_BUDGET": "A imagem é maior do que o limite deste sistema.",
        "INFLATE_LIMIT": "A imagem é maior do que o limite deste sistema.",
        "MEMORY": "A imagem precisa de mais memória do que este sistema tem.",
        "TIME": "O tempo para processar a imagem acabou.",
        "BURNED_IN": "A imagem pode conter texto gravado, e o documento é anônimo.",
        "NOT_DICOM": "O arquivo não é DICOM.",
        "TRUNCATED": "O arquivo chegou incompleto.",
        "EMPTY": "O arquivo está vazio.",
    },
    other_reason="O arquivo está danificado ou foi escrito fora do padrão.",
    video_reasons={
        "UNSUPPORTED_SYNTAX": "Falta neste sistema um programa que decodifique vídeo (ffmpeg).",
        "CANNOT_DECODE": "O vídeo está danificado ou foi escrito fora do padrão.",
        "MEMORY": "O vídeo precisa de mais memória do que este sistema tem.",
        "TIME": "O tempo para processar o vídeo acabou.",
        "PIXEL_BUDGET": "O vídeo é maior do que o limite deste sistema.",
    },
    video_listed="É um vídeo: o papel mostra no máximo um quadro dele.",
    video_poster="Vídeo: esta página mostra apenas um quadro",
    video_notice="Vídeo: nenhum quadro pôde ser exibido",
    video_of="Quadro de capa: quadro {} de {}",
    video_labels=("Compressão", "Tamanho", "Quadros (cabeçalho)", "Quadros por segundo", "Duração"),
    video_contradicts="O cabeçalho DICOM contradiz o próprio vídeo, que é descrito aqui.",
    video_body="Assista ao vídeo inteiro no sistema de origem.",
    notes={
        "window from the data": "janela calculada dos dados",
        "window of the image unusable": "janela da imagem inutilizável",
        "first of several windows": "primeira de várias janelas",
        "real world values not applied": "valores físicos não aplicados",
        "colour space of the code stream used": "espaço de cor do fluxo codificado",
        "colour profile of the image unusable": "perfil de cor da imagem inutilizável",
        "poster frame of a video": "quadro de capa de um vídeo",
        "presentation state applied": "estado de apresentação aplicado",
        "its annotations are not drawn": "anotações não desenhadas",
        **{f"resolution 1/{1 << times}": f"resolução 1/{1 << times}" for times in range(1, 9)},
    },
)

_ENGLISH = Texts(
    date_format="%Y-%m-%d",
    decimal_point=".",
    title="Study images",
    anonymous="Anonymised study: no patient data",
    burned_in="Text burned into the images may remain.",
    patient="Patient",
    patient_id="Patient ID",
    birth_date="Birth date",
    sex="Sex",
    sexes={"F": "Female", "M": "Male", "O": "Other"},
    study="Study",
    study_date="Study date",
    accession="Accession number",
    institution="Institution",
    referring="Referring physician",
    requested_procedure="Requested procedure",
    study_uid="Study UID",
    exam_id="Exam code",
    authorisation="Authorisation code",
    procedure="Procedure code",
    series_heading="Series",
    series="Series {}",
    series_without_number="Series without a number",
    unreadable="Unreadable",
    number_column="No.",
    modality_column="Mod.",
    description_column="Description",
    page_column="Page",
    instances_column="Instances",
    shown_column="Images",
    not_shown_column="Not shown",
    total="Total",
    not_shown_heading="What could not be shown",
    and_more="and {} more",
    instance="Instance {}",
    frame="Frame {} of {}",
    frame_alone="frame {}",
    window="Window C {} W {}",
    position="Position {} mm",
    page="Page {} of {}",
    generated="Made {} by {}",
    limit="Not a medical device. The images in this document are not for diagnosis.",
    substituted="The sign {} stands for characters that this document's font does not have.",
    left_out="Left out on request: {} images or instances.",
    reduced="Images were made smaller for the document to keep within the size asked for.",
    hung="Mammography",
    at_detector="(at the detector)",
    continued="Study images (continued)",
    notice_title="This image could not be shown",
    notice_body="Look it up in the system that it came from.",
    reason_label="Reason",
    reasons={
        "CANNOT_DECODE": "The image is damaged or was written against the standard.",
        "UNSUPPORTED_SYNTAX": "The image is compressed in a way that this system does not read.",
        "NOT_AN_IMAGE": "The object is not an image.",
        "NO_PIXEL_DATA": "The object should be an image, but came without its pixels.",
        "PIXEL_LENGTH": "Pixels are missing: the image came incomplete.",
        "PIXEL_HEADER_MISMATCH": "The image's header contradicts its pixels.",
        "PIXEL_BUDGET": "The image is larger than this system's limit.",
        "INFLATE_LIMIT": "The image is larger than this system's limit.",
        "MEMORY": "The image needs more memory than this system has.",
        "TIME": "The time for processing the image ran out.",
        "BURNED_IN": "Text may be burned into the image, and the document is anonymous.",
        "NOT_DICOM": "The file is not DICOM.",
        "TRUNCATED": "The file came incomplete.",
        "EMPTY": "The file is empty.",
    },
    other_reason="The file is damaged or was written against the standard.",
    video_reasons={
        "UNSUPPORTED_SYNTAX": "This system lacks a program that decodes video (ffmpeg).",
        "CANNOT_DECODE": "The video is damaged or was written against the standard.",
        "MEMORY": "The video needs more memory than this system has.",
        "TIME": "The time for processing the video ran out.",
        "PIXEL_BUDGET": "The video is larger than this system's limit.",
    },
    video_listed="It is a video: paper shows one frame of it at most.",
    video_poster="Video: this page shows a single frame of it",
    video_notice="Video: no frame of it could be shown",
    video_of="Poster frame: frame {} of {}",
    video_labels=("Compression", "Size", "Frames (header)", "Frames a second", "Duration"),
    video_contradicts="The DICOM header contradicts the video itself, which is described here.",
    video_body="Watch the whole video in the system that it came from.",
    notes={},
)

TEXTS: Mapping[Language, Texts] = {"pt-BR": _PORTUGUESE, "en": _ENGLISH}
