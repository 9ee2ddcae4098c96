"""The log."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "logs.title": ("Registro", "Log"),
    "logs.level": ("Nível, a partir de", "Level, from"),
    "logs.part": ("Parte", "Part"),
    "logs.part.all": ("Todas", "All"),
    "logs.association": ("Associação", "Association"),
    "logs.text": ("Texto", "Text"),
    "logs.filter": ("Filtrar", "Filter"),
    "logs.clear": ("Limpar", "Clear"),
    "logs.live": ("Ao vivo", "Live"),
    "logs.stop": ("Parar", "Stop"),
    "logs.go": ("Continuar ao vivo", "Go on live"),
    "logs.stale": (
        "Sem contato com esta página; tentando de novo",
        "No contact with this page; trying again",
    ),
    "logs.reload": ("Recarregar", "Reload"),
    "logs.none": ("Nenhuma linha como esta.", "No such line."),
    "logs.nofile": (
        "O roteador ainda não escreveu nada, ou o registro em arquivo está desligado (LOG_FILE).",
        "The router has written nothing yet, or its log file is turned off (LOG_FILE).",
    ),
    "logs.most": ("As últimas {n} linhas, a mais nova primeiro.", "The last {n} lines, the newest first."),
    "logs.lines": ("Linhas do registro", "Lines of the log"),
    "logs.level.DEBUG": ("tudo", "everything"),
    "logs.level.INFO": ("normal", "normal"),
    "logs.level.WARNING": ("atenção", "warnings"),
    "logs.level.ERROR": ("erros", "errors"),
    "logs.level.CRITICAL": ("erros graves", "critical errors"),
}
