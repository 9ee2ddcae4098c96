"""What a layer drops, and what it keeps."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import imagecodecs
import pytest

from infra import pruning
from infra.layers import ROOT


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def shared_object(needed: list[str]) -> bytes:
    """The smallest object that says what it needs: a string table and a dynamic section."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offsets, at = [], 1
    for name in needed:
        offsets.append(at)
        at += len(name) + 1
    dynamic = b"".join(struct.pack("<QQ", 1, offset) for offset in offsets)
    header = b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", 62) + bytes(20) + struct.pack("<Q", 64)
    header += bytes(10) + struct.pack("<HHH", 64, 3, 0)
    table_end = 64 + 3 * 64
    sections = [
        (0, 0, 0, 0),
        (3, table_end, len(strings), 0),
        (6, table_end + len(strings), len(dynamic), 1),
    ]
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, size, link, 0, 0, 0)
        for kind, offset, size, link in sections
    )
    return header + table + strings + dynamic


def test_sources_and_licences_stay_and_baggage_goes(tmp_path: Path) -> None:
    kept = {
        "numpy/__init__.py",
        "numpy/testing/__init__.py",
        "numpy-2.dist-info/METADATA",
        "numpy-2.dist-info/entry_points.txt",
        "numpy-2.dist-info/licenses/LICENSE.txt",
        "pydicom/data/palettes/hotiron.dcm",
    }
    gone = {
        "numpy/__init__.pyi",
        "numpy/tests/test_all.py",
        "numpy/__pycache__/x.cpython-313.pyc",
        "numpy/random/lib/libnpyrandom.a",
        "numpy-2.dist-info/RECORD",
        "pydicom/data/test_files/CT_small.dcm",
        "bin/f2py",
    }
    put(tmp_path, *kept, *gone)
    pruning.prune(tmp_path)
    assert names(tmp_path) == kept


def test_boto_knows_the_services_that_are_asked_for(tmp_path: Path) -> None:
    put(
        tmp_path,
        "botocore/data/endpoints.json",
        "botocore/data/s3/2006-03-01/service-2.json.gz",
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
        "boto3/data/dynamodb/2012-08-10/resources-1.json",
        "boto3/data/ec2/2016-11-15/resources-1.json",
    )
    pruning.prune(tmp_path)
    assert names(tmp_path) == {
        "botocore/data/endpoints.json",
        "botocore/data/s3/2006-03-01/service-2.json.gz",
        "boto3/data/dynamodb/2012-08-10/resources-1.json",
    }


def test_libraries_stay_while_a_kept_codec_leads_to_them(tmp_path: Path) -> None:
    put(tmp_path, "imagecodecs/__init__.py")
    libraries = tmp_path / "imagecodecs.libs"
    libraries.mkdir()
    (tmp_path / "imagecodecs" / "_jpeg8.abi3.so").write_bytes(shared_object(["libjpeg-1.so", "libc.so.6"]))
    (tmp_path / "imagecodecs" / "_avif.abi3.so").write_bytes(shared_object(["libavif-1.so"]))
    (libraries / "libjpeg-1.so").write_bytes(shared_object(["libbase-1.so"]))
    (libraries / "libbase-1.so").write_bytes(shared_object([]))
    (libraries / "libavif-1.so").write_bytes(shared_object(["libbase-1.so"]))
    pruning.prune(tmp_path)
    assert names(tmp_path) == {
        "imagecodecs/__init__.py",
        "imagecodecs/_jpeg8.abi3.so",
        "imagecodecs.libs/libjpeg-1.so",
        "imagecodecs.libs/libbase-1.so",
    }


@pytest.mark.parametrize("name", ["_imcd.abi3.so", "_jpeg2k.cpython-313-x86_64-linux-gnu.so"])
def test_a_codec_is_known_under_both_names_of_its_module(tmp_path: Path, name: str) -> None:
    (tmp_path / "imagecodecs").mkdir()
    (tmp_path / "imagecodecs" / name).write_bytes(shared_object([]))
    pruning.prune(tmp_path)
    assert names(tmp_path) == {f"imagecodecs/{name}"}


def test_every_codec_that_the_code_names_is_one_that_the_layer_keeps() -> None:
    asked = {
        name
        for folder in ("layers/ponte", "functions")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bimagecodecs\.(\w+)", path.read_text())
    }
    modules = {name: imagecodecs.imagecodecs._ATTRIBUTES.get(name, "") for name in asked}
    missing = {name: m for name, m in modules.items() if m and m.removeprefix("_") not in pruning.CODECS}
    assert missing == {}
