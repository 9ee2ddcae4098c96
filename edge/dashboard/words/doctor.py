"""Connections: whom to ask, and what was found. The findings themselves are said by `doctor.phrases`."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "doctor.title": ("Conexões", "Connections"),
    "doctor.intro": (
        "Testa o caminho até cada equipamento e destino, passo a passo, e diz o que fazer. Nada é enviado, a não ser que você peça.",
        "Tests the way to each modality and destination, step by step, and says what to do. Nothing is sent unless you ask for it.",
    ),
    "doctor.all": ("Testar tudo", "Test everything"),
    "doctor.test": ("Testar", "Test"),
    "doctor.test.of": ("Testar {name}", "Test {name}"),
    "doctor.store": ("Testar com envio", "Test and send"),
    "doctor.store.what": (
        "Também envia uma imagem de teste, do paciente PONTE^DOCTOR, e a procura no destino. Ela fica lá até alguém apagar.",
        "Also sends a test image, of the patient PONTE^DOCTOR, and looks for it there. It stays until somebody deletes it.",
    ),
    "doctor.kind.destination": ("Destinos", "Destinations"),
    "doctor.kind.modality": ("Equipamentos", "Modalities"),
    "doctor.kind.machine": ("Este computador", "This computer"),
    "doctor.none.destination": ("Nenhum destino configurado.", "No destination is configured."),
    "doctor.none.modality": (
        "Nenhum equipamento enviou ainda, e nenhum está em modalities, no YAML do roteador.",
        "No modality has sent yet, and none is in modalities in the router's YAML.",
    ),
    "doctor.viewer": (
        "Para testar, entre com a senha de operador.",
        "To test, log in with the operator's password.",
    ),
    "doctor.run": ("Teste de {when}", "Test of {when}"),
    "doctor.running": ("Testando…", "Testing…"),
    "doctor.running.do": (
        "Os resultados aparecem à medida que chegam. Cada passo tem um limite de tempo.",
        "Findings appear as they come. Every step has a limit of time.",
    ),
    "doctor.bad": ("Há problemas", "There are problems"),
    "doctor.bad.do": (
        "Comece pelo primeiro passo em vermelho: o que vem depois depende dele.",
        "Begin with the first step in red: what follows depends on it.",
    ),
    "doctor.warn": ("Funciona, com ressalvas", "It works, with reservations"),
    "doctor.warn.do": ("Veja o que está em amarelo.", "See what is in yellow."),
    "doctor.ok": ("Tudo funciona", "All works"),
    "doctor.ok.do": ("Nenhum passo falhou.", "No step failed."),
    "doctor.again": ("Testar de novo", "Test again"),
    "doctor.back": ("Todas as conexões", "All connections"),
    "doctor.state.ok": ("certo", "well"),
    "doctor.state.warning": ("ressalva", "warning"),
    "doctor.state.failed": ("falhou", "failed"),
    "doctor.state.skipped": ("não foi feito", "not done"),
    "doctor.what": ("O que fazer", "What to do"),
    "doctor.table": ("Ver a tabela ({rows})", "See the table ({rows})"),
    "doctor.seconds": ("{n} s", "{n} s"),
    "doctor.stale": ("Sem contato; recarregue a página.", "No contact; reload the page."),
    "error.checkup": ("Este teste não existe mais", "There is no such test any more"),
    "error.checkup.do": ("Comece outro em Conexões.", "Begin another in Connections."),
}
