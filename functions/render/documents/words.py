"""The words of the pages that are not images, in Portuguese and in English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from render.texts import TEXTS, Texts


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Fields with `{}` are filled by `str.format`."""

    classes: Mapping[str, str]
    structures: str
    beams: str
    images: str
    segments: str
    report_left_out: str
    completion: str
    completions: Mapping[str, str]
    verification: str
    verifications: Mapping[str, str]
    preliminary: str
    preliminaries: Mapping[str, str]
    content_date: str
    author: str
    verifier: str
    device: str
    predecessors: str
    no_heading: str
    no_value: str
    references: str
    frames: str
    channels: str
    in_series: str
    see: str
    relations: Mapping[str, str]
    graphics: Mapping[str, str]
    points: str
    samples: str
    offsets_s: str
    cut: str
    continued: str
    pdf_left_out: str
    annotations_left_out: str
    files_left_out: str
    empty: str
    kind_left_out: str
    audio_left_out: str
    scale: str
    scale_of: str
    own_scale: str
    sampled: str
    band: str
    notch: str
    acquired: str
    derived: str
    uncalibrated: str
    centred: str
    clipped: str
    channel: str
    statuses: Mapping[str, str]
    group: str
    from_second: str
    first_seconds: str
    channels_left_out: str
    groups_left_out: str
    annotations: str
    annotations_cut: str
    annotation_text_left_out: str


