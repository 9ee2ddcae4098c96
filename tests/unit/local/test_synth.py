from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import synth
from infra.local.errors import LocalStackError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose CDK app only counts how often it ran."""
    monkeypatch.setattr(synth, "PROJECT", tmp_path)
    monkeypatch.setattr(synth, "ASSEMBLY", tmp_path / "cdk.out.local")
    (tmp_path / "infra" / "local").mkdir(parents=True)
    (tmp_path / "infra" / "__init__.py").touch()
    (tmp_path / "infra" / "app.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "out = Path(sys.argv[sys.argv.index('--output') + 1])\n"
        "out.joinpath('manifest.json').write_text('{}')\n"
        "line = os.environ.get('ALLOWED_CLIENT_IPS', '') + ' ' + os.environ['DICOM_WADO_URL']\n"
        "print(line, file=out.joinpath('runs').open('a'))\n"
    )
    return tmp_path


def run(project: Path, **environment: str) -> list[str]:
    """Synthesise and return a line for each time that the app has run."""
    assembly = synth.synthesise(project, environment=environment)
    return (assembly / "runs").read_text().splitlines()


def test_an_unchanged_app_is_synthesised_once(project: Path) -> None:
    assert len(run(project)) == 1
    assert len(run(project)) == 1


@pytest.mark.parametrize(
    "name", ["infra/constructs.py", "functions/render/api.py", "layers/ponte/python/x.py"]
)
def test_a_change_of_what_it_is_made_from_synthesises_again(project: Path, name: str) -> None:
    run(project)
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")

    assert len(run(project)) == 2


def test_a_change_of_the_local_stacks_own_code_does_not(project: Path) -> None:
    run(project)
    (project / "infra" / "local" / "stack.py").write_text("changed")

    assert len(run(project)) == 1


def test_a_setting_that_is_in_the_template_synthesises_again(project: Path) -> None:
    run(project)

    assert run(project, ALLOWED_CLIENT_IPS="10.0.0.0/8")[-1].startswith("10.0.0.0/8 ")


def test_an_address_that_changes_at_each_start_does_not(project: Path) -> None:
    run(project, DICOM_WADO_URL="http://127.0.0.1:1/dicom-web")

    assert run(project, DICOM_WADO_URL="http://127.0.0.1:2/dicom-web") == [" http://127.0.0.1:8042/dicom-web"]


def test_an_app_that_fails_says_why(project: Path) -> None:
    (project / "infra" / "app.py").write_text("raise SystemExit('ALLOWED_CLIENT_IPS: no address')")

    with pytest.raises(LocalStackError, match="ALLOWED_CLIENT_IPS: no address"):
        synth.synthesise(project, environment={})
