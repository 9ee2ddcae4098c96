"""What the quick reference card says, in Portuguese and English: short enough for one A4 page."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Language = Literal["pt-BR", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("pt-BR", "en")


class Row(NamedTuple):
    """What is seen or wanted, and what to do or type."""

    left: str
    right: str


class CardTexts(NamedTuple):
    """All of a card. Names in braces are the box's own settings."""

    title: str
    facts_title: str
    facts: tuple[Row, ...]
    daily_title: str
    daily: tuple[Row, ...]
    commands_title: str
    commands: tuple[Row, ...]
    symptoms_title: str
    symptoms: tuple[Row, ...]
    never_title: str
    never: tuple[str, ...]
    limit: str
    made: str


_COMMANDS: Final = {
    "status": "ponte router status",
    "doctor": "ponte doctor",
    "start": "systemctl start ponte-router ponte-dashboard",
    "compose": "docker compose --profile edge up -d router dashboard",
    "stop": "systemctl stop ponte-router",
    "log": "journalctl -u ponte-router -f",
    "check": "ponte router check-config",
    "backup": "ponte router backup",
    "password": "ponte dashboard password",
    "diagnostics": "ponte router diagnostics -o F.zip",
}

TEXTS: Final[dict[Language, CardTexts]] = {
    "pt-BR": CardTexts(
        "Ponte: cartão de referência",
        "Nesta máquina",
        (
            Row("Nas modalidades, cadastre", "AE title {ae_title}, endereço {address}, porta {ports}"),
            Row("Encaminha para", "{destinations}"),
            Row("Página", "{page}"),
            Row("Imagens guardadas em", "{root}"),
        ),
        "Todo dia, na página",
        (
            Row("Agora: Tudo em ordem", "Nada a fazer."),
            Row("Agora: Atenção ou Problema", "Leia “O que fazer”. O que foi confirmado não se perde."),
            Row("Quarentena acima de 0", "Abra, veja o motivo; reenvie do aparelho, ou libere."),
            Row("Disco: menos de 7 dias", "Veja qual destino retém imagens; aumente o disco."),
        ),
        "Comandos (com sudo; em contêineres: docker compose exec router ...)",
        (
            Row("Como está", _COMMANDS["status"]),
            Row("Testar as conexões", _COMMANDS["doctor"]),
            Row("Iniciar", _COMMANDS["start"]),
            Row("Iniciar, em contêineres", _COMMANDS["compose"]),
            Row("Parar (espera quem envia)", _COMMANDS["stop"]),
            Row("Log ao vivo", _COMMANDS["log"]),
            Row("Conferir os ajustes", _COMMANDS["check"]),
            Row("Cópia de segurança", _COMMANDS["backup"]),
            Row("Nova senha da página", _COMMANDS["password"]),
            Row("Pacote para o suporte", _COMMANDS["diagnostics"]),
        ),
        "Se algo não vai bem",
        (
            Row("Imagens não chegam", "C-ECHO no aparelho; se falha: cabo, IP, porta, firewall."),
            Row("Associação recusada", "Disco cheio, ou lista de AE titles: Agora e Ajustes dizem qual."),
            Row("PACS fora do ar", "As imagens esperam. Avise quem cuida dele; o envio volta sozinho."),
            Row("PACS recusa imagens", "Estudos, “com falha”: veja a resposta; corrija e reenvie."),
            Row("Roteador não inicia", "ponte router check-config; porta em uso: ss -ltnp | grep :{port}"),
            Row("ZIP não processado", "Veja o relatório ao lado do ZIP e o log do ponte watch."),
            Row("Imagens pretas", "ponte doctor --decoders; uma página que falha diz por quê."),
            Row("Página não abre", "systemctl status ponte-dashboard; porta 8501 no firewall."),
        ),
        "Nunca",
        (
            "apagar ou mover .spool: ali estão as imagens;",
            "rodar dois roteadores na mesma pasta;",
            "ligar o roteador a uma rede aberta: DICOM comum não é cifrado.",
        ),
        "Não é um dispositivo médico.",
        "{product}, feito em {date}",
    ),
    "en": CardTexts(
        "Ponte: quick reference card",
        "This machine",
        (
            Row("In the modalities, set", "AE title {ae_title}, address {address}, port {ports}"),
            Row("Forwards to", "{destinations}"),
            Row("Page", "{page}"),
            Row("Keeps images in", "{root}"),
        ),
        "Every day, on the page",
        (
            Row("Now: All is well", "Nothing to do."),
            Row("Now: Attention or Problem", "Read “What to do”. What was acknowledged is not lost."),
            Row("Quarantine above 0", "Open it, read the reason; send again from the modality, or release."),
            Row("Disk: less than 7 days", "See which destination holds images back; enlarge the disk."),
        ),
        "Commands (with sudo; in containers: docker compose exec router ...)",
        (
            Row("How it is", _COMMANDS["status"]),
            Row("Test the connections", _COMMANDS["doctor"]),
            Row("Start", _COMMANDS["start"]),
            Row("Start, in containers", _COMMANDS["compose"]),
            Row("Stop (waits for senders)", _COMMANDS["stop"]),
            Row("Log as it comes", _COMMANDS["log"]),
            Row("Check the settings", _COMMANDS["check"]),
            Row("Back up", _COMMANDS["backup"]),
            Row("New password of the page", _COMMANDS["password"]),
            Row("Package for support", _COMMANDS["diagnostics"]),
        ),
        "When something is wrong",
        (
            Row("Images do not arrive", "C-ECHO at the modality; if it fails: cable, IP, port, firewall."),
            Row("Association rejected", "Disk full, or a list of AE titles: Now and Settings say which."),
            Row("PACS down", "Images wait. Tell who runs it; sending goes on by itself."),
            Row("PACS refuses images", "Studies, “failed”: read its answer; mend it and resend."),
            Row("Router does not start", "ponte router check-config; port in use: ss -ltnp | grep :{port}"),
            Row("ZIP not processed", "Read the report beside the ZIP, and the log of ponte watch."),
            Row("Black images", "ponte doctor --decoders; a page that fails says why."),
            Row("Page does not open", "systemctl status ponte-dashboard; port 8501 in the firewall."),
        ),
        "Never",
        (
            "delete or move .spool: the images are there;",
            "run two routers on one folder;",
            "connect the router to an open network: plain DICOM is not encrypted.",
        ),
        "Not a medical device.",
        "{product}, made on {date}",
    ),
}  # fmt: skip