_PORTUGUESE: Final = Words(
    classes={
        "1.2.840.10008.5.1.4.1.1.104.1": "PDF encapsulado",
        "1.2.840.10008.5.1.4.1.1.104.2": "Documento CDA encapsulado",
        "1.2.840.10008.5.1.4.1.1.104.3": "Modelo STL encapsulado",
        "1.2.840.10008.5.1.4.1.1.104.4": "Modelo OBJ encapsulado",
        "1.2.840.10008.5.1.4.1.1.104.5": "Materiais MTL encapsulados",
        "1.2.840.10008.5.1.4.1.1.11.1": "Estado de apresentação em tons de cinza",
        "1.2.840.10008.5.1.4.1.1.11.2": "Estado de apresentação em cores",
        "1.2.840.10008.5.1.4.1.1.11.3": "Estado de apresentação em pseudocores",
        "1.2.840.10008.5.1.4.1.1.11.4": "Estado de apresentação de fusão",
        "1.2.840.10008.5.1.4.1.1.11.5": "Estado de apresentação XA/XRF",
        "1.2.840.10008.5.1.4.1.1.11.8": "Estado de apresentação de fusão avançada",
        "1.2.840.10008.5.1.4.1.1.30": "Mapa paramétrico",
        "1.2.840.10008.5.1.4.1.1.4.2": "Espectroscopia por RM",
        "1.2.840.10008.5.1.4.1.1.481.3": "Estruturas de radioterapia",
        "1.2.840.10008.5.1.4.1.1.481.4": "Registro de tratamento com feixes",
        "1.2.840.10008.5.1.4.1.1.481.5": "Plano de radioterapia",
        "1.2.840.10008.5.1.4.1.1.481.6": "Registro de tratamento de braquiterapia",
        "1.2.840.10008.5.1.4.1.1.481.7": "Resumo de tratamento de radioterapia",
        "1.2.840.10008.5.1.4.1.1.481.8": "Plano de radioterapia com íons",
        "1.2.840.10008.5.1.4.1.1.481.9": "Registro de tratamento com íons",
        "1.2.840.10008.5.1.4.1.1.66": "Dados brutos",
        "1.2.840.10008.5.1.4.1.1.66.1": "Registro espacial",
        "1.2.840.10008.5.1.4.1.1.66.2": "Fiduciais espaciais",
        "1.2.840.10008.5.1.4.1.1.66.3": "Registro espacial deformável",
        "1.2.840.10008.5.1.4.1.1.66.4": "Segmentação",
        "1.2.840.10008.5.1.4.1.1.66.5": "Segmentação de superfícies",
        "1.2.840.10008.5.1.4.1.1.66.6": "Tractografia",
        "1.2.840.10008.5.1.4.1.1.66.7": "Segmentação por rótulos",
        "1.2.840.10008.5.1.4.1.1.67": "Valores físicos",
        "1.2.840.10008.5.1.4.1.1.88.11": "Laudo estruturado (texto)",
        "1.2.840.10008.5.1.4.1.1.88.22": "Laudo estruturado",
        "1.2.840.10008.5.1.4.1.1.88.33": "Laudo estruturado",
        "1.2.840.10008.5.1.4.1.1.88.34": "Laudo estruturado 3D",
        "1.2.840.10008.5.1.4.1.1.88.35": "Laudo estruturado",
        "1.2.840.10008.5.1.4.1.1.88.40": "Registro do procedimento",
        "1.2.840.10008.5.1.4.1.1.88.50": "Laudo CAD de mamografia",
        "1.2.840.10008.5.1.4.1.1.88.59": "Seleção de imagens-chave",
        "1.2.840.10008.5.1.4.1.1.88.65": "Laudo CAD de tórax",
        "1.2.840.10008.5.1.4.1.1.88.67": "Relatório de dose de radiação",
        "1.2.840.10008.5.1.4.1.1.88.68": "Relatório de dose de radiofármaco",
        "1.2.840.10008.5.1.4.1.1.88.69": "Laudo CAD de cólon",
        "1.2.840.10008.5.1.4.1.1.88.71": "Contexto da aquisição",
        "1.2.840.10008.5.1.4.1.1.88.72": "Laudo de ecocardiograma",
        "1.2.840.10008.5.1.4.1.1.88.73": "Relatório de dose do paciente",
        "1.2.840.10008.5.1.4.1.1.9.1.1": "ECG de 12 derivações",
        "1.2.840.10008.5.1.4.1.1.9.1.2": "ECG",
        "1.2.840.10008.5.1.4.1.1.9.1.3": "ECG ambulatorial",
        "1.2.840.10008.5.1.4.1.1.9.1.4": "ECG",
        "1.2.840.10008.5.1.4.1.1.9.2.1": "Curvas hemodinâmicas",
        "1.2.840.10008.5.1.4.1.1.9.3.1": "Eletrofisiologia cardíaca",
        "1.2.840.10008.5.1.4.1.1.9.4.1": "Áudio de voz",
        "1.2.840.10008.5.1.4.1.1.9.4.2": "Áudio",
        "1.2.840.10008.5.1.4.1.1.9.5.1": "Pulso arterial",
        "1.2.840.10008.5.1.4.1.1.9.6.1": "Curva respiratória",
        "1.2.840.10008.5.1.4.1.1.9.6.2": "Curvas respiratórias",
        "1.2.840.10008.5.1.4.1.1.9.7.1": "Eletroencefalograma",
        "1.2.840.10008.5.1.4.1.1.9.7.2": "Eletromiograma",
        "1.2.840.10008.5.1.4.1.1.9.7.3": "Eletro-oculograma",
        "1.2.840.10008.5.1.4.1.1.9.7.4": "Eletroencefalograma do sono",
        "1.2.840.10008.5.1.4.1.1.9.8.1": "Posição do corpo",
        "1.2.840.10008.5.1.4.1.1.91.1": "Anotações de microscopia",
        "1.2.840.10008.5.1.4.39.1": "Paleta de cores",
    },
    structures="estruturas: {}",
    beams="feixes: {}",
    images="imagens: {}",
    segments="segmentos: {}",
    report_left_out="O texto do laudo foi omitido: o documento é anonimizado.",
    completion="Situação",
    completions={"COMPLETE": "Completo", "PARTIAL": "Parcial"},
    verification="Verificação",
    verifications={"VERIFIED": "Verificado", "UNVERIFIED": "Não verificado"},
    preliminary="Etapa",
    preliminaries={"FINAL": "Final", "PRELIMINARY": "Preliminar"},
    content_date="Data do conteúdo",
    author="Autor",
    verifier="Verificado por",
    device="Equipamento",
    predecessors="Documentos anteriores",
    no_heading="(sem título)",
    no_value="(sem valor)",
    references="{} × {}",
    frames="quadros {}",
    channels="canais {}",
    in_series="série {}",
    see="ver: {}",
    relations={"INFERRED FROM": "inferido de", "SELECTED FROM": "selecionado de"},
    graphics={
        "POINT": "Ponto",
        "MULTIPOINT": "Pontos",
        "POLYLINE": "Linha",
        "POLYGON": "Polígono",
        "CIRCLE": "Círculo",
        "ELLIPSE": "Elipse",
        "ELLIPSOID": "Elipsoide",
        "SEGMENT": "Intervalo",
        "MULTISEGMENT": "Intervalos",
        "BEGIN": "Início",
        "END": "Fim",
    },
    points="pontos: {}",
    samples="amostras {}",
    offsets_s="{} s",
    cut="O laudo continua. Itens além do limite deste documento: {}.",
    continued="{} (continuação)",
    pdf_left_out="As páginas encapsuladas foram omitidas: o documento é anonimizado.",
    files_left_out="Arquivos anexos ao PDF não exibidos: {}.",
    annotations_left_out="Anotações ou campos de formulário não exibidos: {}.",
    empty="O objeto chegou sem conteúdo.",
    kind_left_out="Este tipo de documento não é desenhado em páginas.",
    audio_left_out="Áudio não é desenhado em páginas.",
    scale="25 mm/s · 10 mm/mV",
    scale_of="10 mm = {} {}",
    own_scale="25 mm/s · escala vertical em cada traçado",
    sampled="{} amostras/s",
    band="Filtro {} a {} Hz",
    notch="Rejeição {} Hz",
    acquired="Aquisição",
    derived="derivado",
    uncalibrated="sem calibração",
    centred="centro em {} {}",
    clipped="excede o papel",
    channel="Canal {}",
    statuses={
        "TEST DATA": "dados de teste",
        "DISCONNECTED": "desconectado",
        "QUESTIONABLE": "duvidoso",
        "INVALID": "inválido",
        "UNCALIBRATED": "sem calibração",
        "UNZEROED": "sem zero",
    },
    group="Grupo {}",
    from_second="a partir de {} s",
    first_seconds="São exibidos os primeiros {} s de {} s.",
    channels_left_out="Canais não exibidos: {}.",
    groups_left_out="Grupos de canais não exibidos: {}.",
    annotations="Anotações",
    annotations_cut="Nem todas as anotações couberam no limite deste documento.",
    annotation_text_left_out="As anotações escritas por pessoas foram omitidas: o documento é anonimizado.",
)

