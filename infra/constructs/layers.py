"""The Lambda layers as CDK has them."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from aws_cdk import IgnoreMode
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import layers
from infra.constructs.function import RUNTIME

_PONTE: Final = layers.ROOT / "layers" / "ponte"
_STUB: Final = layers.ROOT / "infra" / "stub"


class Layers(Construct):
    """`ponte` is the folder of this repository; the others are what `make layers` built.

    With `stubs`, those are all but empty: the emulator's own environment has what is in them. Raises
    `MissingLayersError` where they are to be real and are not there.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, architecture: layers.Architecture, stubs: bool
    ) -> None:
        super().__init__(scope, construct_id)
        self._architecture = architecture
        self._stubs = stubs
        self.ponte = self._layer(
            "Ponte",
            lambda_.Code.from_asset(
                str(_PONTE), exclude=["__pycache__", "*.pyc"], ignore_mode=IgnoreMode.GIT
            ),
        )
        self.runtime = self._layer("Runtime", self._third_party("runtime", stubs=stubs))
        self.network = self._layer("Network", self._third_party("network", stubs=stubs))
        self.imaging = self._layer("Imaging", self._third_party("imaging", stubs=stubs))
        self.fonts = self._layer("Fonts", self._third_party("fonts", stubs=stubs))

    @cached_property
    def classify(self) -> lambda_.LayerVersion:
        """Only where there is a model to be run."""
        return self._layer("Classify", self._third_party("classify", stubs=self._stubs))

    def _layer(self, construct_id: str, code: lambda_.Code) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            construct_id,
            code=code,
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[lambda_.Architecture.custom(self._architecture)],
        )

    def _third_party(self, name: layers.Name, *, stubs: bool) -> lambda_.Code:
        if stubs:
            return lambda_.Code.from_asset(str(_STUB))
        manifest = layers.built(self._architecture, name)
        folder = layers.path_of(self._architecture, name)
        return lambda_.Code.from_asset(str(folder), asset_hash=f"{self._architecture}-{manifest.content}")
