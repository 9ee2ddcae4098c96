"""The configuration file of the watcher: old ones as they are, and everything that is wrong by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ponte.dedup import Policy
from ponte.errors import InvalidRequest
from watcher.config import Config, local_path, read_config

OLD = r"""
# Configuração do serviço de envio
paths:
  watch_dir: "E:/exames/incoming"
  work_dir: 'E:\exames\work'
  archive_dir: E:\exames\archive
  state_db: E:/exames/state/state.sqlite
dicom:
  local_ae_title: CLINICA
  local_port: 4011
  peer_host: 192.168.10.16
  peer_port: 4242
  peer_ae_title: ORTHANC
  max_pdu: 131072
  use_tls: false
behavior:
  dedup_policy: uid_then_sha256
  poll_interval_seconds: 10
  wait_zip_complete_seconds: 2
  send_batch_size: 128
  delete_extracted_after_upload: true
  move_zip_to_archive: true
logging:
  level: INFO
  file: E:/exames/logs/ingest.log
  enable_pynetdicom_debug: false
"""
LEAST = """
paths: {watch_dir: in, work_dir: work, archive_dir: archive, state_db: state.db}
dicom: {peer_host: pacs}
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def test_an_old_file_is_taken_as_it_is(tmp_path: Path) -> None:
    config = read(tmp_path, OLD)
    assert config.watch_dir == Path("/mnt/e/exames/incoming")
    assert config.work_dir == Path("/mnt/e/exames/work")
    assert config.archive_dir == Path("/mnt/e/exames/archive")
    assert config.state_db == Path("/mnt/e/exames/state/state.sqlite")
    assert config.log_file == Path("/mnt/e/exames/logs/ingest.log")
    assert config.peer is not None
    assert (config.peer.local_ae_title, config.peer.peer_host) == ("CLINICA", "192.168.10.16")
    assert config.warnings == ()


def test_the_defaults_are_those_of_the_old_system(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST)
    peer = config.peer
    assert peer is not None
    assert (peer.local_port, peer.peer_port, peer.peer_ae_title) == (4011, 4242, "ORTHANC")
    assert (peer.max_pdu, peer.use_tls) == (131072, False)
    assert config.dedup_policy is Policy.UID_THEN_SHA256
    assert (config.poll_interval_seconds, config.wait_zip_complete_seconds) == (10, 2)
    assert (config.send_batch_size, config.delete_extracted_after_upload) == (128, True)
    assert (config.move_zip_to_archive, config.log_level, config.log_file) == (True, "INFO", None)
    assert not config.transport_debug
    assert config.ours.quarantine_dir == config.archive_dir == tmp_path / "archive"
    assert (config.ours.report_language, config.ours.give_up_seconds) == ("pt-BR", 3600)


def test_an_unknown_key_is_a_warning_that_names_it(tmp_path: Path) -> None:
    config = read(tmp_path, f"{LEAST}behavior: {{retries: 3}}\ndatabase: {{url: x}}\n")
    assert config.warnings == (
        "behavior.retries: unknown key, not used",
        "database: unknown section, not used",
    )


def test_a_destination_of_ours_stands_for_the_node(tmp_path: Path) -> None:
    text = LEAST.replace("dicom: {peer_host: pacs}", "ponte: {destination: https://pacs/dicom-web}")
    config = read(tmp_path, text)
    assert (config.peer, config.ours.destination) == (None, "https://pacs/dicom-web")
    both = read(tmp_path, f"{LEAST}ponte: {{destination: x}}")
    assert both.warnings == ("dicom: ponte.destination stands for it, not used",)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("paths", "watch_dir", "null"),
        ("paths", "work_dir", "[a]"),
        ("paths", "archive_dir", "true"),
        ("paths", "state_db", "//server/share/state.db"),
        ("dicom", "peer_host", "''"),
        ("dicom", "peer_port", "0"),
        ("dicom", "peer_port", "x"),
        ("dicom", "local_port", "70000"),
        ("dicom", "max_pdu", "-1"),
        ("dicom", "use_tls", "perhaps"),
        ("behavior", "dedup_policy", "md5"),
        ("behavior", "poll_interval_seconds", "0"),
        ("behavior", "poll_interval_seconds", ".nan"),
        ("behavior", "wait_zip_complete_seconds", "-1"),
        ("behavior", "wait_zip_complete_seconds", "true"),
        ("behavior", "send_batch_size", "0"),
        ("behavior", "send_batch_size", "1.5"),
        ("behavior", "move_zip_to_archive", "2"),
        ("logging", "level", "LOUD"),
        ("logging", "file", '"a\\nb"'),
        ("ponte", "report_language", "fr"),
        ("ponte", "quarantine_gib", "0"),
        ("ponte", "webhook_url", "1.5"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(tmp_path: Path, section: str, key: str, value: str) -> None:
    values = {
        "paths": {"watch_dir": "in", "work_dir": "work", "archive_dir": "archive", "state_db": "state.db"},
        "dicom": {"peer_host": "pacs"},
    }
    values.setdefault(section, {})[key] = value
    lines = [
        line
        for name, keys in values.items()
        for line in (f"{name}:", *(f"  {one}: {text}" for one, text in keys.items()))
    ]
    with pytest.raises(InvalidRequest, match=rf"{section}\.{key}"):
        read(tmp_path, "\n".join(lines))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a mapping"),
        ("- a", "not a mapping"),
        ("paths: x", "paths is not a section"),
        ("paths: {", "not YAML"),
        ('paths: {watch_dir: "E:\\x"}', "write E:/x"),
        ("paths: {a: 1, a: 2}", "a comes twice"),
        ("paths: !!python/object/apply:os.system [x]", "not YAML"),
        ("a: \x00", "not YAML"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word):
        read(tmp_path, text)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_config(tmp_path / "missing.yaml")
    with pytest.raises(InvalidRequest, match="larger"):
        read(tmp_path, "#" * (2 << 20))


def test_two_folders_may_not_be_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"paths\.archive_dir and paths\.watch_dir"):
        read(tmp_path, LEAST.replace("archive_dir: archive", "archive_dir: ./in"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("E:/x/y", "/mnt/e/x/y"),
        ("e:\\x\\y\\", "/mnt/e/x/y"),
        ("C:/", "/mnt/c"),
        ("D:", "/mnt/d"),
        ("/srv/in", "/srv/in"),
        ("in/x", "/base/in/x"),
        ("E:x", "/base/E:x"),
        ("E:/a b/ç", "/mnt/e/a b/ç"),
    ],
)
def test_windows_paths_are_those_of_wsl(text: str, path: str) -> None:
    assert local_path(text, Path("/base")) == Path(path)
