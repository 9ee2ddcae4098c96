"""A synthesised CDK app on disk: its stacks, and the files they refer to."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a ZIP can hold: the same content gives the same bytes."""

Template = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file or folder for the asset bucket. `bucket` and `key` may hold `${AWS::AccountId}` and the like."""

    path: Path
    zipped: bool
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One CloudFormation stack of the assembly."""

    name: str
    template: Template
    assets: tuple[Asset, ...]


def stacks(folder: Path) -> list[Stack]:
    """The assembly's stacks, those that others depend on first."""
    artifacts: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["artifacts"]
    found: list[Stack] = []
    for name in _in_order(artifacts):
        artifact = artifacts[name]
        if artifact["type"] == "aws:cloudformation:stack":
            properties = artifact["properties"]
            manifests = [
                folder / artifacts[other]["properties"]["file"]
                for other in artifact.get("dependencies", ())
                if artifacts[other]["type"] == "cdk:asset-manifest"
            ]
            found.append(
                Stack(
                    name=properties.get("stackName", name),
                    template=json.loads((folder / properties["templateFile"]).read_text()),
                    assets=tuple(asset for manifest in manifests for asset in _assets(manifest)),
                )
            )
    return found


def _in_order(artifacts: Mapping[str, Any]) -> list[str]:
    done: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in done:
            for other in artifacts[name].get("dependencies", ()):
                visit(other)
            done[name] = None

    for name in artifacts:
        visit(name)
    return list(done)


def _assets(manifest: Path) -> Iterator[Asset]:
    """The file assets of one stack, without its own template: that one is published as it is deployed."""
    for entry in json.loads(manifest.read_text()).get("files", {}).values():
        source = entry["source"]
        if source["path"].endswith(".template.json"):
            continue
        for destination in entry["destinations"].values():
            yield Asset(
                path=manifest.parent / source["path"],
                zipped=source.get("packaging") == "zip",
                bucket=destination["bucketName"],
                key=destination["objectKey"],
            )


def zip_folder(folder: Path, target: Path) -> None:
    """Write the folder as a ZIP whose bytes depend on nothing but names, modes and contents."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                entry.external_attr = (0o100755 if path.stat().st_mode & 0o100 else 0o100644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
