"""The CDK app: `python -m infra.app` synthesises it, without Docker, network or the CDK command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra import node
from infra.configuration import Configuration, ConfigurationError
from infra.layers import ROOT, MissingLayersError

# Behaviour of CDK that a new app is advised to choose.
_FLAGS: Final = {
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/core:enablePartitionLiterals": True,
    "@aws-cdk/core:validateAgainstDefaultRules": True,
}


def synthesise(configuration: Configuration, output: Path) -> Path:
    """Write the cloud assembly and answer the path of the stack's template. Raises `MissingLayersError`."""
    node.put_on_path()
    # CDK starts Node.js when it is imported.
    from aws_cdk import App

    from infra.stacks.render import RenderStack

    app = App(
        analytics_reporting=False,
        # A second and a half, for a template whose every kind of resource the tests have validated.
        builtin_cloud_formation_validation=not configuration.is_local,
        outdir=str(output),
        context=_FLAGS,
    )
    stack = RenderStack(app, configuration=configuration)
    assembly = app.synth()
    return Path(assembly.directory) / stack.template_file


def read_configuration(given: Mapping[str, str]) -> Configuration:
    """Take each setting from the arguments, else from the CDK command line, else from the environment."""
    from_cli = _cli_context()
    return Configuration.read(lambda name: given.get(name, from_cli.get(name)), os.environ)


def _cli_context() -> Mapping[str, object]:
    """What `cdk -c key=value` passes on."""
    return dict(json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}")))


def _parser() -> argparse.ArgumentParser:
    settings = ", ".join(Configuration.model_fields)
    parser = argparse.ArgumentParser(
        prog="python -m infra.app",
        description="Synthesise the CDK app.",
        epilog=f"Settings, each also an environment variable in upper case: {settings}.",
    )
    parser.add_argument("--stage", choices=("local", "dev", "prod"), help="what to make (default: prod)")
    parser.add_argument("--output", type=Path, help="folder of the assembly (default: cdk.out)")
    parser.add_argument(
        "-c", "--context", metavar="KEY=VALUE", action="append", default=[], help="a setting; may be repeated"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with the reason on standard error."""
    parsed = _parser().parse_args(arguments)
    given = dict(item.partition("=")[::2] for item in parsed.context)
    if parsed.stage:
        given["stage"] = parsed.stage
    output = parsed.output or Path(os.environ.get("CDK_OUTDIR", ROOT / "cdk.out"))
    try:
        template = synthesise(read_configuration(given), output)
    except (ConfigurationError, MissingLayersError) as error:
        sys.stderr.write("".join(f"ponte: {line}\n" for line in str(error).splitlines()))
        return 1
    sys.stderr.write(f"ponte: synthesised {template}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
