"""Pulling from an Orthanc on loopback, beside DCMTK's movescu with storescp on the same server, in one run.

    .venv/bin/python benchmarks/pacs.py            300 films, the routine run
    .venv/bin/python benchmarks/pacs.py 2000       as many as the goal for WADO-RS names

Films are like SIIM's: 1024 x 1024, 8 bit, JPEG baseline. DCMTK runs as it comes, and with its sockets tuned. Goals:
C-MOVE at least 0.95 times the faster of the two, WADO-RS at least 50 instances a second. Exit code 1 when a goal is
missed. Needs Debian's orthanc, orthanc-dicomweb and dcmtk.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
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

FILMS_N = 300
ROUNDS = 3
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
            "/usr/bin/movescu",
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


def main() -> int:
    """Fill an Orthanc, measure the doors in turn, print the table."""
    films_n = int(sys.argv[1]) if len(sys.argv) > 1 else FILMS_N
    with tempfile.TemporaryDirectory() as place:
        orthanc = Orthanc(Path(place) / "orthanc")
        orthanc.start()
        try:
            rates = measured(orthanc, Path(place), films_n)
        finally:
            orthanc.stop()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peer = max(rate for name, rate in medians.items() if name.startswith("DCMTK"))
    print(f"{films_n} films, rounds in turn, median; x: times the faster DCMTK\n")
    print(f"{'door':<28}{'instances/s':>12}{'x':>9}")
    for name, rate in medians.items():
        print(f"{name:<28}{rate:>12.1f}{rate / peer:>9.2f}")
    goals = {
        f"C-MOVE at least {AGAINST_DCMTK} x DCMTK": medians["pull by C-MOVE"] >= AGAINST_DCMTK * peer,
        f"WADO-RS at least {WADO_PER_SECOND:g} instances/s": medians["pull by WADO-RS"] >= WADO_PER_SECOND,
    }
    for goal, is_reached in goals.items():
        print(f"{'reached' if is_reached else 'MISSED'}: {goal}")
    return 0 if all(goals.values()) else 1


def measured(orthanc: Orthanc, place: Path, films_n: int) -> dict[str, list[float]]:
    """Return each door's rates, measured in turn so that a busy moment falls on all of them."""
    noise = np.random.default_rng(7).integers(0, 256, (1024, 1024), dtype=np.uint8)
    base = cv2.GaussianBlur(noise, (0, 0), 2)
    for number in range(films_n):
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
    doors: dict[str, Callable[[], float]] = {
        "DCMTK, as it comes": lambda: dcmtk(orthanc, place / "dcmtk", films_n, {}),
        "DCMTK, tuned": lambda: dcmtk(orthanc, place / "dcmtk", films_n, TUNED),
        "pull by C-MOVE": lambda: ours(dicom, place / "move", films_n),
        "pull by C-GET": lambda: ours(dicom.model_copy(update={"retrieve": "get"}), place / "get", films_n),
        "pull by WADO-RS": lambda: ours(web, place / "web", films_n),
    }
    rates: dict[str, list[float]] = {name: [] for name in doors}
    for _ in range(ROUNDS if films_n <= FILMS_N else 1):
        for name, measure in doors.items():
            rates[name].append(measure())
    return rates


if __name__ == "__main__":
    sys.exit(main())
