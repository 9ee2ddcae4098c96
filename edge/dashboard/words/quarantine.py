"""Quarantine, and why."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "quarantine.title": ("Quarentena", "Quarantine"),
    "quarantine.what": (
        "O que chegou e não foi encaminhado. Nada aqui se perde até que alguém decida.",
        "What came and was not forwarded. Nothing here is lost until somebody decides.",
    ),
    "quarantine.none": ("A quarentena está vazia.", "The quarantine is empty."),
    "quarantine.all": ("Todos os motivos", "All reasons"),
    "quarantine.reasons": ("Motivos", "Reasons"),
    "quarantine.when": ("Quando", "When"),
    "quarantine.why": ("Motivo", "Reason"),
    "quarantine.size": ("Tamanho", "Size"),
    "quarantine.origin": ("Veio de", "Came from"),
    "quarantine.detail": ("Detalhe", "Detail"),
    "quarantine.code": ("Código", "Code"),
    "quarantine.name": ("Nome do arquivo", "File name"),
    "quarantine.released": ("Liberada", "Released"),
    "quarantine.open": ("Abrir", "Open"),
    "quarantine.picture": ("Prévia", "Preview"),
    "quarantine.nopicture": (
        "Não há imagem que possa ser mostrada.",
        "There is no picture that can be shown.",
    ),
    "quarantine.header": ("Cabeçalho", "Header"),
    "quarantine.header.none": ("O cabeçalho não pode ser lido.", "The header cannot be read."),
    "quarantine.header.hidden": (
        "O cabeçalho é mostrado só a operadores.",
        "The header is shown to operators alone.",
    ),
    "quarantine.element": ("Elemento", "Element"),
    "quarantine.value": ("Valor", "Value"),
    "quarantine.release": ("Liberar e encaminhar", "Release and forward"),
    "quarantine.export": ("Exportar", "Export"),
    "quarantine.purge": ("Descartar…", "Remove…"),
    "quarantine.damaged": ("o registro está danificado", "the record is damaged"),
    "purge.title": ("Descartar em definitivo?", "Remove for good?"),
    "purge.what": (
        "Os bytes são apagados deste computador. Se a imagem faz falta, antes envie-a de novo do aparelho, ou exporte.",
        "The bytes are deleted from this computer. If the image is needed, first send it again from the modality, or export it.",
    ),
    "purge.yes": ("Sim, descartar", "Yes, remove"),
    "did.release": (
        "Liberada: foi aceita e segue para os destinos.",
        "Released: it was taken and goes to the destinations.",
    ),
    "did.release.not": (
        "Não foi liberada: o motivo continua.",
        "It was not released: the reason is still there.",
    ),
    "did.purge": ("Descartada.", "Removed."),
    "why.other": ("Não é uma imagem DICOM íntegra.", "It is no sound DICOM image."),
    "why.NO_PIXEL_DATA": (
        "A imagem veio sem pixels. Envie de novo do aparelho.",
        "The image came without pixels. Send it again from the modality.",
    ),
    "why.NOT_DICOM": ("Não é DICOM.", "It is not DICOM."),
    "why.EMPTY": ("Veio vazia.", "It came empty."),
    "why.TRUNCATED": (
        "Veio cortada. Envie de novo do aparelho.",
        "It came cut short. Send it again from the modality.",
    ),
    "why.BAD_LENGTH": ("Um comprimento no arquivo está errado.", "A length in the file is wrong."),
    "why.PIXEL_LENGTH": (
        "Faltam pixels. Envie de novo do aparelho.",
        "Pixels are missing. Send it again from the modality.",
    ),
    "why.PIXEL_HEADER_MISMATCH": ("Cabeçalho e pixels não concordam.", "Header and pixels do not agree."),
    "why.BAD_UID": ("Um identificador (UID) é inválido.", "An identifier (UID) is invalid."),
    "why.MISSING_UID": ("Falta um identificador (UID).", "An identifier (UID) is missing."),
    "why.MISSING_SOP_CLASS": ("Não diz que tipo de objeto é.", "It does not say what kind of object it is."),
    "why.UID_CONFLICT": (
        "Outra imagem, diferente, já chegou com a mesma identificação.",
        "Another, different image has come under the same identity.",
    ),
    "why.COMMAND_MISMATCH": (
        "O aparelho anunciou uma imagem e enviou outra.",
        "The modality announced one image and sent another.",
    ),
    "why.DIGEST_MISMATCH": (
        "Mudou no disco depois de recebida: confira o disco, e envie de novo do aparelho.",
        "It changed on the disk after it was received: check the disk, and send it again from the modality.",
    ),
    "why.DESTINATION_REFUSED": ("Um destino a recusou.", "A destination refused it."),
    "why.UNKNOWN_TRANSFER_SYNTAX": ("A compressão é desconhecida.", "Its compression is unknown."),
}
