"""What the totals of a receipt amount to, in a sentence: Portuguese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

Code = Literal["DELIVERED", "UNDER_WAY", "ATTENTION", "NOTHING"]

_PORTUGUESE: Final = {
    "lost": "{} perdida(s) aqui antes que todos os destinos confirmassem",
    "failed": "{} recusada(s) por um destino, ou com o envio abandonado",
    "quarantined_open": "{} em quarentena",
    "nowhere": "{} sem destino",
    "dismissed": "{} dispensada(s) de um destino por decisão humana",
    "under_way": "{} ainda por enviar ou por confirmar",
}
_ENGLISH: Final = {
    "lost": "{} lost here before every destination confirmed",
    "failed": "{} refused by a destination, or given up",
    "quarantined_open": "{} in quarantine",
    "nowhere": "{} with no destination",
    "dismissed": "{} that a person decided one destination is not to have",
    "under_way": "{} still to be sent or confirmed",
}
_HEADS: Final = {
    "pt-BR": "{} de {} imagens confirmadas por todos os seus destinos",
    "en": "{} of {} images confirmed by all their destinations",
}
_OPEN: Final = {
    "pt-BR": "o estudo ainda está aberto: podem chegar mais imagens",
    "en": "the study is still open: more images may come",
}
_NEEDS_SOMEBODY: Final = ("lost", "failed", "quarantined_open", "nowhere", "dismissed")


def code_of(totals: Mapping[str, Any]) -> Code:
    """`DELIVERED` only where the study is complete, every instance is confirmed by every destination it was
    to go to, and nothing of it is in quarantine."""
    if not totals["instances"] and not totals["quarantined_open"]:
        return "NOTHING"
    if any(totals[one] for one in _NEEDS_SOMEBODY):
        return "ATTENTION"
    return "UNDER_WAY" if totals["under_way"] or totals["study_state"] == "open" else "DELIVERED"


def words_of(totals: Mapping[str, Any]) -> dict[str, str]:
    """The verdict: its code, and a sentence in each language."""
    found: dict[str, str] = {"code": code_of(totals)}
    for language, texts in (("pt-BR", _PORTUGUESE), ("en", _ENGLISH)):
        parts = [_HEADS[language].format(totals["delivered"], totals["instances"])]
        parts += [text.format(totals[name]) for name, text in texts.items() if totals[name]]
        if totals["study_state"] == "open":
            parts.append(_OPEN[language])
        found[language] = "; ".join(parts) + "."
    return found
