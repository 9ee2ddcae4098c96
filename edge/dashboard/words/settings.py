"""Settings: the configuration in effect, and the parts of the router."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "settings.title": ("Ajustes", "Settings"),
    "settings.parts": ("Partes do roteador", "Parts of the router"),
    "settings.parts.what": (
        "Reiniciar uma parte não perde imagens: o que foi confirmado está no disco.",
        "To restart a part loses no image: what was confirmed is on the disk.",
    ),
    "settings.off": (
        "O roteador não está em execução: nada pode ser reiniciado daqui. Inicie-o: sudo systemctl start ponte-router (ou docker compose up -d).",
        "The router is not running: nothing can be restarted from here. Start it: sudo systemctl start ponte-router (or docker compose up -d).",
    ),
    "settings.restart": ("Reiniciar…", "Restart…"),
    "settings.restart.sure": ("Sim, reiniciar {name}", "Yes, restart {name}"),
    "settings.restart.listeners": (
        "Quem está enviando é interrompido e tenta de novo.",
        "Who is sending is cut off, and tries again.",
    ),
    "settings.restart.router": (
        "Tudo é reiniciado. Quem está enviando termina antes, dentro do prazo. Sem systemd ou compose, ele não volta sozinho.",
        "All is restarted. Who is sending may finish first, in the time allowed. Without systemd or compose it does not come back by itself.",
    ),
    "settings.restart.other": ("Continua de onde parou.", "It goes on where it stopped."),
    "settings.state.running": ("em execução", "running"),
    "settings.state.stopped": ("parada", "stopped"),
    "settings.state.failed": ("falhou", "failed"),
    "settings.state.": ("não usada", "not used"),
    "settings.part.router": ("roteador inteiro", "whole router"),
    "settings.receive": ("Recepção", "Receiving"),
    "settings.drain": ("Parar de receber", "Stop receiving"),
    "settings.drain.what": (
        "Para manutenção: novas associações são recusadas por ora, e o que já chegou é encaminhado.",
        "For maintenance: new associations are rejected for now, and what came is forwarded.",
    ),
    "settings.undrain": ("Voltar a receber", "Receive again"),
    "settings.draining": ("O roteador não recebe, por pedido.", "The router does not receive, as asked."),
    "settings.destinations": ("Destinos", "Destinations"),
    "settings.destinations.what": (
        "Pausar guarda o que chega, até alguém retomar; vale também depois de reiniciar.",
        "To pause keeps what comes until somebody resumes; it holds over a restart.",
    ),
    "settings.warnings": ("Avisos", "Warnings"),
    "settings.newer": (
        "Os arquivos de configuração mudaram depois que o roteador foi iniciado. Recarregue os destinos, ou reinicie o roteador.",
        "The files of the configuration changed after the router was started. Reload the destinations, or restart the router.",
    ),
    "settings.reload": ("Recarregar destinos", "Reload destinations"),
    "settings.values": ("Configuração em vigor", "Configuration in effect"),
    "settings.values.what": (
        "Como foi lida quando esta página foi iniciada. Senhas não são mostradas.",
        "As it was read when this page was started. Passwords are not shown.",
    ),
    "settings.files": ("Arquivos: {files}", "Files: {files}"),
    "settings.name": ("Nome", "Name"),
    "settings.value": ("Valor", "Value"),
    "settings.origin": ("Origem", "From"),
    "settings.origin.default": ("padrão", "default"),
    "settings.origin.yaml": ("YAML", "YAML"),
    "settings.origin.env_file": (".env", ".env"),
    "settings.origin.environment": ("ambiente", "environment"),
    "settings.empty": ("vazio", "empty"),
    "settings.support": ("Suporte", "Support"),
    "settings.diagnostics": ("Exportar diagnóstico", "Export diagnostics"),
    "did.drain": (
        "O roteador não aceita novas associações; encaminha o que tem.",
        "The router takes no new associations; it forwards what it has.",
    ),
    "did.undrain": ("O roteador voltou a receber.", "The router receives again."),
    "did.reload": ("Os destinos foram lidos de novo.", "The destinations were read again."),
    "did.restart.listeners": ("A recepção foi reiniciada.", "The listeners were restarted."),
    "did.restart.forwarder": ("O encaminhamento foi reiniciado.", "The forwarder was restarted."),
    "did.restart.organiser": ("A organização em pastas foi reiniciada.", "The organiser was restarted."),
    "did.restart.watcher": ("A pasta de ZIPs foi reiniciada.", "The ZIP folder was restarted."),
    "did.restart.alerts": ("Os alertas foram reiniciados.", "The alerts were restarted."),
    "did.restart.router": (
        "O roteador está terminando; systemd ou compose o inicia de novo.",
        "The router is ending; systemd or compose starts it again.",
    ),
}
