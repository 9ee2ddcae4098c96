"""A synthesised template, asked by what matters rather than by logical ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """A template and the folder of its assembly."""

    content: Mapping[str, Any]
    folder: Path

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(json.loads(path.read_text()), path.parent)

    def of_type(self, kind: str) -> dict[str, Resource]:
        """Resources of a type, by logical id."""
        return {name: r for name, r in self.content["Resources"].items() if r["Type"] == kind}

    def properties(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.content["Resources"][name]["Properties"]
        return found

    def output(self, name: str) -> Any:
        return self.content["Outputs"][name]["Value"]

    def target(self, value: Any) -> str:
        """The logical id that a Ref or a GetAtt names."""
        return str(value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0])

    def function(self, name: str) -> Mapping[str, Any]:
        """Properties of a function, by the name of its output."""
        return self.properties(self.target(self.output(f"{name}Function")))

    def functions(self) -> list[str]:
        return [
            name.removesuffix("Function") for name in self.content["Outputs"] if name.endswith("Function")
        ]

    def environment(self, name: str) -> dict[str, str]:
        """A function's variables, with what CloudFormation will fill in filled in by names."""
        variables = self.function(name)["Environment"]["Variables"]
        return {key: self.resolve(value) for key, value in variables.items()}

    def resolve(self, value: Any) -> str:
        """A text with references replaced by the logical ids that they name."""
        if isinstance(value, str):
            return value
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return str(separator).join(self.resolve(part) for part in parts)
        return self.target(value)

    def statements(self, name: str) -> Iterator[Mapping[str, Any]]:
        """Every statement of the policies of a function's role."""
        role = self.target(self.function(name)["Role"])
        for policy in self.of_type("AWS::IAM::Policy").values():
            if {"Ref": role} in policy["Properties"]["Roles"]:
                yield from policy["Properties"]["PolicyDocument"]["Statement"]

    def actions(self, name: str, service: str) -> dict[str, set[str]]:
        """Actions of one service that a function may do, with the resources that it may do them on."""
        found: dict[str, set[str]] = {}
        for statement in self.statements(name):
            for action in _many(statement["Action"]):
                if action.startswith(f"{service}:"):
                    resources = {self.resolve(resource) for resource in _many(statement["Resource"])}
                    found.setdefault(action.removeprefix(f"{service}:"), set()).update(resources)
        return found

    def asset(self, name: str) -> Path:
        """The folder that a function's code is made from."""
        return self._asset(self.function(name)["Code"]["S3Key"])

    def layer_assets(self, name: str) -> list[Path]:
        """The folders that a function's layers are made from, in order."""
        layers = [self.properties(self.target(layer)) for layer in self.function(name).get("Layers", [])]
        return [self._asset(layer["Content"]["S3Key"]) for layer in layers]

    def _asset(self, key: str) -> Path:
        (manifest,) = self.folder.glob("*.assets.json")
        for entry in json.loads(manifest.read_text())["files"].values():
            if any(place["objectKey"] == key for place in entry["destinations"].values()):
                return (self.folder / str(entry["source"]["path"])).resolve()
        raise AssertionError(f"no asset has the key {key}")


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
