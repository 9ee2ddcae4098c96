#!/usr/bin/env python3
"""Make `.venv` ready: an interpreter, the locked dependencies and this project, from nothing but a Python 3.

Runs on any Python 3.6 or newer with the standard library alone. Does nothing, and needs no network, when
the locks have not changed since the last time. With `--edge`: what the edge box runs, and nothing else.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
from typing import Dict, Iterator, NoReturn, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, ".ponte-stamp")
EDGE = "--edge" in sys.argv[1:]
LOCK = os.path.join(ROOT, "requirements", "edge.txt" if EDGE else "dev.txt")
MAKE_FONTS = os.path.join(ROOT, "tools", "fonts.py")
FONTS = os.path.join(VENV, "share", "ponte", "fonts")
HOMES = ("/home/", "/root/")
OF_ALL = (os.path.join(ROOT, "pyproject.toml"), MAKE_FONTS)
EDGE_FOLDERS = (".", "functions", "edge", os.path.join("layers", "ponte", "python"))
COMMAND = "#!%s\nimport sys\n\nfrom cli.main import main\n\nsys.exit(main())\n"
PREFERRED = ("3.13", "3.12", "3.14")
PROBE = "import sys, venv; print('%d.%d' % sys.version_info[:2])"


def say(text: str) -> None:
    sys.stderr.write("ponte: %s\n" % text)


def fail(text: str) -> NoReturn:
    say(text)
    sys.exit(1)


def digest() -> str:
    """Digest of all that the environment is made from."""
    value = hashlib.sha256(ROOT.encode())
    for path in (LOCK, os.path.abspath(__file__), *(() if EDGE else OF_ALL)):
        with open(path, "rb") as stream:
            value.update(stream.read())
    return value.hexdigest()


def version_of(command: str) -> Optional[str]:
    """`3.13` for an interpreter that really runs; None for a broken link or a version manager's shim."""
    try:
        answer = subprocess.run(
            [command, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode().strip() if answer.returncode == 0 else None


def candidates() -> Iterator[str]:
    for version in PREFERRED:
        yield "python" + version
    yield "python3"
    yield sys.executable
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for path in sorted(glob.glob(os.path.join(pyenv, "versions", "*", "bin", "python3"))):
        yield path


def find_interpreter() -> Optional[str]:
    """The one that PONTE_PYTHON names, else the best of this machine, or None."""
    named = os.environ.get("PONTE_PYTHON")
    if named:
        path = shutil.which(named)
        if not path or version_of(path) not in PREFERRED:
            fail("PONTE_PYTHON=%s is not a Python %s" % (named, ", ".join(PREFERRED)))
        return path
    found: Dict[str, Optional[str]] = {}
    for command in candidates():
        path = shutil.which(command)
        if EDGE and path and os.path.realpath(path).startswith(HOMES):
            continue  # the service's user does not see it
        version = version_of(path) if path else None
        if version in PREFERRED and version not in found:
            found[version] = path
            if version == PREFERRED[0]:
                break
    for version in PREFERRED:
        if version in found:
            return found[version]
    return None


def fetch_uv() -> str:
    """Install uv into `.tools`, with whatever Python runs this."""
    target = os.path.join(ROOT, ".tools")
    uv = os.path.join(target, "bin", "uv")
    if os.path.exists(uv):
        return uv
    say("no Python 3.12 or newer with venv on this machine: fetching uv to get one")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", target, "uv"]
    if subprocess.run(command).returncode != 0 or not os.path.exists(uv):
        fail(
            "cannot fetch uv (is pip installed, and is there a network?).\n"
            "  Install Python 3.13 or 3.12, or name one: make PONTE_PYTHON=/path/to/python3.13 test"
        )
    return uv


def make_venv() -> None:
    if os.path.isdir(VENV):
        shutil.rmtree(VENV)
    interpreter = find_interpreter()
    if interpreter:
        say("interpreter: %s" % interpreter)
        made = subprocess.run([interpreter, "-m", "venv", VENV], stderr=subprocess.PIPE)
        if made.returncode == 0:
            return
        shutil.rmtree(VENV, ignore_errors=True)
    uv = fetch_uv()
    command = [uv, "venv", "--seed", "--python", interpreter or PREFERRED[0], VENV]
    # within the tree: the units of the edge box see no home
    environment = dict(os.environ, UV_PYTHON_INSTALL_DIR=os.path.join(ROOT, ".tools", "python"))
    if subprocess.run(command, env=environment).returncode != 0:
        fail("cannot make a virtual environment: see the lines above")


def install_edge() -> None:
    """No build tool is among what the box runs: the folders are named to the interpreter, and the command
    is written."""
    python = os.path.join(VENV, "bin", "python")
    # wheels alone: there is no compiler on such a box, and there shall be none
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-cache-dir"]
    step = pip + ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", LOCK]
    if subprocess.run(step).returncode != 0:
        fail("the installation stopped: see the lines above. Is there a network?")
    for site_packages in glob.glob(os.path.join(VENV, "lib", "python3.*", "site-packages")):
        with open(os.path.join(site_packages, "ponte.pth"), "w") as stream:
            stream.writelines(os.path.normpath(os.path.join(ROOT, name)) + "\n" for name in EDGE_FOLDERS)
    command = os.path.join(VENV, "bin", "ponte")
    with open(command, "w") as stream:
        stream.write(COMMAND % python)
    os.chmod(command, 0o755)


def install() -> None:
    python = os.path.join(VENV, "bin", "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    say("installing the locked dependencies (only when the locks change)")
    steps = (
        pip + ["--require-hashes", "--no-deps", "-r", LOCK],
        pip + ["--no-deps", "--no-build-isolation", "--no-index", "--editable", ROOT],
        [python, MAKE_FONTS, FONTS],
    )
    for step in steps:
        if subprocess.run(step, cwd=ROOT).returncode != 0:
            fail("the installation stopped: see the lines above. Is there a network?")


def main() -> None:
    if EDGE:
        os.umask(0o022)  # the service's user reads what root installs
    wanted = digest()
    if os.path.exists(STAMP):
        with open(STAMP) as stream:
            if stream.read() == wanted and version_of(os.path.join(VENV, "bin", "python")):
                return
    make_venv()
    install_edge() if EDGE else install()
    with open(STAMP, "w") as stream:
        stream.write(wanted)
    say("ready: .venv")


if __name__ == "__main__":
    main()
