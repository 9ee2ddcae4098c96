"""What operators may set, and what is refused before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from infra.configuration import Configuration, ConfigurationError

OPEN = {"ALLOWED_CLIENT_IPS": "203.0.113.7"}


def read(environment: dict[str, str] | None = None, **context: Any) -> Configuration:
    return Configuration.read(context.get, environment or {})


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_an_api_that_everybody_may_call_is_refused_with_the_name_of_the_variable(stage: str) -> None:
    with pytest.raises(ConfigurationError, match="ALLOWED_CLIENT_IPS is not set"):
        read(stage=stage)


TOKENS = "arn:aws:secretsmanager:sa-east-1:123456789012:secret:tokens-GhIjKl"
JWT = {"API_AUTHORIZER": "jwt", "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "ponte"}


@pytest.mark.parametrize("given", [{"API_TOKENS_SECRET_ARN": TOKENS}, {"API_AUTHORIZER": "iam"}, JWT])
def test_a_token_or_an_authorizer_guards_an_api_without_a_list(given: dict[str, str]) -> None:
    assert read(given).allowed_client_ips == ()


@pytest.mark.parametrize("missing", ["API_AUTHORIZER", "JWT_ISSUER", "JWT_AUDIENCE"])
def test_jwt_is_set_up_whole_or_not_at_all(missing: str) -> None:
    with pytest.raises(ConfigurationError, match="JWT_ISSUER"):
        read(OPEN | {name: value for name, value in JWT.items() if name != missing})


def test_two_that_want_the_same_header_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="both want the Authorization header"):
        read({"API_TOKENS_SECRET_ARN": TOKENS, "API_AUTHORIZER": "iam"})


def test_the_local_stage_needs_nothing() -> None:
    assert read(stage="local").is_local


def test_context_wins_over_the_environment() -> None:
    assert read({**OPEN, "LOG_LEVEL": "ERROR"}, log_level="DEBUG").log_level == "DEBUG"
    assert read({**OPEN, "LOG_LEVEL": "ERROR"}).log_level == "ERROR"


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read({**OPEN, "LOG_LEVEL": "", "CREATE_LOG_URL": ""}).log_level == "INFO"


def test_addresses_of_both_families_and_networks_are_taken() -> None:
    given = "203.0.113.7, 198.51.100.0/24,2001:db8::1 ,2001:db8::/32"
    assert read({"ALLOWED_CLIENT_IPS": given}).allowed_client_ips == (
        "203.0.113.7",
        "198.51.100.0/24",
        "2001:db8::1",
        "2001:db8::/32",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_CLIENT_IPS", "203.0.113.7,hospital.example"),
        ("ALLOWED_CLIENT_IPS", "203.0.113.256"),
        ("ALLOWED_CLIENT_IPS", "203.0.113.7/24"),
        ("DICOM_WADO_URL", "pacs.example/dicom-web"),
        ("DICOM_WADO_URL", "ftp://pacs.example/dicom-web"),
        ("DICOM_WADO_URL", "https://user:word@pacs.example/dicom-web"),
        ("CREATE_LOG_URL", "log.example"),
        ("CALLBACK_ALLOW_ORIGINS", "https://receiver.example/path"),
        ("CALLBACK_ALLOW_ORIGINS", "receiver.example"),
        ("CALLBACK_ALLOW_ORIGINS", "https://receiver.example:port"),
        ("DICOM_AUTH_SECRET_ARN", "pacs-password"),
        ("API_TOKENS_SECRET_ARN", "a-token-in-clear"),
        ("API_AUTHORIZER", "basic"),
        ("API_RATE_PER_S", "0"),
        ("DEFAULT_MAX_WORKERS", "0"),
        ("MAX_ALLOWED_WORKERS", "many"),
        ("LOG_LEVEL", "LOUD"),
        ("TZ", "America/Sao Paulo"),
        ("PDF_LANGUAGE", "pt"),
        ("ARCHITECTURE", "i386"),
        ("STAGE", "production"),
        ("RENDER_CONCURRENCY", "1"),
        ("EDGE_SITES", "Clínica Sol"),
        ("EDGE_SITES", "sol,Sol"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_name_of_the_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        read({**OPEN, variable: value})


def test_the_default_of_workers_may_not_exceed_their_limit() -> None:
    with pytest.raises(ConfigurationError, match="DEFAULT_MAX_WORKERS is above MAX_ALLOWED_WORKERS"):
        read({**OPEN, "DEFAULT_MAX_WORKERS": "9"})


@pytest.mark.parametrize("missing", ["vpc_id", "subnet_ids", "security_group_ids"])
def test_a_network_is_given_whole_or_not_at_all(missing: str) -> None:
    whole = {"vpc_id": "vpc-1", "subnet_ids": "subnet-1", "security_group_ids": "sg-1"}
    with pytest.raises(ConfigurationError, match="go together"):
        read(OPEN, **{name: value for name, value in whole.items() if name != missing})


def test_an_error_never_repeats_credentials() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({**OPEN, "DICOM_WADO_URL": "https://user:word@pacs.example/"})
    assert "word" not in str(caught.value)


def test_origins_and_networks_may_be_called_back() -> None:
    given = "https://receiver.example,http://10.1.2.3:8080,10.0.0.0/8,fd00::/8"
    assert len(read({**OPEN, "CALLBACK_ALLOW_ORIGINS": given}).callback_allow_origins) == 4


def test_the_layers_of_a_stage_in_aws_are_never_stubs() -> None:
    with pytest.raises(ConfigurationError, match="STUB_LAYERS"):
        read({**OPEN, "STUB_LAYERS": "true"})


def test_an_emulator_that_runs_containers_gets_the_built_layers() -> None:
    assert read(stage="local").has_stub_layers
    assert not read({"STUB_LAYERS": "false"}, stage="local").has_stub_layers
