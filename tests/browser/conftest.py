"""One box for all tests in the browser: a router that runs, modalities that send, one destination that takes
and one that is dead, the dashboard's process, and Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, sync_playwright
from pydicom.dataset import FileDataset

from dashboard.passwords import hashed
from infra.local.process import Child, answers, free_port, wait_for
from router.controlclient import NotRunning, call
from router.views import Views
from tests.corpus import ROOT
from tests.dcmtk import Server, storescp
from tests.factories import encode

OPERATOR, VIEWER = "operator of the box", "viewer of the box"
SCREENSHOTS = ROOT / ".ponte" / "screenshots"
DESKTOP, PHONE = (1280, 900), (390, 844)
_SEVERE = ("serious", "critical")


@dataclass
class Box:
    """The processes, and how a test uses them. `live` takes what it is sent; nothing listens at `dead`."""

    root: Path
    folder: Path
    url: str
    scp_port: int
    live: Server
    browser: Browser
    environment: Mapping[str, str]
    configuration: Path
    router: Child | None = None
    pages: list[Page] = field(default_factory=list)

    def start_router(self) -> None:
        """Until it listens, and answers what it is asked."""
        command = [sys.executable, "-m", "cli.main", "router", "run", "--config", str(self.configuration)]
        self.router = Child("router", command, log=self.folder / "router.log", env=self.environment, cwd=ROOT)
        self.router.wait_until(self._is_up, timeout_s=30, what="it listens")

    def configure(self, *names: str) -> None:
        """Only these destinations, without a restart. The file's age stays: other tests look at it."""
        age = self.configuration.stat()
        values = _configuration(self.scp_port, self.live.port)
        values["destinations"] = [one for one in values["destinations"] if one["name"] in names]
        self.configuration.write_text(yaml.safe_dump(values))
        os.utime(self.configuration, ns=(age.st_atime_ns, age.st_mtime_ns))
        call(self.root, "reload", timeout_s=20.0)

    def stop_router(self) -> None:
        """As systemd would."""
        if self.router is not None:
            self.router.stop()
            self.router = None

    def _is_up(self) -> bool:
        try:
            call(self.root, "status", timeout_s=5.0)
        except NotRunning:
            return False
        return answers(self.scp_port)

    def send(self, *datasets: FileDataset, calling: str = "CT1", must_succeed: bool = True) -> None:
        """By DCMTK's storescu, in one association."""
        folder = self.folder / "outgoing"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for at, dataset in enumerate(datasets):
            (folder / f"{at:04}.dcm").write_bytes(encode(dataset))
        command = ["storescu", "-aet", calling, "-aec", "STORESCP", "+sd", "127.0.0.1", str(self.scp_port)]
        found = subprocess.run(
            [*command, str(folder)], capture_output=True, text=True, timeout=60, check=False
        )
        assert not must_succeed or found.returncode == 0, found.stderr

    def views(self) -> Views:
        """What the rows say."""
        return Views(self.root)

    def has(self, study_instance_uid: str) -> bool:
        """True once a page would show the study."""
        with self.views() as views:
            return views.study(study_instance_uid) is not None

    def audit(self) -> str:
        """All that was done on the pages."""
        return (self.root / ".spool" / "log" / "audit.log").read_text()

    def until(self, check: Callable[[], bool], msg: str, timeout_s: float = 20) -> None:
        """Poll."""
        wait_for(check, timeout_s=timeout_s, msg=msg)

    def page(
        self,
        *,
        role: str = "operator",
        size: tuple[int, int] = DESKTOP,
        language: str = "pt-BR",
        **options: Any,
    ) -> Page:
        """A new browser, logged in as `operator` or `viewer`; "" is nobody."""
        context = self.browser.new_context(
            base_url=self.url,
            viewport={"width": size[0], "height": size[1]},
            locale=language,
            **options,
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        self.pages.append(page)
        if role:
            page.goto("/login")
            page.fill("#password", OPERATOR if role == "operator" else VIEWER)
            page.locator("main button[type=submit]").click()
            page.wait_for_url(f"{self.url}/")
        return page


@pytest.fixture(scope="package")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """See `Box`. One for all of these tests: each uses studies of its own. Not of the session: where
    Playwright runs, no other test can run a loop of its own."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("box")
        live = stack.enter_context(storescp(folder))
        browser = stack.enter_context(_browser())
        found = _box(folder, live, browser)
        stack.callback(found.stop_router)
        found.start_router()
        stack.enter_context(_dashboard(found))
        yield found


@pytest.fixture(autouse=True)
def _closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page outlives its test."""
    yield
    if "box" in request.fixturenames:
        found: Box = request.getfixturevalue("box")
        while found.pages:
            found.pages.pop().context.close()


def _box(folder: Path, live: Server, browser: Browser) -> Box:
    root, configuration, scp_port, port = folder / "root", folder / "router.yaml", free_port(), free_port()
    configuration.write_text(yaml.safe_dump(_configuration(scp_port, live.port)))
    here = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment = {
        **here,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DICOM_ROOT": str(root),
        "TZ": "America/Sao_Paulo",
        "DASHBOARD_PORT": str(port),
        "DASHBOARD_PASSWORD_HASH": hashed(OPERATOR),
        "DASHBOARD_VIEWER_PASSWORD_HASH": hashed(VIEWER),
    }
    return Box(root, folder, f"http://127.0.0.1:{port}", scp_port, live, browser, environment, configuration)


def _configuration(scp_port: int, live_port: int) -> dict[str, Any]:
    """Images stay after they were sent; a study is complete soon; the dead destination alarms soon."""
    retry = {"first_s": 0.2, "longest_s": 1, "alert_after_s": 1}
    return {
        "listeners": [{"address": "127.0.0.1", "port": scp_port, "name": "modalities"}],
        "disk": {"associations_bytes": 0, "instances_bytes": 0, "warning_bytes": 0},
        "studies": {"quiet_s": 600, "keep_s": 86400},
        "destinations": [
            {"name": "pacs", "kind": "dicom", "host": "127.0.0.1", "port": live_port, "ae_title": "PACS"},
            {
                "name": "archive", "kind": "dicom", "host": "127.0.0.1", "port": 9, "ae_title": "ARCHIVE",
                "retry": retry,
            },
        ],
    }  # fmt: skip


@contextmanager
def _dashboard(box: Box) -> Iterator[None]:
    command = [sys.executable, "-m", "cli.main", "dashboard", "--config", str(box.configuration)]
    log = box.folder / "dashboard.log"
    with Child("dashboard", command, log=log, env=box.environment, cwd=ROOT, grace_s=4) as child:
        port = int(box.url.rpartition(":")[2])
        child.wait_until(lambda: answers(port), timeout_s=30, what="it listens")
        yield


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


def shot(page: Page, name: str) -> Path:
    """Keep a picture of the whole page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{re.sub(r'[^a-z0-9-]', '-', name.lower())}.png"
    page.screenshot(path=path, full_page=True)
    return path


def severe(page: Page) -> Sequence[str]:
    """What axe finds of serious or critical, with where it is."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found
        if one["impact"] in _SEVERE
        for node in one["nodes"]
    ]


def overflows(page: Page) -> bool:
    """True where the page is wider than the window: it would have to be moved to be read."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
