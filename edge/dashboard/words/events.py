"""Events: alarms by their names, changes of state, and what people did."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "events.title": ("Eventos", "Events"),
    "events.intro": (
        "Alarmes, mudanças de estado e ações de pessoas, o mais novo primeiro. O que se repete no mesmo dia é uma linha só.",
        "Alarms, changes of state and what people did, the newest first. What comes again on the same day is one line.",
    ),
    "events.none": ("Nada aconteceu ainda.", "Nothing has happened yet."),
    "events.kind.": ("Todos", "All"),
    "events.kind.alarm": ("Alarmes", "Alarms"),
    "events.kind.state": ("Mudanças", "Changes"),
    "events.kind.action": ("Ações", "Actions"),
    "events.times.one": ("{number} vez", "{number} time"),
    "events.times.other": ("{number} vezes, desde {first}", "{number} times, since {first}"),
    "events.log": ("Ver no registro", "See the log"),
    "events.filter": ("Mostrar", "Show"),
    "event.action.done": ("Ação: {name}", "Action: {name}"),
    "event.state.over": ("Resolvido: {name}", "Over: {name}"),
    "event.state.started": ("O roteador foi iniciado", "The router was started"),
    "event.state.ended": ("O roteador terminou", "The router ended"),
    "event.state.back": ("O destino voltou a receber", "The destination takes images again"),
    "event.state.accepting": ("Novas imagens são aceitas de novo", "New images are accepted again"),
    "event.state.disk_well": ("Há espaço no disco de novo", "There is room on the disk again"),
    "event.alarm.OTHER": ("Alarme {name}", "Alarm {name}"),
    "event.alarm.QUARANTINED": ("Imagem em quarentena", "Image put into quarantine"),
    "event.alarm.QUARANTINED.do": (
        "Veja o motivo em Quarentena.",
        "See the reason in Quarantine.",
    ),
    "event.alarm.QUARANTINE_FULL": ("A quarentena está cheia", "The quarantine is full"),
    "event.alarm.QUARANTINE_FULL.do": ("Libere ou apague o que está lá.", "Release or delete what is there."),
    "event.alarm.NOT_STORED": ("Imagem não pôde ser guardada", "Image could not be kept"),
    "event.alarm.NOT_STORED.do": (
        "O equipamento foi avisado e tenta de novo. Veja o disco em Conexões.",
        "The modality was told, and tries again. Look at the disk in Connections.",
    ),
    "event.alarm.COMMIT_FAILED": ("O banco de dados não gravou", "The database did not write"),
    "event.alarm.COMMIT_FAILED.do": ("Veja o disco em Conexões.", "Look at the disk in Connections."),
    "event.alarm.DATABASE_LOST": ("O banco de dados sumiu", "The database was lost"),
    "event.alarm.DATABASE_REBUILT": (
        "O banco de dados foi refeito a partir dos arquivos",
        "The database was built anew from the files",
    ),
    "event.alarm.DATABASE_UNUSABLE": ("O banco de dados não pode ser usado", "The database cannot be used"),
    "event.alarm.DATABASE_UNUSABLE.do": (
        "Reinicie o roteador; se continuar, exporte o diagnóstico.",
        "Restart the router; if that does not help, export the diagnostics.",
    ),
    "event.alarm.INSTANCE_MISSING": ("Arquivo de imagem sumiu", "An image's file is missing"),
    "event.alarm.INSTANCE_MISSING.do": (
        "Alguém ou algo apagou arquivos de .spool. Envie a imagem de novo do equipamento.",
        "Somebody or something deleted files of .spool. Send the image again from the modality.",
    ),
    "event.alarm.DIGEST_MISMATCH": (
        "Arquivo de imagem mudou no disco",
        "An image's file changed on the disk",
    ),
    "event.alarm.DIGEST_MISMATCH.do": (
        "Está em quarentena e não é enviado. Envie-a de novo do equipamento; confira o disco.",
        "It is in quarantine and not sent. Send it again from the modality; look at the disk.",
    ),
    "event.alarm.COMMITMENT_GIVEN_UP": (
        "Confirmação de guarda não pôde ser entregue",
        "A report of storage commitment could not be delivered",
    ),
    "event.alarm.COMMITMENT": ("Falha na confirmação de guarda", "Storage commitment failed"),
    "event.alarm.REFUSING": ("Novas imagens são recusadas", "New images are refused"),
    "event.alarm.REFUSING.do": ("Veja Agora: lá está o motivo.", "See Now: the reason is there."),
    "event.alarm.DISK_LOW": ("Pouco espaço no disco", "Little room on the disk"),
    "event.alarm.DISK_LOW.do": (
        "Veja quais destinos estão parados, e a quarentena.",
        "See which destinations are down, and the quarantine.",
    ),
    "event.alarm.METADATA_DAMAGED": (
        ".metadata.json não pôde ser lido e foi posto de lado",
        ".metadata.json could not be read and was put aside",
    ),
    "event.alarm.METADATA_NOT_WRITTEN": (
        ".metadata.json não pôde ser gravado",
        ".metadata.json could not be written",
    ),
    "event.alarm.NOT_ADOPTED": ("Arquivo antigo não foi aceito", "An old file was not taken in"),
    "event.alarm.NOT_LINKED": (
        "Imagem não pôde ser posta na pasta",
        "An image could not be put into its folder",
    ),
    "event.alarm.NOT_REMOVED": ("Imagem não pôde ser apagada", "An image could not be removed"),
    "event.alarm.UNREADABLE": ("Arquivo não pôde ser lido", "A file could not be read"),
    "event.alarm.WORKER_FAILED": ("Uma parte do roteador falhou", "A part of the router failed"),
    "event.alarm.WORKER_FAILED.do": (
        "Reinicie-a em Ajustes; se continuar, exporte o diagnóstico.",
        "Restart it in Settings; if that does not help, export the diagnostics.",
    ),
    "event.alarm.CARRIER_LOST": (
        "Um processo que recebe imagens caiu; outro o substitui",
        "A process that receives images ended; another takes its place",
    ),
    "event.alarm.CARRIER_LOST.do": (
        "Os aparelhos reenviam o que não foi confirmado; se continuar, exporte o diagnóstico.",
        "Modalities send again what was not confirmed; if it goes on, export the diagnostics.",
    ),
    "event.alarm.CARRIER": (
        "Os processos que recebem imagens não funcionam como deviam",
        "The processes that receive images do not work as they should",
    ),
    "event.alarm.CARRIER.do": (
        "Reinicie a recepção em Ajustes; se continuar, exporte o diagnóstico.",
        "Restart the listeners in Settings; if that does not help, export the diagnostics.",
    ),
    "event.alarm.PART_FAILED": ("Uma parte do roteador parou", "A part of the router stopped"),
    "event.alarm.PART_FAILED.do": ("Reinicie-a em Ajustes.", "Restart it in Settings."),
    "event.alarm.CONTROL_FAILED": ("Um comando falhou por dentro", "A command failed within"),
    "event.alarm.DESTINATION_DOWN": ("Destino não recebe", "A destination takes nothing"),
    "event.alarm.DESTINATION_DOWN.do": ("Teste-o em Conexões.", "Test it in Connections."),
    "event.alarm.DESTINATION_REMOVED": (
        "Destino saiu da configuração com imagens à espera",
        "A destination left the configuration with images waiting",
    ),
    "event.alarm.DELIVERY_REFUSED": ("Imagem recusada pelo destino", "An image was refused by a destination"),
    "event.alarm.DELIVERY_REFUSED.do": (
        "Está guardada. Veja em Estudos, “com falha”.",
        "It is kept. See Studies, “failed”.",
    ),
    "event.alarm.DELIVERY_FAILING": ("Imagem falha repetidamente", "An image fails again and again"),
    "event.alarm.DELIVERY_GIVEN_UP": ("Imagem desistida, e guardada", "An image was given up, and kept"),
    "event.alarm.DELIVERY_GIVEN_UP.do": ("Reenvie em Estudos.", "Send it again in Studies."),
    "event.alarm.UNROUTED": ("Nenhum destino quer a imagem", "No destination wants an image"),
    "event.alarm.UNROUTED.do": ("Confira as regras dos destinos.", "Look at the rules of the destinations."),
    "event.alarm.NOT_COMMITTED": ("O destino não confirmou a guarda", "A destination did not commit"),
    "event.alarm.NO_COMMITMENT": (
        "O destino não respondeu sobre a guarda",
        "A destination does not say whether it commits",
    ),
    "event.alarm.COMMITMENT_REFUSED": (
        "O destino não aceita confirmação de guarda",
        "A destination takes no storage commitment",
    ),
    "event.alarm.PLANNING": ("Erro interno ao planejar envios", "An error within, in planning"),
    "event.alarm.FORWARDER": ("Erro interno ao enviar", "An error within, in sending"),
    "event.alarm.IMAGES_WAIT": ("Imagens esperam há muito tempo", "Images have waited for long"),
    "event.alarm.IMAGES_WAIT.do": (
        "Veja em Agora qual destino as segura.",
        "See in Now which destination holds them.",
    ),
    "event.alarm.NOT_RECEIVING": ("O roteador não recebe", "The router does not receive"),
    "event.alarm.NOT_RECEIVING.do": ("Veja Agora: lá está o motivo.", "See Now: the reason is there."),
    "event.alarm.CANNOT_COMMIT": ("O banco de dados não grava", "The database does not write"),
    "event.alarm.CANNOT_COMMIT.do": ("Veja o disco em Conexões.", "Look at the disk in Connections."),
    "event.alarm.QUARANTINE_GREW": ("A quarentena cresceu", "The quarantine grew"),
    "event.alarm.QUARANTINE_GREW.do": ("Veja os motivos em Quarentena.", "See the reasons in Quarantine."),
    "event.alarm.UNDELIVERED": ("Imagens não foram entregues", "Images were not delivered"),
    "event.alarm.UNDELIVERED.do": ("Veja em Estudos, “com falha”.", "See Studies, “failed”."),
    "event.alarm.CERTIFICATE_EXPIRES": (
        "Um certificado está para vencer",
        "A certificate is about to expire",
    ),
    "event.alarm.CERTIFICATE_EXPIRES.do": (
        "Peça um novo a quem cuida dele.",
        "Ask whoever runs it for a new one.",
    ),
    "event.alarm.WATCH_FOLDER_GONE": ("A pasta de ZIPs sumiu", "The ZIP folder is gone"),
    "event.alarm.WATCH_FOLDER_GONE.do": (
        "Confira se o disco ou a rede está montada.",
        "See whether the disk or share is mounted.",
    ),
    "event.alarm.ALERT_NOT_SENT": ("Um alerta não pôde ser enviado", "An alert could not be sent"),
    "event.alarm.ALERT_NOT_SENT.do": (
        "Confira alerts na configuração (e-mail, webhook).",
        "Look at alerts in the configuration (e-mail, webhook).",
    ),
    "event.alarm.ALERTS_FORGOTTEN": (
        "O que já foi alertado se perdeu",
        "What was alerted before is forgotten",
    ),
    "event.alarm.ALERTS_NOT_NOTED": ("Alertas não puderam ser anotados", "Alerts could not be noted"),
    "event.alarm.METRICS_NOT_SENT": ("Métricas não foram à AWS", "Metrics did not get to AWS"),
    "event.alarm.NOT_RELOADED": ("A configuração nova não foi aceita", "The new configuration was not taken"),
    "event.alarm.NOT_RELOADED.do": (
        "Rode ponte router check-config: ele diz o que está errado.",
        "Run ponte router check-config: it says what is wrong.",
    ),
    "event.alarm.NO_LOG_FILE": (
        "O registro não pôde ser gravado em arquivo",
        "The log could not be written to its file",
    ),
    "event.action.told": ("Comando: {name}", "Command: {name}"),
}
