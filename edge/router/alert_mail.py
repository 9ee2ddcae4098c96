"""Alerts as e-mail: one plain text message to all, over TLS unless the operator says otherwise."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from ponte.errors import DestinationRefused, DestinationUnavailable, InvalidRequest
from ponte_net.tls import TlsOptions, client_context
from router.alert_notice import Notice
from router.alert_texts import Letter
from router.config import EmailConfig

_GONE: Final = range(500, 600)


class Mail:
    """A `Channel`. One connection for each message: alerts are seldom."""

    name: Final = "email"

    def __init__(self, config: EmailConfig) -> None:
        self._config = config
        self.addressees = config.recipients
        self._host = config.sender.rpartition("@")[2]

    def send(self, notice: Notice, words: Letter, to: tuple[str, ...]) -> tuple[str, ...]:
        """See `Channel`. What the server says is in no error: it may quote what was sent."""
        message = self.message(notice, words, to)
        try:
            with contextlib.closing(self._connect()) as server:
                refused = server.send_message(message, self._config.sender, list(to))
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    server.quit()  # it has taken the message, whatever it says to this
        except smtplib.SMTPAuthenticationError as error:
            raise DestinationUnavailable("The mail server refuses our password", code="SMTP_AUTH") from error
        except smtplib.SMTPRecipientsRefused as error:
            self._refused([code for code, _ in error.recipients.values()], error)
        except smtplib.SMTPResponseException as error:
            self._refused([error.smtp_code], error)
        except smtplib.SMTPNotSupportedError as error:
            raise DestinationUnavailable("It offers no STARTTLS, or no login", code="SMTP_TLS") from error
        except (ssl.SSLError, InvalidRequest) as error:
            raise DestinationUnavailable("TLS with the mail server failed", code="SMTP_TLS") from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            detail = f"The mail server cannot be reached ({type(error).__name__})"
            raise DestinationUnavailable(detail, code="SMTP") from error
        return tuple(one for one in to if one in refused)

    def message(self, notice: Notice, words: Letter, to: tuple[str, ...]) -> EmailMessage:
        """The message. Headers are set by the `email` package, which folds and encodes them and takes no line
        break; title and addresses have none."""
        message = EmailMessage(policy=SMTP)
        message["From"] = Address("Ponte", addr_spec=self._config.sender)
        message["To"] = [Address(addr_spec=one) for one in to]
        message["Subject"] = " ".join(words.title.split())
        message["Date"] = format_datetime(datetime.fromtimestamp(notice.at, UTC))
        message["Message-ID"] = f"<{notice.id}@{self._host}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(words.text, cte="quoted-printable")
        return message

    def _connect(self) -> smtplib.SMTP:
        """An open connection, logged in. Raises what `smtplib` raises."""
        config = self._config
        if config.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, config.port, self._host, timeout=config.timeout_s, context=self._tls()
            )
        else:
            server = smtplib.SMTP(config.host, config.port, self._host, timeout=config.timeout_s)
        try:
            if config.security == "starttls":
                server.starttls(context=self._tls())
            if config.username:
                server.login(config.username, config.password)
        except BaseException:
            server.close()
            raise
        return server

    def _tls(self) -> ssl.SSLContext:
        return client_context(TlsOptions(ca_file=self._config.ca_file))

    def _refused(self, codes: list[int], error: Exception) -> None:
        detail = f"The mail server answers {' '.join(map(str, sorted(set(codes))))}"
        if codes and all(code in _GONE for code in codes):
            raise DestinationRefused(detail, code="SMTP_REFUSED") from error
        raise DestinationUnavailable(detail, code="SMTP") from error
