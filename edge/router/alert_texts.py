"""Alerts in words, in Portuguese and English: what it is, what it means, and what to do now.

Read at night, on a telephone: the first line says it all. No patient's data is in a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from router.alert_notice import Notice

_PT: Final[Mapping[str, str]] = {
    "DESTINATION_DOWN": """
O destino {subject} não recebe imagens

Falhas seguidas: {failures} (código {code}). {waiting} imagens esperam no disco. Nenhuma se perde: cada
uma fica até o destino confirmar, e o envio recomeça sozinho.

1. O servidor de destino está ligado, e na rede?
2. No box: ponte doctor {subject} (diz em que passo para: rede, TLS, AE Title).
3. Se o destino está em manutenção, nada mais a fazer; avise quem espera os exames.
""",
    "IMAGES_WAIT": """
Há imagens que esperam {minutes} min para ir a {subject}

{waiting} imagens esperam; a mais antiga, há {minutes} min. Estão guardadas no disco.

1. Veja no painel se {subject} está lento, pausado ou caído.
2. Pausado por alguém? ponte router resume {subject}.
3. Um exame urgente pode passar à frente: ponte router prioritise UID.
""",
    "NOT_PLANNED": """
Há imagens há {minutes} min sem destino decidido

Foram recebidas e estão guardadas, mas o box não decidiu para onde vão: nada delas é enviado.

1. No painel, reinicie a parte forwarder; ou: ponte router restart forwarder.
2. Se continuar, exporte o diagnóstico e chame o suporte.
""",
    "DISK_LOW": """
O disco está acabando: {free_gib} GiB livres

Dias que restam, pelo ritmo atual: {days}. Quando acabar, o box recusa novas associações e os
equipamentos guardam os exames; nada é apagado para abrir espaço.

1. Se um destino está caído, resolva isto primeiro: o que ele confirma sai do disco.
2. Veja o que há na quarentena.
3. Aumente o disco. Não apague arquivos de DICOM_ROOT à mão.
""",
    "NOT_RECEIVING": """
O box não aceita imagens dos equipamentos

Motivo: {reason} (disk: disco cheio; queue: não consegue gravar; draining: alguém o pôs para esvaziar).
Os equipamentos guardam os exames e tentam de novo.

1. disk: veja o espaço livre e os destinos caídos.
2. queue: veja o alerta sobre gravação.
3. draining: ponte router drain --end, quando a manutenção terminar.
""",
    "CANNOT_COMMIT": """
O box não consegue gravar o que recebe

O banco de dados em DICOM_ROOT/.spool não pode ser escrito. O que não foi gravado não é confirmado: os
equipamentos guardam e tentam de novo.

1. O disco está cheio, ou montado só para leitura? (df -h, mount, dmesg)
2. Se o disco está com defeito, não reinicie: chame o suporte, e copie DICOM_ROOT antes.
""",
    "QUARANTINE_GREW": """
{more} objeto(s) novo(s) na quarentena

Há {count} na quarentena: {reasons}. Não foram encaminhados; estão guardados como vieram.

1. Veja no painel, em Quarentena, o motivo e a imagem.
2. Muitos do mesmo equipamento: chame a assistência dele; o estudo pode estar incompleto no PACS.
""",
    "UNDELIVERED": """
{subject} recusou {more} imagem(ns)

{count} imagens não foram aceitas por {subject} e não serão tentadas de novo sem alguém. Estão no disco.

1. Veja no painel, no estudo, o que o destino respondeu.
2. Corrija a causa e reenvie: ponte router retry --destination {subject}.
3. Ou dispense o envio: ponte router dismiss --destination {subject}.
""",
    "CERTIFICATE_EXPIRES": """
O certificado de {subject} vence em {days} dia(s)

Vence em {expires}. Depois disso, as conexões TLS com ele deixam de funcionar.

1. Peça ou emita o novo certificado agora.
2. Se é nosso: troque os arquivos e reinicie a parte listeners (ou forwarder).
""",
    "WATCH_FOLDER_GONE": """
A pasta vigiada para ZIPs não está acessível

{subject}: os ZIPs deixados ali não são recolhidos até ela voltar.

1. O compartilhamento de rede está montado?
2. As permissões da pasta mudaram?
""",
    "PART_FAILED": """
Uma parte do box parou: {subject}

As outras continuam. O que depende desta parte fica à espera.

1. No painel, reinicie a parte; ou: ponte router restart {subject}.
2. Se parar de novo, exporte o diagnóstico e chame o suporte.
""",
    "TEST": """
Teste de alerta

Se você lê isto, os alertas deste box chegam a você.

Nada a fazer.
""",
}

_EN: Final[Mapping[str, str]] = {
    "DESTINATION_DOWN": """
Destination {subject} does not take images

Failures in a row: {failures} (code {code}). {waiting} images wait on the disk. None is lost: each stays
until the destination has confirmed it, and sending goes on by itself.

1. Is the destination's server on, and on the network?
2. On the box: ponte doctor {subject} (says at which step it stops: network, TLS, AE title).
3. If the destination is being serviced, there is nothing to do; tell those who wait for exams.
""",
    "IMAGES_WAIT": """
Images have waited {minutes} min for {subject}

