"""A real PACS for tests: Debian's Orthanc on loopback, with files and settings of its own, ended by its pid."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def require_orthanc() -> None:
    """Skip the test where Debian's packages are not installed."""
    if shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin") is None or not PLUGIN.exists():
        pytest.skip("service absent: Debian's orthanc and orthanc-dicomweb")


@dataclass
class Orthanc:
    """One Orthanc.

    Attributes
    ----------
    folder
        Its settings, index and files.
    move_to
        Port on loopback to which it sends for the AE title PDESERAY.
    """

    folder: Path
    move_to: int = field(default_factory=free_port)
    dicom: int = field(default_factory=free_port)
    http: int = field(default_factory=free_port)
    settings: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def web(self) -> str:
        """The address of its DICOMweb service."""
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "Name": "TEST",
            "StorageDirectory": str(self.folder / "files"),
            "IndexDirectory": str(self.folder / "index"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.http,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomModalities": {"pdeseray": ["PDESERAY", "127.0.0.1", self.move_to]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "SaveJobs": False,
            **self.settings,
        }
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/Orthanc", str(self.folder / "orthanc.json")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/system", timeout=2):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log.txt").read_text()
                time.sleep(0.1)
        raise TimeoutError

    def stop(self, *, kill: bool = False) -> None:
        """End it, by its pid."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(30)
            self.process = None

    def add(self, content: bytes) -> None:
        """Store a DICOM file in it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/instances",
            data=content,
            headers={"Content-Type": "application/dicom"},
        )
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - our own server's
            pass
