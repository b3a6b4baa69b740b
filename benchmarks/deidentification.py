"""How fast de-identification is beside its peers: one process, from a file's bytes to a file's bytes.

    python benchmarks/deidentification.py [--rounds 15] [--json]

Files: ten SIIM-like films (1024², 8 bit, JPEG baseline, made here) and pydicom's CT_small. Peers do what their own
documentation shows: dicognito 0.19 `Anonymizer.anonymize`, dicom-anonymizer 2.1 `anonymize_dataset`, deid 0.4
`get_identifiers` and `replace_identifiers` with its own recipe. Each reads with `pydicom.dcmread` and writes with
`save_as`, into memory; deid, whose functions take paths, on a RAM disk where there is one. Ours reads, treats at every
depth, keys, shifts and writes; decoding pixels and looking for text in them are left out, as peers do neither.
All run by turns in each round, and a ratio is the median over the rounds of the peer's seconds by ours; seconds are
the processor's, so that a busy machine favours nobody. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from figures import Figure, by_turns, median_ratio, parser, put_out, seconds, times, versions
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read

if TYPE_CHECKING:
    from collections.abc import Callable

GOALS = {
    ("SIIM-like", "dicognito"): 1.5,
    ("SIIM-like", "dicom-anonymizer"): 2.0,
    ("SIIM-like", "deid"): 7.0,
    ("CT_small", "dicognito"): 3.0,
    ("CT_small", "dicom-anonymizer"): 3.0,
    ("CT_small", "deid"): 7.0,
}
KEYRING = Keyring.phantom()


def siim_like(number: int) -> bytes:
    """Return a film with the header of the SIIM-ACR files."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:1024, :1024]
    shade = 120 + 60 * np.sin(x / 170) * np.cos(y / 230) + rng.normal(0, 6, (1024, 1024))
    jpeg = BytesIO()
    Image.fromarray(shade.clip(0, 255).astype(np.uint8)).save(jpeg, "JPEG", quality=85)
    dataset = Dataset()
    uid = f"1.2.276.0.7230010.3.1.4.8323329.{1000 + number}.1517875178.{953520 + number}"
    for keyword, value in {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "SOPInstanceUID": uid,
        "StudyDate": "19010101",
        "StudyTime": "000000.00",
        "AccessionNumber": "",
        "Modality": "CR",
        "ConversionType": "WSD",
        "ReferringPhysicianName": "",
        "SeriesDescription": "view: PA",
        "PatientName": f"00{number:06d}-aaaa",
        "PatientID": f"00{number:06d}-aaaa",
        "PatientBirthDate": "",
        "PatientSex": "F",
        "PatientAge": "58",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "StudyInstanceUID": f"{uid}.1",
        "SeriesInstanceUID": f"{uid}.2",
        "StudyID": "",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "PatientOrientation": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 1024,
        "Columns": 1024,
        "PixelSpacing": ["0.143", "0.143"],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "LossyImageCompression": "01",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([jpeg.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def ours(source: bytes) -> bytes:
    """De-identify as `pdeseray deidentify` does."""
    return deidentify(read(source), KEYRING).content


def dicognito() -> Callable[[bytes], bytes]:
    """Return dicognito, set up once as its command does for a run."""
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer(seed="benchmark")

    def run(source: bytes) -> bytes:
        dataset = pydicom.dcmread(BytesIO(source))
        anonymizer.anonymize(dataset)
        return _written(dataset)

    return run


def dicom_anonymizer() -> Callable[[bytes], bytes]:
    """Return dicom-anonymizer with its own rules."""
    from dicomanonymizer.simpledicomanonymizer import anonymize_dataset

    def run(source: bytes) -> bytes:
        dataset = pydicom.dcmread(BytesIO(source))
        anonymize_dataset(dataset)
        return _written(dataset)

    return run


def deid(folder: Path) -> Callable[[bytes], bytes]:
    """Return deid with the recipe that it ships."""
    os.environ["MESSAGELEVEL"] = "QUIET"
    from deid.dicom import get_identifiers, replace_identifiers

    path = folder / "film.dcm"

    def run(source: bytes) -> bytes:
        path.write_bytes(source)
        with contextlib.redirect_stdout(StringIO()), contextlib.redirect_stderr(StringIO()):
            found = get_identifiers([str(path)])
            (dataset,) = replace_identifiers(
                dicom_files=[str(path)], ids=found, save=False, remove_private=True
            )
        return _written(dataset)

    return run


def _written(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def race(rounds: int) -> list[Figure]:
    """Run all by turns; a figure for each kind of file and peer."""
    ct = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    files = {"SIIM-like": [siim_like(number) for number in range(10)], "CT_small": [ct] * 10}
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of our own in it
    found = []
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        runners = {
            "ours": ours,
            "dicognito": dicognito(),
            "dicom-anonymizer": dicom_anonymizer(),
            "deid": deid(Path(folder)),
        }
        for kind, sources in files.items():
            taken = by_turns(
                {name: partial(milliseconds, run, sources) for name, run in runners.items()},
                rounds,
                warm_up=1,  # imports and caches
            )
            found += [
                Figure(
                    f"de-identify a {kind} file",
                    statistics.median(taken["ours"]),
                    "ms",
                    peer,
                    statistics.median(taken[peer]),
                    median_ratio(taken[peer], taken["ours"]),
                    times(GOALS[kind, peer]),
                    versions=versions("pydicom", peer),
                )
                for peer in runners
                if peer != "ours"
            ]
    return found


def milliseconds(run: Callable[[bytes], bytes], sources: list[bytes]) -> float:
    """Return the processor's milliseconds a file."""
    return 1e3 * seconds(lambda: [run(source) for source in sources], time.process_time) / len(sources)


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--rounds", type=int, default=15)
    asked = asking.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    return put_out(race(asked.rounds), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
