"""The doctor's phrases: Portuguese (pt-BR), English."""
# ruff: noqa: ISC004  (a table of texts)

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PHRASES: Final[Mapping[str, tuple[str, str]]] = {
    # names of steps
    "step.seen": ("Visto no registro", "Seen in the rows"),
    "step.dns": ("Nome (DNS)", "Name (DNS)"),
    "step.ping": ("Ping", "Ping"),
    "step.tcp": ("Porta TCP", "TCP port"),
    "step.tls": ("TLS e certificado", "TLS and certificate"),
    "step.association": ("Associação DICOM", "DICOM association"),
    "step.echo": ("C-ECHO", "C-ECHO"),
    "step.store": ("Envio de teste", "Test object sent"),
    "step.query": ("Consulta do teste (C-FIND/QIDO)", "Read-back (C-FIND/QIDO)"),
    "step.delete": ("Remoção do teste", "Test object removed"),
    "step.web": ("Servidor web", "Web server"),
    "step.clock": ("Relógio do servidor", "Server's clock"),
    "step.credentials": ("Credenciais", "Credentials"),
    "step.bucket": ("Bucket", "Bucket"),
    "step.put": ("Permissão de escrita", "Right to write"),
    "step.ports": ("Portas abertas", "Listening ports"),
    "step.interfaces": ("Interfaces de rede", "Interfaces"),
    "step.routes": ("Rotas", "Routes"),
    "step.firewall": ("Firewall", "Firewall"),
    "step.disk": ("Espaço em disco", "Disk space"),
    "step.fsync": ("Velocidade do disco (fsync)", "Disk speed (fsync)"),
    "step.time": ("Relógio", "Clock"),
    "step.names": ("Resolução de nomes", "Name resolution"),
    "step.timezone": ("Fuso horário", "Time zone"),
    # columns
    "table.abstract_syntax": ("Classe SOP", "SOP class"),
    "table.transfer_syntax": ("Sintaxe de transferência", "Transfer syntax"),
    "table.result": ("Resultado", "Result"),
    "table.port": ("Porta", "Port"),
    "table.address": ("Endereço", "Address"),
    "table.addresses": ("Endereços", "Addresses"),
    "table.program": ("Programa", "Program"),
    "table.interface": ("Interface", "Interface"),
    "table.state": ("Estado", "State"),
    "table.network": ("Rede", "Network"),
    "table.gateway": ("Gateway", "Gateway"),
    "accepted": ("aceita", "accepted"),
    "context.user_rejection": ("recusada pelo servidor", "refused by the peer"),
    "context.no_reason_given": ("recusada, sem motivo", "refused, no reason given"),
    "context.SOP_class_not_supported": ("classe SOP não suportada", "SOP class not supported"),
    "context.transfer_syntax_not_supported": (
        "sintaxe de transferência não suportada",
        "transfer syntax not supported",
    ),
    "context.with_a_syntax_that_was_not_proposed": (
        "aceita com uma sintaxe que não foi proposta",
        "accepted with a syntax that was not proposed",
    ),
    # any step
    "skipped.needs": ("Depende de “{step}”.", "It needs “{step}”."),
    "too_long.found": ("Sem resposta em {seconds} s.", "No answer within {seconds} s."),
    "too_long.advice": (
        "O equipamento aceita a conexão e não responde. Reinicie o serviço dele; se voltar a acontecer, fale"
        " com o suporte dele.",
        "The peer takes the connection and says nothing. Restart its service; if that does not last, ask its"
        " support.",
    ),
    "mistake.found": ("Erro interno do teste ({kind}).", "An error of this test itself ({kind})."),
    "mistake.advice": (
        "Não é um problema da rede. Exporte o diagnóstico e envie ao suporte do Ponte.",
        "This is no problem of the network. Export the diagnostics and send them to Ponte's support.",
    ),
    # who has sent
    "seen.sent": (
        "{ae_title} enviou {count} vez(es), a última em {at}.",
        "{ae_title} sent {count} time(s), the last on {at}.",
    ),
    "seen.no_port": (
        "A porta deste equipamento não é conhecida: C-ECHO e associação não podem ser testados.",
        "The port of this modality is not known: association and C-ECHO cannot be asked for.",
    ),
    "seen.advice": (
        "Para testá-lo, inclua em modalities, no YAML do roteador: name, ae_title {ae_title}, host e port.",
        "To have it tested, add to modalities in the router's YAML: name, ae_title {ae_title}, host, port.",
    ),
    # name
    "dns.address": ("{host} é um endereço IP.", "{host} is an IP address."),
    "dns.found": ("Endereços: {addresses}.", "Addresses: {addresses}."),
    "dns.unknown": ("O nome {host} não tem endereço.", "The name {host} has no address."),
    "dns.advice": (
        "Confira se {host} está escrito certo na configuração. Se estiver, confira o servidor DNS desta"
        " máquina (/etc/resolv.conf), ou use o endereço IP.",
        "See whether {host} is spelt right in the configuration. If so, look at this machine's DNS server"
        " (/etc/resolv.conf), or give the IP address.",
    ),
    # ping
    "ping.answered": ("{address} respondeu em {ms} ms.", "{address} answered in {ms} ms."),
    "ping.silent": ("{address} não responde a ping.", "{address} does not answer to ping."),
    "ping.advice": (
        "Muitos equipamentos e firewalls ignoram ping: se a porta TCP abre, está tudo bem. Se não abre,"
        " confira se o equipamento está ligado e na rede.",
        "Many machines and firewalls ignore ping: if the TCP port opens, all is well. If it does not, see"
        " whether the machine is on and has its cable.",
    ),
    "ping.impossible": (
        "Este usuário não pode enviar ping, e o programa ping não está instalado ou também não pode. Não é"
        " preciso: a porta TCP diz mais.",
        "This user may not ping, and the program ping is not there or may not either. It is not"
        " needed: the TCP port says more.",
    ),
    # port
    "tcp.open": (
        "{address}:{port} aceitou a conexão em {ms} ms.",
        "{address}:{port} took the connection in {ms} ms.",
    ),
    "tcp.slow_advice": (
        "A rede está lenta: confira cabo, Wi-Fi e VPN entre as duas máquinas.",
        "The network is slow: look at cable, Wi-Fi and VPN between the two machines.",
    ),
    "tcp.refused": (
        "{address} recusou a porta {port}: nada escuta ali, ou um firewall recusa.",
        "{address} refused port {port}: nothing listens there, or a firewall rejects it.",
    ),
    "tcp.refused_advice": (
        "A máquina está ligada. Confira se o serviço DICOM ou web dela está rodando e se a porta {port} é a"
        " certa.",
        "The machine is there. See whether its DICOM or web service runs, and whether {port} is its port.",
    ),
    "tcp.silent": (
        "{address} não respondeu na porta {port}.",
        "{address} did not answer on port {port}.",
    ),
    "tcp.silent_advice": (
        "Ou a máquina está desligada, ou um firewall descarta a conexão: libere a porta TCP {port} desta"
        " máquina para {address}.",
        "Either the machine is off, or a firewall drops the connection: let TCP port {port} through from this"
        " machine to {address}.",
    ),
    "tcp.no_way": (
        "Não há caminho na rede até {address}.",
        "There is no way through the network to {address}.",
    ),
    "tcp.no_way_advice": (
        "Confira cabo, endereço, máscara e rota desta máquina: {address} está em outra rede.",
        "Look at this machine's cable, address, mask and route: {address} is on another network.",
    ),
    "tcp.local_port": (
        "A porta local {local_port}, fixa na configuração, está em uso.",
        "The local port {local_port} that the configuration fixes is in use.",
    ),
    "tcp.local_port_advice": (
        "O próprio roteador a usa enquanto envia. Pause este destino e teste de novo.",
        "The router itself has it while it sends. Pause this destination and test again.",
    ),
    "tcp.broken": (
        "A conexão com {address}:{port} falhou ({error}).",
        "The connection to {address}:{port} failed ({error}).",
    ),
    "tcp.broken_advice": (
        "Confira o endereço e a porta na configuração, e se a rede funciona.",
        "Look at address and port in the configuration, and whether the network works.",
    ),
    # TLS
    "tls.modern": ("{version}, {cipher}: conforme BCP 195.", "{version}, {cipher}: as BCP 195 wants it."),
    "tls.old": ("{version}, {cipher}: ultrapassado.", "{version}, {cipher}: outdated."),
    "tls.verified": ("Cadeia e nome verificados.", "Chain and name verified."),
    "tls.certificate": (
        "Certificado de {subject}, emitido por {issuer}, vale até {until}: faltam {days} dias.",
        "Certificate of {subject}, issued by {issuer}, valid until {until}: {days} days left.",
    ),
    "tls.certificate_over": (
        "Certificado de {subject}, emitido por {issuer}, venceu em {until}, há {days} dias.",
        "Certificate of {subject}, issued by {issuer}, ran out on {until}, {days} days ago.",
    ),
    "tls.names": ("Nomes no certificado: {names}.", "Names in the certificate: {names}."),
    "tls.no_names": (
        "O certificado não traz nomes (Subject Alternative Name).",
        "The certificate has no names (Subject Alternative Name).",
    ),
    "tls.soon_advice": (
        "Faltam {days} dias: peça já um certificado novo a quem cuida deste servidor.",
        "{days} days left: ask whoever runs this server for a new certificate now.",
    ),
    "tls.expired": ("O certificado está vencido.", "The certificate has expired."),
    "tls.expired_advice": (
        "Peça um certificado novo a quem cuida deste servidor. Confira também a data desta máquina.",
        "Ask whoever runs this server for a new certificate. Look at the date of this machine, too.",
    ),
    "tls.not_yet": ("O certificado ainda não vale.", "The certificate is not valid yet."),
    "tls.not_yet_advice": (
        "Quase sempre é a data errada: confira a desta máquina e a do servidor.",
        "Almost always a date is wrong: look at that of this machine and at that of the server.",
    ),
    "tls.self_signed": (
        "O certificado é autoassinado, e esta máquina não o conhece.",
        "The certificate is self-signed, and this machine does not know it.",
    ),
    "tls.self_signed_advice": (
        "Se ele for mesmo deste servidor, indique o arquivo dele em ca_file (DICOM), ou inclua-o nos"
        " certificados desta máquina (update-ca-certificates).",
        "If it is truly that server's, name its file in ca_file (DICOM), or add it to this machine's"
        " certificates (update-ca-certificates).",
    ),
    "tls.unknown_authority": (
        "O certificado vem de uma autoridade que esta máquina não conhece.",
        "The certificate is of an authority that this machine does not know.",
    ),
    "tls.unknown_authority_advice": (
        "Indique o certificado da autoridade em ca_file (DICOM), ou inclua-o nos desta máquina. O servidor"
        " também precisa enviar os certificados intermediários.",
        "Name the authority's certificate in ca_file (DICOM), or add it to this machine's. The server has to"
        " send the intermediate ones, too.",
    ),
    "tls.revoked": ("O certificado foi revogado.", "The certificate has been revoked."),
    "tls.revoked_advice": (
        "Não envie nada a este servidor antes de falar com quem cuida dele.",
        "Send nothing to this server before you have spoken to whoever runs it.",
    ),
    "tls.wrong_name": (
        "O certificado não é para {host}.",
        "The certificate is not for {host}.",
    ),
    "tls.wrong_name_advice": (
        "Use na configuração um dos nomes do certificado, ou peça um certificado que tenha {host}.",
        "Give one of the certificate's names in the configuration, or ask for a certificate that has {host}.",
    ),
    "tls.not_trusted": (
        "O certificado não é confiável (OpenSSL {code}).",
        "The certificate is not trusted (OpenSSL {code}).",
    ),
    "tls.not_trusted_advice": (
        "Mostre este resultado a quem cuida do servidor.",
        "Show this result to whoever runs the server.",
    ),
    "tls.silent": ("O servidor não respondeu ao início do TLS.", "The peer did not answer the start of TLS."),
    "tls.broken": (
        "O servidor fechou a conexão no início do TLS.",
        "The peer closed the connection at the start of TLS.",
    ),
    "tls.plain_advice": (
        "Provavelmente esta porta não usa TLS: confira a porta, ou tire tls da configuração deste destino.",
        "Most likely this port has no TLS: look at the port, or take tls out of this destination's"
        " configuration.",
    ),
    "tls.failed": ("TLS não foi possível: {reason}.", "No TLS was possible: {reason}."),
    "tls.failed_advice": (
        "O servidor precisa de TLS 1.2 ou 1.3 com cifras atuais (BCP 195). Se ele pede certificado do"
        " cliente, indique certificate_file e key_file.",
        "The peer needs TLS 1.2 or 1.3 with today's ciphers (BCP 195). If it asks for a client certificate,"
        " give certificate_file and key_file.",
    ),
    "tls.files": (
        "Um arquivo de certificado ou chave da configuração não pode ser usado.",
        "A file of a certificate or key of the configuration cannot be used.",
    ),
    "tls.files_advice": (
        "Confira se existem, se são PEM e se o usuário do roteador pode lê-los: {files}.",
        "See whether they exist, are PEM, and may be read by the router's user: {files}.",
    ),
    # association
    "association.made": (
        "Associação aceita: {accepted} de {proposed} contextos; PDU máximo {max_pdu}; {implementation}.",
        "Association accepted: {accepted} of {proposed} contexts; longest PDU {max_pdu}; {implementation}.",
    ),
    "association.none_advice": (
        "O servidor não aceita nossas imagens: libere armazenamento (Storage SCP) para o AE title {ours}.",
        "The peer accepts no image of ours: allow storage (Storage SCP) for the AE title {ours} there.",
    ),
    "association.commitment_advice": (
        "A configuração pede confirmação de guarda (commitment), e o servidor não a aceita: as imagens"
        " ficarão aqui. Libere Storage Commitment no servidor, ou tire commitment deste destino.",
        "The configuration wants storage commitment, and the peer does not accept it: images will stay here."
        " Allow Storage Commitment at the peer, or take commitment out of this destination.",
    ),
    "association.seen_advice": (
        "{count} tipo(s) de imagem recebidos há pouco não são aceitos assim: veja a tabela. O que pode ser"
        " descomprimido é (transcode); o resto fica recusado até ser liberado no servidor.",
        "{count} kind(s) of images that came lately are not accepted as they are: see the table. What may be"
        " decompressed is (transcode); the rest stays refused until the peer allows it.",
    ),
    "association.called": (
        "O servidor não conhece o AE title chamado, {theirs}.",
        "The peer does not know the called AE title, {theirs}.",
    ),
    "association.called_advice": (
        "Pergunte a quem cuida do servidor qual é o AE title dele (maiúsculas contam) e corrija ae_title.",
        "Ask whoever runs the peer for its AE title (case matters), and correct ae_title.",
    ),
    "association.calling": (
        "O servidor não conhece o nosso AE title, {ours}.",
        "The peer does not know our AE title, {ours}.",
    ),
    "association.calling_advice": (
        "Peça que cadastrem o AE title {ours} com o endereço IP desta máquina no servidor.",
        "Ask them to register the AE title {ours} with this machine's IP address at the peer.",
    ),
    "association.busy": (
        "O servidor não aceita associações agora: está no limite.",
        "The peer accepts no associations for now: it is at its limit.",
    ),
    "association.busy_advice": (
        "O roteador tenta de novo sozinho. Se durar, diminua concurrency deste destino ou aumente o limite de"
        " associações do servidor.",
        "The router tries again by itself. If it lasts, lower this destination's concurrency, or raise the"
        " peer's limit of associations.",
    ),
    "association.odd": (
        "O servidor recusa o protocolo DICOM que propomos.",
        "The peer refuses the DICOM protocol that we propose.",
    ),
    "association.odd_advice": (
        "Algo entre as duas máquinas não fala DICOM direito: confira a porta.",
        "Something between the two machines does not speak DICOM right: look at the port.",
    ),
    "association.no_reason": (
        "O servidor recusou a associação sem dizer por quê.",
        "The peer rejected the association and does not say why.",
    ),
    "association.no_reason_advice": (
        "Quase sempre é cadastro: AE title chamado {theirs}, nosso {ours}, e o IP desta máquina.",
        "Almost always it is a register: called AE title {theirs}, ours {ours}, and this machine's IP.",
    ),
    "association.silent": (
        "{host}:{port} aceitou a conexão e não respondeu em DICOM.",
        "{host}:{port} took the connection and did not answer in DICOM.",
    ),
    "association.silent_advice": (
        "O serviço DICOM do outro lado está parado ou sobrecarregado, ou a porta {port} é de outro programa."
        " Reinicie o serviço.",
        "The DICOM service over there hangs or is overloaded, or port {port} is another program's. Restart"
        " the service.",
    ),
    "association.not_dicom": (
        "Quem responde em {host}:{port} não fala DICOM.",
        "Who answers at {host}:{port} does not speak DICOM.",
    ),
    "association.not_dicom_advice": (
        "A porta {port} é de outro serviço (web?): pergunte qual é a porta DICOM.",
        "Port {port} is another service's (web?): ask for the DICOM port.",
    ),
    "association.speaks_tls": (
        "{host}:{port} fala TLS, e a configuração não.",
        "{host}:{port} speaks TLS, and the configuration does not.",
    ),
    "association.speaks_tls_advice": (
        "Ponha tls: true neste destino, com ca_file se o certificado for da clínica.",
        "Set tls: true for this destination, with ca_file if the certificate is the clinic's own.",
    ),
    "association.tls": (
        "O servidor encerrou a conexão TLS em vez de responder à associação.",
        "The peer ended the TLS connection where the association was to be answered.",
    ),
    "association.tls_advice": (
        "É provável que ele exija certificado do cliente: indique certificate_file e key_file.",
        "It is likely to want a client certificate: give certificate_file and key_file.",
    ),
    "association.local_port": (
        "A porta local fixa na configuração está em uso.",
        "The local port that the configuration fixes is in use.",
    ),
    "association.local_port_advice": (
        "O próprio roteador a usa enquanto envia. Pause este destino e teste de novo.",
        "The router itself has it while it sends. Pause this destination and test again.",
    ),
    "association.closed": (
        "O servidor fechou a conexão, ou abortou, sem aceitar a associação.",
        "The peer closed the connection, or aborted, and did not accept the association.",
    ),
    "association.closed_advice": (
        "Veja o log do servidor. Causas comuns: nosso AE title {ours} ou IP não cadastrado, ou porta de outro"
        " serviço.",
        "Look at the peer's log. Common causes: our AE title {ours} or our IP is not registered, or the port"
        " is another service's.",
    ),
    # C-ECHO
    "echo.answered": ("C-ECHO respondido em {ms} ms.", "C-ECHO answered in {ms} ms."),
    "echo.not_taken": ("O servidor não aceita C-ECHO.", "The peer does not take C-ECHO."),
    "echo.not_taken_advice": (
        "Se o envio funciona, está tudo bem; o padrão manda aceitar C-ECHO.",
        "If storing works, all is well; the standard wants C-ECHO accepted.",
    ),
    "echo.status": ("C-ECHO respondido com {status}.", "C-ECHO answered with {status}."),
    "echo.status_advice": (
        "O serviço responde, mas com erro: veja o log dele.",
        "The service answers, with an error: look at its log.",
    ),
    # store
    "store.not_asked": (
        "Não foi pedido. Nada foi enviado.",
        "Not asked for. Nothing was sent.",
    ),
    "store.not_allowed": (
        "O envio de teste a este equipamento não está liberado (test_store em modalities).",
        "Sending a test object to this modality is not allowed (test_store in modalities).",
    ),
    "store.taken": (
        "Objeto de teste PONTE^DOCTOR aceito ({uid}).",
        "Test object PONTE^DOCTOR taken ({uid}).",
    ),
    "store.warned": (
        "Objeto de teste PONTE^DOCTOR aceito com aviso ({uid}).",
        "Test object PONTE^DOCTOR taken with a warning ({uid}).",
    ),
    "store.refused": ("Objeto de teste recusado {status}.", "Test object refused {status}."),
    "store.full_advice": (
        "O servidor está sem espaço ou memória: libere lá. O roteador guarda tudo e tenta de novo.",
        "The peer is out of disk or memory: make room there. The router keeps everything and tries again.",
    ),
    "store.mismatch_advice": (
        "O servidor diz que o conteúdo não combina com a classe: veja o log dele.",
        "The peer says that the dataset does not match its class: look at its log.",
    ),
    "store.cannot_understand_advice": (
        "O servidor não aceita este conteúdo. Alguns exigem pedido (accession number) ou paciente conhecido:"
        " veja o log dele.",
        "The peer does not take this content. Some want a known order (accession number) or patient: look at"
        " its log.",
    ),
    "store.class_advice": (
        "Secondary Capture não é aceita pelo servidor: veja a tabela da associação.",
        "Secondary Capture is not accepted by the peer: see the association's table.",
    ),
    "store.context_advice": (
        "Secondary Capture não foi aceita na associação: veja a tabela. Imagens de outras classes podem"
        " passar.",
        "Secondary Capture was not accepted in the association: see the table. Images of other classes may go"
        " through.",
    ),
    "store.not_authorised_advice": (
        "Nosso AE title pode associar, mas não armazenar: libere no servidor.",
        "Our AE title may associate, and not store: allow it at the peer.",
    ),
    "store.duplicate_advice": (
        "O servidor diz que já tem este objeto: teste de novo.",
        "The peer says that it has this object: test again.",
    ),
    "store.other_advice": ("Veja o log do servidor.", "Look at the peer's log."),
    # read back
    "query.answers": ("Responde a consultas.", "It answers queries."),
    "query.nothing": (
        "Nada foi enviado que se possa procurar.",
        "Nothing was sent that could be looked for.",
    ),
    "query.there": (
        "O objeto de teste foi encontrado no servidor.",
        "The test object was found at the peer.",
    ),
    "query.not_there": (
        "O servidor aceitou o objeto de teste e não o encontra.",
        "The peer took the test object, and does not find it.",
    ),
    "query.not_there_advice": (
        "Pode ser atraso de indexação: teste de novo em um minuto. Se continuar, o servidor confirma o que"
        " não guarda: avise quem cuida dele antes de enviar exames.",
        "It may be slow to index: test again in a minute. If it stays so, the peer confirms what it does not"
        " keep: tell whoever runs it before studies are sent.",
    ),
    "query.not_taken": (
        "O servidor não aceita consultas (C-FIND Study Root).",
        "The peer takes no queries (C-FIND, Study Root).",
    ),
    "query.failed": ("A consulta falhou ({detail}).", "The query failed ({detail})."),
    "query.advice": (
        "O envio não depende disso. Para comparar o que chegou, libere consulta (C-FIND ou QIDO-RS).",
        "Sending does not need it. To compare what has arrived, allow us queries (C-FIND or QIDO-RS).",
    ),
    "delete.stays": (
        "O objeto de teste fica no servidor: apague lá o paciente PONTE^DOCTOR (estudo {study}).",
        "The test object stays there: delete the patient PONTE^DOCTOR at the peer (study {study}).",
    ),
    "delete.done": (
        "O estudo de teste foi apagado do servidor.",
        "The test study was deleted from the server.",
    ),
    # web
    "web.answers": ("O servidor respondeu {status}.", "The server answered {status}."),
    "web.denied": ("O servidor recusa as nossas credenciais.", "The server refuses our credentials."),
    "web.denied_advice": (
        "Confira username e password (ou password_file) deste destino, e se o usuário pode acessar DICOMweb.",
        "Look at username and password (or password_file) of this destination, and whether the user may use"
        " DICOMweb.",
    ),
    "web.not_found": (
        "Não há DICOMweb neste caminho ({status}).",
        "There is no DICOMweb at this path ({status}).",
    ),
    "web.not_found_advice": (
        "Confira o caminho da url: Orthanc usa /dicom-web, e o plug-in DICOMweb precisa estar ativo.",
        "Look at the path of the url: Orthanc has /dicom-web, and its DICOMweb plugin has to be on.",
    ),
    "web.not_orthanc_advice": (
        "Quem responde não é um Orthanc: confira a url (sem /dicom-web).",
        "Who answers is no Orthanc: look at the url (without /dicom-web).",
    ),
    "web.ill": ("O servidor responde com erro {status}.", "The server answers with the error {status}."),
    "web.ill_advice": (
        "O problema está no servidor: veja o log dele, o disco e o banco de dados.",
        "The trouble is at the server: look at its log, its disk and its database.",
    ),
    "web.odd": (
        "O servidor respondeu {status}, o que não é esperado.",
        "The server answered {status}, which is not expected.",
    ),
    "web.odd_advice": (
        "Confira a url; um proxy ou uma página de login pode estar no meio.",
        "Look at the url; a proxy or a login page may be in between.",
    ),
    "web.silent": ("O servidor não respondeu a tempo.", "The server did not answer in time."),
    "web.silent_advice": (
        "O serviço web está parado ou sobrecarregado: reinicie-o.",
        "The web service hangs or is overloaded: restart it.",
    ),
    "web.broken": ("A conexão com o servidor foi interrompida.", "The connection to the server broke."),
    "web.broken_advice": (
        "Confira se a porta é a do serviço web e se a url usa http ou https como o servidor.",
        "See whether the port is that of the web service, and whether the url has http or https as the server"
        " has.",
    ),
    "web.refused": ("O servidor recusou o pedido ({status}).", "The server refused the request ({status})."),
    "web.refused_advice": (
        "Confira a url: redirecionamentos para outro endereço não são seguidos.",
        "Look at the url: redirects to another address are not followed.",
    ),
    # clocks
    "clock.no_date": (
        "O servidor não diz a hora: não foi comparado.",
        "The server does not tell the time: not compared.",
    ),
    "clock.together": ("Os relógios diferem {seconds} s.", "The clocks are {seconds} s apart."),
    "clock.ahead": (
        "O relógio desta máquina está {seconds} s adiantado em relação ao servidor.",
        "This machine's clock is {seconds} s ahead of the server's.",
    ),
    "clock.behind": (
        "O relógio desta máquina está {seconds} s atrasado em relação ao servidor.",
        "This machine's clock is {seconds} s behind the server's.",
    ),
    "clock.advice": (
        "Ative NTP nas duas máquinas (systemd-timesyncd ou chrony).",
        "Have both machines keep time by NTP (systemd-timesyncd or chrony).",
    ),
    "clock.skewed": (
        "O S3 recusa pela hora: o relógio desta máquina está errado.",
        "S3 refuses for the time: this machine's clock is wrong.",
    ),
    "clock.skewed_advice": (
        "Acerte o relógio e ative NTP (systemd-timesyncd ou chrony).",
        "Set the clock, and have it kept by NTP (systemd-timesyncd or chrony).",
    ),
    # S3
    "credentials.found": ("Há credenciais (origem: {method}).", "There are credentials (from: {method})."),
    "credentials.none": ("Não há credenciais da AWS.", "There are no AWS credentials."),
    "credentials.unusable": (
        "As credenciais ou a região da AWS não podem ser usadas ({kind}).",
        "The AWS credentials or region cannot be used ({kind}).",
    ),
    "credentials.none_advice": (
        "Defina AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY e AWS_REGION no .env, ou dê um papel (role) a esta"
        " máquina.",
        "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION in the .env, or give this machine a"
        " role.",
    ),
    "credentials.wrong": (
        "A AWS recusa estas credenciais ({status}).",
        "AWS refuses these credentials ({status}).",
    ),
    "credentials.wrong_advice": (
        "A chave foi trocada, apagada ou venceu: peça outra ao administrador da conta.",
        "The key was changed, deleted or has expired: ask the account's administrator for another.",
    ),
    "bucket.allowed": (
        "O bucket {bucket} responde, e os envios em curso podem ser listados.",
        "The bucket {bucket} answers, and uploads under way may be listed.",
    ),
    "bucket.none": ("O bucket {bucket} não existe.", "There is no bucket {bucket}."),
    "bucket.none_advice": (
        "Confira o nome do bucket e a região deste destino.",
        "Look at this destination's bucket and region.",
    ),
    "bucket.elsewhere": (
        "O bucket {bucket} está em outra região, ou em outro endereço ({status}).",
        "The bucket {bucket} is in another region, or at another address ({status}).",
    ),
    "bucket.elsewhere_advice": (
        "Corrija region (e endpoint_url, se houver) deste destino.",
        "Correct this destination's region (and endpoint_url, if it has one).",
    ),
    "bucket.denied": (
        "O bucket {bucket} nega o acesso ({status}).",
        "The bucket {bucket} denies access ({status}).",
    ),
    "bucket.denied_advice": (
        "A política precisa permitir s3:ListBucketMultipartUploads em {bucket} para estas credenciais.",
        "The policy has to allow these credentials s3:ListBucketMultipartUploads on the bucket {bucket}.",
    ),
    "bucket.odd": ("O bucket respondeu {status}.", "The bucket answered {status}."),
    "bucket.odd_advice": (
        "Tente de novo em alguns minutos; se continuar, mostre isto ao administrador da conta.",
        "Try again in some minutes; if it stays so, show this to the account's administrator.",
    ),
    "bucket.not_reached": ("O S3 não pôde ser alcançado ({kind}).", "S3 could not be reached ({kind})."),
    "bucket.not_reached_advice": (
        "Confira a internet, o proxy e a região; esta máquina precisa sair pela porta 443.",
        "Look at the internet, the proxy and the region; this machine has to get out by port 443.",
    ),
    "put.allowed": (
        "Escrita permitida em {bucket} (um envio foi iniciado e desfeito; nada ficou lá).",
        "Writing to {bucket} is allowed (an upload was begun and undone; nothing is left there).",
    ),
    "put.begun": (
        "Escrita permitida em {bucket}, mas o envio de teste não pôde ser desfeito ({status}).",
        "Writing to {bucket} is allowed, and the test upload could not be undone ({status}).",
    ),
    "put.begun_advice": (
        "A política precisa permitir s3:AbortMultipartUpload em {bucket}. Nenhum objeto ficou lá; o envio"
        " inacabado fica até a regra de ciclo de vida do bucket apagá-lo.",
        "The policy has to allow s3:AbortMultipartUpload on {bucket}. No object is there; the unfinished"
        " upload stays until the bucket's lifecycle rule removes it.",
    ),
    "put.denied": (
        "O bucket {bucket} não deixa escrever ({status}).",
        "The bucket {bucket} does not let us write ({status}).",
    ),
    "put.denied_advice": (
        "A política precisa permitir s3:PutObject em {bucket}.",
        "The policy has to allow s3:PutObject on {bucket}.",
    ),
    # machine
    "ports.open": ("O roteador escuta em: {ports}.", "The router listens on: {ports}."),
    "ports.missing": ("Ninguém escuta em {ports}.", "Nobody listens on {ports}."),
    "ports.advice": (
        "O roteador não está rodando, ou não conseguiu a porta: veja a página de logs ou systemctl status, e"
        " inicie-o. No contêiner, este teste só vê as portas do próprio contêiner.",
        "The router does not run, or did not get the port: see the logs or systemctl status, and start it. In"
        " a container this test sees that container's ports alone.",
    ),
    "interfaces.found": ("{count} interfaces.", "{count} interfaces."),
    "interfaces.everywhere": (
        "{count} interfaces; o roteador escuta em todas.",
        "{count} interfaces; the router listens on all of them.",
    ),
    "interfaces.everywhere_advice": (
        "Ponha em HTR_IP o endereço desta máquina na rede dos equipamentos. No contêiner, quem restringe é a"
        " publicação da porta.",
        "Set HTR_IP to this machine's address on the modality network. In a container it is the published"
        " port that restricts it.",
    ),
    "interfaces.foreign": (
        "{addresses} não é endereço desta máquina.",
        "{addresses} is no address of this machine.",
    ),
    "interfaces.advice": (
        "Corrija HTR_IP (ou listeners): use um dos endereços da tabela.",
        "Correct HTR_IP (or listeners): take one of the addresses of the table.",
    ),
    "routes.found": ("{count} rotas, com rota padrão.", "{count} routes, a default route among them."),
    "routes.no_default": ("Não há rota padrão.", "There is no default route."),
    "routes.advice": (
        "Só as redes da tabela são alcançadas. Para a nuvem ou outra rede, configure o gateway.",
        "Only the networks of the table are reached. For the cloud or another network, set a gateway.",
    ),
    "routes.unreadable": ("As rotas não puderam ser lidas.", "The routes could not be read."),
    "firewall.open": (
        "{tool}: {rules} regras, nada bloqueia a entrada por padrão.",
        "{tool}: {rules} rules, nothing closes the input by default.",
    ),
    "firewall.named": (
        "{tool}: {rules} regras; as portas do roteador aparecem nelas.",
        "{tool}: {rules} rules; the router's ports are named in them.",
    ),
    "firewall.not_named": (
        "{tool}: a entrada é bloqueada por padrão, e nenhuma regra nomeia {ports}.",
        "{tool}: the input is closed by default, and no rule names {ports}.",
    ),
    "firewall.advice": (
        "Libere a entrada TCP {ports} vinda da rede dos equipamentos.",
        "Let TCP {ports} in from the modality network.",
    ),
    "firewall.denied": (
        "O usuário {user} não pode ler o firewall: não se sabe o que ele bloqueia.",
        "The user {user} may not read the firewall: what it closes is not known.",
    ),
    "firewall.denied_advice": (
        "Rode “sudo nft list ruleset” ou “sudo ponte doctor machine” nesta máquina.",
        "Run “sudo nft list ruleset” or “sudo ponte doctor machine” on this machine.",
    ),
    "firewall.unreadable": (
        "Nem nft nem iptables puderam ser lidos (usuário {user}).",
        "Neither nft nor iptables could be read (user {user}).",
    ),
    "firewall.unreadable_advice": (
        "Os programas não estão instalados aqui: confira o firewall na própria máquina.",
        "The programs are not installed here: look at the firewall on the machine itself.",
    ),
    "disk.free": (
        "{folder}: {free} GB livres de {size} GB; {files} arquivos possíveis.",
        "{folder}: {free} GB free of {size} GB; room for {files} files.",
    ),
    "disk.full_advice": (
        "O roteador já recusa equipamentos por falta de espaço. Veja quais destinos estão parados (as imagens"
        " saem quando são enviadas) e a quarentena.",
        "The router refuses modalities for want of room. See which destinations are down (images go once they"
        " are sent), and the quarantine.",
    ),
    "disk.low_advice": (
        "Há pouco espaço. Veja quais destinos estão parados e a quarentena.",
        "There is little room. See which destinations are down, and the quarantine.",
    ),
    "disk.unreadable": ("{folder} não pode ser lida ({error}).", "{folder} cannot be read ({error})."),
    "disk.unreadable_advice": (
        "Confira DICOM_ROOT e se o disco está montado.",
        "Look at DICOM_ROOT, and whether the disk is mounted.",
    ),
    "fsync.took": (
        "Gravar com segurança leva {ms} ms (mediana de 8; máximo {most} ms).",
        "To write something safely takes {ms} ms (median of 8; {most} ms at most).",
    ),
    "fsync.slow_advice": (
        "O disco é lento: cada imagem espera por ele. Prefira SSD local; não use rede nem cartão de memória.",
        "The disk is slow, and every image waits for it. Take a local SSD; no network share, no memory card.",
    ),
    "fsync.denied": (
        "Não se pode escrever em {folder} ({error}).",
        "{folder} cannot be written to ({error}).",
    ),
    "fsync.denied_advice": (
        "Rode como o usuário do roteador, ou dê a ele a pasta: {folder}.",
        "Run this as the router's user, or give that user the folder: {folder}.",
    ),
    "time.kept": ("{now}, acertado por NTP.", "{now}, kept in time by NTP."),
    "time.alone": ("{now}; ninguém acerta este relógio.", "{now}; nobody keeps this clock in time."),
    "time.unknown": (
        "{now}; não se sabe se o relógio é acertado.",
        "{now}; whether it is kept in time is not known.",
    ),
    "time.advice": (
        "Ative NTP (systemd-timesyncd ou chrony), de preferência com o servidor de hora da clínica.",
        "Turn NTP on (systemd-timesyncd or chrony), best with the clinic's own time server.",
    ),
    "names.found": (
        "Servidores DNS: {servers}; {host} resolvido em {ms} ms.",
        "DNS servers: {servers}; {host} resolved in {ms} ms.",
    ),
    "names.own_unknown": (
        "O nome desta máquina, {host}, não é resolvido. Servidores DNS: {servers}.",
        "This machine's own name, {host}, is not resolved. DNS servers: {servers}.",
    ),
    "names.own_advice": ("Inclua {host} em /etc/hosts.", "Add {host} to /etc/hosts."),
    "names.no_servers": ("Não há servidor DNS configurado.", "There is no DNS server."),
    "names.no_servers_advice": (
        "Use endereços IP nos destinos, ou configure um servidor DNS.",
        "Give IP addresses for destinations, or set a DNS server.",
    ),
    "timezone.found": ("{zone}: {now}.", "{zone}: {now}."),
    "timezone.unknown": ("O fuso {zone} não é conhecido.", "The time zone {zone} is not known."),
    "timezone.advice": (
        "Corrija TZ, por exemplo America/Sao_Paulo.",
        "Correct TZ, for example America/Sao_Paulo.",
    ),
}
