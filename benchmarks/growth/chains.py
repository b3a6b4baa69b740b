"""Chains of stages at one size, each stage in a process of its own, in a home that is thrown away.

What belongs here: which stages run on which films, and what they leave on disk. What a stage costs is measured where
it runs (`stage`).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from growth.films import siim_cohort, write_headers
from growth.stage import in_a_process, measured

Films = Literal["headers", "phantoms"]
Row = dict[str, Any]

_HEADER_STAGES = (
    "sources", "deidentified", "annotations", "masks",
    # before there are images: copies by digest of their pixels, labels without a look at the body
    "label_quality", "duplicates",
    "images", "curated", "splits", "statistics",
)  # fmt: skip
_PHANTOM_STAGES = (
    "sources", "deidentified", "images", "annotations", "masks", "label_quality", "duplicates", "image_quality",
    "curated", "splits", "statistics",
)  # fmt: skip
_PHANTOMS = """
[cohorts.siim]
role = "pretrain"
phantom = {{ kind = "siim", radiographs_n = {n}, seed = 7 }}
"""
PARALLEL = frozenset({"phantoms", "deidentified", "images"})
"""What worker processes share. (Reading masks of several readers, too: SIIM's label file needs no decoding.)"""
SHARED = PARALLEL | {"image_quality"}
"""What workers share, as processes or as threads of the process that leads; all else is done by that one alone."""


@dataclass(frozen=True)
class Chain:
    """So many films of a kind through all stages, with so many workers."""

    films: Films
    n: int
    workers: int

    @property
    def stages(self) -> list[str]:
        """Assets, in the order in which they run."""
        names = _HEADER_STAGES if self.films == "headers" else _PHANTOM_STAGES
        return [*(f"siim/{name}" for name in names), "warehouse"]

    def of(self, rows: list[Row]) -> list[Row]:
        """Return the rows that are this chain's."""
        mine = (self.films, self.n, self.workers)
        return [row for row in rows if (row["films"], row["n"], row["workers"]) == mine]


def run_chain(chain: Chain, work: Path) -> tuple[list[Row], Row, Path]:
    """Run a chain; return what its parts cost, what it left on disk, and its home.

    Contracts are checked in chains of one worker only: they cost the same with more.
    """
    place = work / f"{chain.films}-{chain.n}-{chain.workers}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if chain.films == "headers":
        folder = work / f"films-{chain.n}"
        write_headers(folder, chain.n)
        text = siim_cohort(folder)
    else:
        text = _PHANTOMS.format(n=chain.n)
    (place / "pdeseray.toml").write_text(text, "utf-8")
    home, secrets = place / "home", place / "secrets"
    variables = {
        "PDESERAY_HOME": str(home),
        "PDESERAY_SECRETS": str(secrets),
        "PDESERAY_WORKERS": str(chain.workers),
        "PDESERAY_PIXEL_TEXT": str(chain.films == "phantoms").lower(),
    }
    rows: list[Row] = []
    for asset in chain.stages:
        stage = partial(measured, asset, is_checked=chain.workers == 1)
        found = in_a_process(stage, folder=place, variables=variables)
        written = found.pop("rows")
        rows += [
            {
                "films": chain.films,
                "n": chain.n,
                "workers": chain.workers,
                "stage": "phantoms" if part == "phantoms" else asset.partition("/")[2] or asset,
                "part": part,
                **cost,
                **({"rows": written} if part == "stage" else {}),
            }
            for part, cost in found.items()
        ]
    return rows, {"films": chain.films, "n": chain.n, "workers": chain.workers, **_left(home, secrets)}, home


def _left(home: Path, secrets: Path) -> Row:
    """Return bytes and numbers of files by where they lie."""
    places = {
        "store": home / "store",
        **{f"tables/{one.name}": one for one in sorted((home / "tables").iterdir())},
        "shards": home / "shards",
        "warehouse": home / "warehouse",
        "journal": secrets / "journals",
    }
    sizes = {
        name: [one.stat().st_size for one in place.rglob("*") if one.is_file()]
        for name, place in places.items()
    }
    return {
        "bytes": {name: sum(found) for name, found in sizes.items()},
        "files": {name: len(found) for name, found in sizes.items()},
    }
