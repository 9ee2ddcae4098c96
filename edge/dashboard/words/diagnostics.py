"""The support bundle."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "diagnostics.title": ("Diagnóstico para o suporte", "Diagnostics for support"),
    "diagnostics.intro": (
        "Um arquivo ZIP com o que o suporte precisa para ajudar à distância.",
        "One ZIP with what support needs to help from afar.",
    ),
    "diagnostics.in": ("O que contém", "What is in it"),
    "diagnostics.in.1": (
        "Configuração, com senhas ocultas; versões de tudo.",
        "The configuration, passwords hidden; versions of everything.",
    ),
    "diagnostics.in.2": (
        "Contagens: filas, estados, quarentena por motivo.",
        "Counts: queues, states, quarantine by reason.",
    ),
    "diagnostics.in.3": (
        "Registro e ações, com UIDs trocados por resumos.",
        "Log and actions, with digests in the place of UIDs.",
    ),
    "diagnostics.in.4": (
        "Os testes de Conexões, sem envio; o estado dos serviços.",
        "The tests of Connections, nothing sent; the state of the services.",
    ),
    "diagnostics.out": ("O que não contém", "What is not in it"),
    "diagnostics.out.1": (
        "Nenhuma imagem, nenhum nome, nenhum dado de paciente.",
        "No image, no name, no patient data.",
    ),
    "diagnostics.out.2": ("Nenhuma senha, chave ou token.", "No password, key or token."),
    "diagnostics.stays": (
        "AE titles, endereços IP e nomes de máquinas ficam como são: sem eles não há como ajudar.",
        "AE titles, IP addresses and names of machines are as they are: without them nobody can help.",
    ),
    "diagnostics.button": ("Criar e baixar o ZIP", "Make and download the ZIP"),
    "diagnostics.wait": ("Leva até um minuto.", "It takes up to a minute."),
    "error.diagnostics": ("Outro diagnóstico está sendo criado", "Other diagnostics are being made"),
    "error.diagnostics.do": ("Espere um minuto e tente de novo.", "Wait a minute, then try again."),
}
