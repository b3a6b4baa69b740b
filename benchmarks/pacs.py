"""Pulling from an Orthanc on loopback, beside DCMTK's movescu with storescp on the same server, in one run.

    python benchmarks/pacs.py [--films 300] [--rounds 3] [--json]

`--films 2000 --rounds 1` moves as many as the goal for WADO-RS names.

Films are like SIIM's: 1024 x 1024, 8 bit, JPEG baseline. DCMTK runs as it comes, and with its sockets tuned; the peer
is the faster of the two. Goals: C-MOVE at least 0.95 times the peer, WADO-RS at least 50 instances a second. Exit 1
when a goal is missed. Needs Debian's orthanc, orthanc-dicomweb and dcmtk.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from figures import (
    Figure,
    at_least,
    by_turns,
    median_ratio,
    parser,
    put_out,
    refuse,
    tell,
    times,
    versions,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage

from pipelines.dicom.doors import archive_of
from pipelines.dicom.identity import Keyring
from pipelines.dicom.landing import Landing
from pipelines.dicom.pulling import Selection, pull
from pipelines.pacs import DicomServer, DicomWebServer, PacsServer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.dicom.orthanc import Orthanc

if TYPE_CHECKING:
    from collections.abc import Mapping

MOVESCU = "/usr/bin/movescu"
TUNED = {"TCP_NODELAY": "1", "TCP_BUFFER_LENGTH": "1048576"}
"""DCMTK's own variables: without them its sockets wait for each other, 60 ms an instance on loopback."""
AGAINST_DCMTK = 0.95
WADO_PER_SECOND = 50.0


def film(number: int, base: np.ndarray) -> bytes:  # type: ignore[type-arg]
    """Return a film of its own patient, study and series."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.4.{number}", f"1.2.5.{number}"
    dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = f"P{number}", "", f"A{number}"
    dataset.Modality, dataset.BodyPartExamined, dataset.StudyDate = "CR", "CHEST", "20240101"
    dataset.Rows, dataset.Columns = base.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    _, encoded = cv2.imencode(".jpg", np.roll(base, number, axis=0), [cv2.IMWRITE_JPEG_QUALITY, 90])
    dataset.PixelData = encapsulate([encoded.tobytes()])
    dataset["PixelData"].VR = "OB"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def ours(server: PacsServer, folder: Path, films_n: int) -> float:
    """Return the rate of a pull into an empty landing place, in instances a second, queries included."""
    started = time.perf_counter()
    with Landing(folder, Keyring.phantom()) as landing:
        outcome = pull(Selection(), archive_of(server), landing, named="benchmark")
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    if outcome.pulled != films_n or not outcome.is_complete:
        raise SystemExit(f"expected {films_n} films, found {outcome.to_json()}")
    return films_n / seconds


def dcmtk(orthanc: Orthanc, folder: Path, films_n: int, tuning: Mapping[str, str]) -> float:
    """Return the rate of movescu, told every study at once, with storescp: no query, no list of what came."""
    folder.mkdir()
    environment = {**os.environ, **tuning}
    request = Dataset()
    request.file_meta = FileMetaDataset()
    request.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    request.SOPClassUID, request.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    request.QueryRetrieveLevel = "STUDY"
    request.StudyInstanceUID = [f"1.2.4.{number}" for number in range(films_n)]
    request.save_as(folder / "request.dcm", enforce_file_format=True)
    (folder / "in").mkdir()
    # +B: received bytes straight to disk; large PDUs: both in DCMTK's favour
    receiver = subprocess.Popen(
        [
            "/usr/bin/storescp",
            "+B",
            "-pdu",
            "131072",
            "+xa",
            "-aet",
            "PDESERAY",
            "-od",
            "in",
            str(orthanc.move_to),
        ],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(0.5)
    try:
        words = [
            MOVESCU,
            "-S",
            "-pdu",
            "131072",
            "-aet",
            "PDESERAY",
            "-aec",
            "ORTHANC",
            "-aem",
            "PDESERAY",
        ]
        started = time.perf_counter()
        subprocess.run(
            [*words, "127.0.0.1", str(orthanc.dicom), "request.dcm"],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
        )
        seconds = time.perf_counter() - started
    finally:
        receiver.terminate()
        receiver.wait()
    came = len(list((folder / "in").iterdir()))
    shutil.rmtree(folder)
    if came != films_n:
        raise SystemExit(f"expected {films_n} films from movescu, found {came}")
    return films_n / seconds


def measured(orthanc: Orthanc, place: Path, films_n: int, rounds: int) -> dict[str, list[float]]:
    """Return each door's rates, measured in turn so that a busy moment falls on all of them."""
    noise = np.random.default_rng(7).integers(0, 256, (1024, 1024), dtype=np.uint8)
    base = cv2.GaussianBlur(noise, (0, 0), 2)
    for number in range(films_n):
        tell(f"filling the server: {number} of {films_n}")
        orthanc.add(film(number, base))
    dicom = DicomServer(
        kind="dicom",
        host="127.0.0.1",
        port=orthanc.dicom,
        ae_title="ORTHANC",
        our_host="127.0.0.1",
        our_port=orthanc.move_to,
    )
    web = DicomWebServer(kind="dicomweb", url=orthanc.web)
    by_get = dicom.model_copy(update={"retrieve": "get"})
    return by_turns(
        {
            "movescu, as it comes": lambda: dcmtk(orthanc, place / "dcmtk", films_n, {}),
            "movescu, tuned": lambda: dcmtk(orthanc, place / "dcmtk", films_n, TUNED),
            "C-MOVE": lambda: ours(dicom, place / "move", films_n),
            "C-GET": lambda: ours(by_get, place / "get", films_n),
            "WADO-RS": lambda: ours(web, place / "web", films_n),
        },
        rounds,
    )


def raced(films_n: int, rounds: int) -> list[Figure]:
    """Fill an Orthanc and measure its doors by turns; a figure for each of ours."""
    with tempfile.TemporaryDirectory() as place:
        orthanc = Orthanc(Path(place) / "orthanc")
        orthanc.start()
        try:
            rates = measured(orthanc, Path(place), films_n, rounds)
        finally:
            orthanc.stop()
    rate = {name: statistics.median(values) for name, values in rates.items()}
    peer = max((name for name in rate if name.startswith("movescu")), key=rate.__getitem__)
    goals = {"C-MOVE": times(AGAINST_DCMTK), "WADO-RS": at_least(WADO_PER_SECOND)}
    known = {**versions("pynetdicom"), "DCMTK": dcmtk_version()}
    return [
        Figure(
            f"pull {films_n} films by {door}",
            rate[door],
            "films/s",
            f"DCMTK's {peer}",
            rate[peer],
            median_ratio(rates[door], rates[peer]),
            goals.get(door),
            versions=known,
        )
        for door in ("C-MOVE", "C-GET", "WADO-RS")
    ]


def dcmtk_version() -> str:
    """Return what movescu says of itself."""
    said = subprocess.run([MOVESCU, "--version"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"v(\d[\d.]*)", said)[0]


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--films", type=int, default=300)
    asking.add_argument("--rounds", type=int, default=3)
    asked = asking.parse_args()
    if not Path(MOVESCU).exists() or not shutil.which("Orthanc"):
        refuse("Debian's orthanc, orthanc-dicomweb and dcmtk are needed here; apt-get install them")
    return put_out(raced(asked.films, asked.rounds), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