{waiting} images wait, the oldest for {minutes} min. They are safe on the disk.

1. See on the dashboard whether {subject} is slow, paused or down.
2. Paused by somebody? ponte router resume {subject}.
3. An urgent exam can go first: ponte router prioritise UID.
""",
    "NOT_PLANNED": """
Nobody has decided for {minutes} min where images go

They were received and are kept, but the box has not decided where they go: none of them is sent.

1. Restart the part forwarder on the dashboard, or: ponte router restart forwarder.
2. If that does not help, export the diagnostics and call support.
""",
    "DISK_LOW": """
The disk runs full: {free_gib} GiB left

Days left at the present pace: {days}. When it is full the box rejects new associations, and modalities
keep their exams; nothing is deleted to make room.

1. If a destination is down, mend that first: what it confirms leaves the disk.
2. See what is in quarantine.
3. Give it a larger disk. Do not delete files of DICOM_ROOT by hand.
""",
    "NOT_RECEIVING": """
The box takes no images from modalities

Reason: {reason} (disk: it is full; queue: nothing can be written; draining: somebody asked for it).
Modalities keep their exams and try again.

1. disk: see the free space and destinations that are down.
2. queue: see the alert about writing.
3. draining: ponte router drain --end, once the maintenance is over.
""",
    "CANNOT_COMMIT": """
The box cannot write what it receives

The database in DICOM_ROOT/.spool cannot be written. What was not written is not acknowledged: modalities
keep it and try again.

1. Is the disk full, or mounted read-only? (df -h, mount, dmesg)
2. If the disk is failing do not restart: call support, and copy DICOM_ROOT first.
""",
    "QUARANTINE_GREW": """
{more} new object(s) in quarantine

{count} are in quarantine: {reasons}. They were not sent on; they are kept as they came.

1. See on the dashboard, under Quarantine, the reason and the image.
2. Many from one modality: call its service; the study may be incomplete in the PACS.
""",
    "UNDELIVERED": """
{subject} refused {more} image(s)

{count} images were not taken by {subject}, and are not tried again without somebody. They are on the
disk.

1. See on the dashboard, at the study, what the destination answered.
2. Mend the cause and send again: ponte router retry --destination {subject}.
3. Or let them go: ponte router dismiss --destination {subject}.
""",
    "CERTIFICATE_EXPIRES": """
The certificate of {subject} expires in {days} day(s)

It expires on {expires}. After that, TLS connections with it fail.

1. Ask for, or issue, the new certificate now.
2. If it is ours: replace the files and restart the part listeners (or forwarder).
""",
    "WATCH_FOLDER_GONE": """
The folder watched for ZIPs cannot be reached

{subject}: ZIPs dropped there are not taken until it is back.

1. Is the network share mounted?
2. Did the folder's permissions change?
""",
    "PART_FAILED": """
A part of the box has stopped: {subject}

The others go on. What needs this part waits.

1. Restart the part on the dashboard, or: ponte router restart {subject}.
2. If it stops again, export the diagnostics and call support.
""",
    "TEST": """
Alert test

If you read this, alerts of this box reach you.

Nothing to do.
""",
}

WORDS: Final[Mapping[str, Mapping[str, str]]] = {"pt-BR": _PT, "en": _EN}
"""By language and kind: title, what it is, what to do, a blank line between each."""
_STATES: Final[Mapping[str, Mapping[str, str]]] = {
    "pt-BR": {"raised": "ALERTA", "reminder": "CONTINUA", "over": "RESOLVIDO", "test": "TESTE"},
    "en": {"raised": "ALERT", "reminder": "STILL", "over": "OVER", "test": "TEST"},
}
_LABELS: Final[Mapping[str, tuple[str, str, str]]] = {
    "pt-BR": ("Desde", "Até", "O que fazer"),
    "en": ("Since", "Until", "What to do"),
}
_TIMES: Final[Mapping[str, str]] = {"pt-BR": "%d/%m/%Y %H:%M", "en": "%Y-%m-%d %H:%M"}


class _Known(dict[str, object]):
    """What a notice does not say is a dash, so that no text fails."""

    def __missing__(self, key: str) -> str:
        return "-"


@dataclass(frozen=True, slots=True)
class Letter:
    """A title of one line, and the text."""

    title: str
    text: str


def letter(notice: Notice, *, language: str, site: str, zone: tzinfo) -> Letter:
    """A notice in words."""

    def when(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, zone).strftime(_TIMES[language])

    values = _Known({key: " ".join(str(value).split()) for key, value in notice.values.items()})
    values["subject"] = notice.subject or "-"
    if "expires_at" in notice.values:
        values["expires"] = when(float(notice.values["expires_at"]))
    parts = WORDS[language][notice.kind].strip().split("\n\n")
    title, what, todo = (part.format_map(values) for part in parts)
    since, until, do = _LABELS[language]
    lines = [title, f"{since}: {when(notice.since)}"]
    if notice.state == "over":
        lines += [f"{until}: {when(notice.at)}"]
    else:
        lines += ["", what.replace("\n", " "), "", f"{do}:", todo]
    name = f"Ponte {site}".strip()
    return Letter(f"[{name}] {_STATES[language][notice.state]}: {title}", "\n".join([*lines, "", name]))
