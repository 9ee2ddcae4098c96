"""`make deploy`: the CDK command line at its pinned version, over our app and the user's account."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import layers, node
from infra.app import read_configuration
from infra.configuration import Configuration, ConfigurationError

COMMANDS: Final = ("deploy", "diff", "bootstrap", "destroy")
_PACKAGE: Final = layers.ROOT / "package.json"
_CLI: Final = layers.ROOT / "node_modules" / "aws-cdk"


class DeployError(RuntimeError):
    """Nothing was sent to AWS; the text says what to do."""


def install_cli() -> Path:
    """The CDK command line at the version of `package.json`, installed when it is not there."""
    wanted = json.loads(_PACKAGE.read_text())["dependencies"]["aws-cdk"]
    if installed_version() != wanted:
        done = subprocess.run([*node.npm(), "ci"], cwd=layers.ROOT, check=False)
        if done.returncode != 0:
            raise DeployError("npm could not install the CDK command line: see above. Is there a network?")
    return _CLI / "bin" / "cdk"


def installed_version() -> str | None:
    """Version of the CDK command line in `node_modules`; None where there is none."""
    try:
        return str(json.loads((_CLI / "package.json").read_text())["version"])
    except FileNotFoundError:
        return None


def find_account() -> tuple[str, str]:
    """Account and region that the user's credentials lead to. Raises `DeployError`."""
    if os.environ.get("AWS_ENDPOINT_URL"):
        raise DeployError("AWS_ENDPOINT_URL is set: it names an emulator. Unset it to deploy to AWS")
    session = boto3.Session()
    if not session.region_name:
        raise DeployError("no region: set AWS_REGION (sa-east-1), or one in your AWS profile")
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"AWS does not know you ({type(error).__name__}).\n"
            "Log in (`aws sso login`, or `aws configure`) and choose a profile with AWS_PROFILE"
        ) from error
    return account, session.region_name


def cdk_arguments(command: str, configuration: Configuration, account: str, region: str) -> list[str]:
    """What the CDK command line is asked."""
    if command == "bootstrap":
        return [command, f"aws://{account}/{region}"]
    arguments = [
        command,
        f"ponte-{configuration.stage}",
        "--app",
        shlex.join([sys.executable, "-m", "infra.app"]),
    ]
    return [*arguments, "--progress", "events"] if command == "deploy" else arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy",
        description="Deploy Ponte to the AWS account of your credentials. docs/deploy.md goes step by step.",
        epilog="Settings come from -c and from environment variables: see `python -m infra.app --help`.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=COMMANDS,
        default="deploy",
        help="deploy (default); diff: what would change; bootstrap: once for an account and region; destroy",
    )
    parser.add_argument("--stage", choices=("dev", "prod"), help="what to deploy (default: prod)")
    parser.add_argument(
        "-c", "--context", metavar="KEY=VALUE", action="append", default=[], help="a setting; may be repeated"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before permissions change")
    return parser


def run(parsed: argparse.Namespace) -> int:
    """Check all that can be checked here, then hand over to CDK; answer its exit code."""
    given = dict(item.partition("=")[::2] for item in parsed.context)
    if parsed.stage:
        given["stage"] = parsed.stage
    configuration = read_configuration(given)
    if configuration.is_local:
        raise DeployError("stage local is for the emulator: use `make up`")
    for name in layers.NAMES:
        layers.built(configuration.architecture, name)
    account, region = find_account()
    cli = install_cli()
    command = [
        str(node.folder() / "node"),
        str(cli),
        *cdk_arguments(parsed.command, configuration, account, region),
    ]
    for key, value in given.items():
        command += ["--context", f"{key}={value}"]
    if parsed.yes and parsed.command == "deploy":
        command += ["--require-approval", "never"]
    sys.stderr.write(f"ponte: {parsed.command}, stage {configuration.stage}: account {account}, {region}\n")
    node.put_on_path()
    return subprocess.run(command, cwd=layers.ROOT, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of CDK, or 1 with the reason on standard error."""
    parsed = _parser().parse_args(arguments)
    try:
        return run(parsed)
    except (ConfigurationError, DeployError, layers.MissingLayersError) as error:
        sys.stderr.write("".join(f"ponte: {line}\n" for line in str(error).splitlines()))
        return 1


if __name__ == "__main__":
    sys.exit(main())