_ENGLISH: Final = Words(
    classes={
        "1.2.840.10008.5.1.4.1.1.104.1": "Encapsulated PDF",
        "1.2.840.10008.5.1.4.1.1.88.11": "Structured report (text)",
        "1.2.840.10008.5.1.4.1.1.88.22": "Structured report",
        "1.2.840.10008.5.1.4.1.1.88.33": "Structured report",
        "1.2.840.10008.5.1.4.1.1.88.34": "Structured report 3D",
        "1.2.840.10008.5.1.4.1.1.88.35": "Structured report",
        "1.2.840.10008.5.1.4.1.1.88.59": "Key object selection",
        "1.2.840.10008.5.1.4.1.1.88.67": "Radiation dose report",
        "1.2.840.10008.5.1.4.1.1.9.1.1": "12-lead ECG",
        "1.2.840.10008.5.1.4.1.1.9.1.2": "ECG",
        "1.2.840.10008.5.1.4.1.1.9.1.3": "Ambulatory ECG",
        "1.2.840.10008.5.1.4.1.1.9.1.4": "ECG",
    },
    structures="structures: {}",
    beams="beams: {}",
    images="images: {}",
    segments="segments: {}",
    report_left_out="The text of the report was left out: the document is anonymised.",
    completion="Completion",
    completions={"COMPLETE": "Complete", "PARTIAL": "Partial"},
    verification="Verification",
    verifications={"VERIFIED": "Verified", "UNVERIFIED": "Not verified"},
    preliminary="Stage",
    preliminaries={"FINAL": "Final", "PRELIMINARY": "Preliminary"},
    content_date="Content date",
    author="Author",
    verifier="Verified by",
    device="Device",
    predecessors="Earlier documents",
    no_heading="(no heading)",
    no_value="(no value)",
    references="{} × {}",
    frames="frames {}",
    channels="channels {}",
    in_series="series {}",
    see="see: {}",
    relations={"INFERRED FROM": "inferred from", "SELECTED FROM": "selected from"},
    graphics={
        "POINT": "Point",
        "MULTIPOINT": "Points",
        "POLYLINE": "Line",
        "POLYGON": "Polygon",
        "CIRCLE": "Circle",
        "ELLIPSE": "Ellipse",
        "ELLIPSOID": "Ellipsoid",
        "SEGMENT": "Interval",
        "MULTISEGMENT": "Intervals",
        "BEGIN": "Begin",
        "END": "End",
    },
    points="points: {}",
    samples="samples {}",
    offsets_s="{} s",
    cut="The report goes on. Items beyond the limit of this document: {}.",
    continued="{} (continued)",
    pdf_left_out="The encapsulated pages were left out: the document is anonymised.",
    files_left_out="Files attached to the PDF not shown: {}.",
    annotations_left_out="Annotations or form fields not shown: {}.",
    empty="The object came without its content.",
    kind_left_out="This kind of document is not drawn on pages.",
    audio_left_out="Audio is not drawn on pages.",
    scale="25 mm/s · 10 mm/mV",
    scale_of="10 mm = {} {}",
    own_scale="25 mm/s · vertical scale with each trace",
    sampled="{} samples/s",
    band="Filter {} to {} Hz",
    notch="Notch {} Hz",
    acquired="Acquired",
    derived="derived",
    uncalibrated="not calibrated",
    centred="centred on {} {}",
    clipped="beyond the paper",
    channel="Channel {}",
    statuses={
        "TEST DATA": "test data",
        "DISCONNECTED": "disconnected",
        "QUESTIONABLE": "questionable",
        "INVALID": "invalid",
        "UNCALIBRATED": "not calibrated",
        "UNZEROED": "not zeroed",
    },
    group="Group {}",
    from_second="from {} s",
    first_seconds="The first {} s of {} s are shown.",
    channels_left_out="Channels not shown: {}.",
    groups_left_out="Groups of channels not shown: {}.",
    annotations="Annotations",
    annotations_cut="Not all annotations were within the limit of this document.",
    annotation_text_left_out="Annotations that people wrote were left out: the document is anonymised.",
)


def words_of(texts: Texts) -> Words:
    """The words in the language of `texts`."""
    return _PORTUGUESE if texts.date_format == TEXTS["pt-BR"].date_format else _ENGLISH
