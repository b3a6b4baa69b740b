"""The page's part on lineage: data versions, code, seeds, runs, machines and seconds behind every number.

What another run of the same data would print otherwise is marked as `varying`: it does not make the page a new one.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.reports.markup import DASH, Html, count, join, paragraph, section, table, tag, varying
from pipelines.reports.material import Material

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORT = 12  # digits of a digest that a person compares


def lineage_section(material: Material) -> Html:
    """List what each stage made, from which versions of what, when, in which run and in how many seconds."""
    return section(
        "lineage",
        "Where each number came from",
        paragraph(
            "The same run key gives the same data version. In full, and through every step, in the table ",
            tag("code", "stages"),
            " and the view ",
            tag("code", "lineage"),
            " of the warehouse. ",
            varying(join(["Code: ", tag("code", code_revision()), "."])),
        ),
        _models(material),
        _stages(material),
    )


def _models(material: Material) -> Html:
    rows = []
    for name, row in material.models.items():
        start = next((one for one in material.log(name) if one.get("event") in ("start", "resume")), {})
        run = material.trainings.get(name, {})
        rows.append(
            (
                join([name, tag("small", f"trained on {row['cohort']}")]),
                row["init"] if row["parent_model_id"] is None else f"from {row['parent_model_id']}",
                str(row["seed"]),
                tag("code", row["weights_sha256"][:_SHORT]),
                varying(_code(run.get("mlflow_run_id"))),
                varying(_machine(start.get("machine"))),
                varying(f"{run['seconds_s']:.0f}" if run.get("seconds_s") is not None else DASH),
            )
        )
    return table(
        ("model", "start", "seed", "weights", "MLflow run", "machine", "seconds"),
        rows,
        caption="Models on this page; first digits of digests and run ids.",
    )


def _stages(material: Material) -> Html:
    rows = [
        (
            stage["asset"],
            tag("code", stage["data_version"][:_SHORT]),
            tag("code", stage["run_key"][:_SHORT]),
            tag("code", stage["code_version"][:_SHORT]),
            varying(_code(stage["mlflow_run_id"])),
            varying(f"{stage['started_at']:%Y-%m-%d %H:%M}"),
            varying(f"{stage['seconds_s']:.1f}"),
            Html(f'<small class="said">{join((_input(one) for one in stage["inputs"]), ", ")}</small>'),
        )
        for stage in material.runs
    ]
    total = sum(stage["seconds_s"] for stage in material.runs)
    return table(
        ("asset", "data version", "run key", "code", "MLflow run", "started (UTC)", "seconds", "made from"),
        rows,
        caption=join(
            [
                f"n = {count(len(rows))} stages, each as last made; first digits of digests. ",
                varying(f"Together {total:.0f} seconds."),
            ]
        ),
    )


def code_revision() -> str:
    """Name the version of this package, and the revision of the checkout that it runs from, where it does."""
    from importlib.metadata import version

    package = f"pdeseray {version('pdeseray')}"
    git = shutil.which("git")
    folder = Path(__file__).parents[2]
    if git is None or not (folder / ".git").exists():
        return package
    asked = subprocess.run(
        [git, "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{package}, revision {asked.stdout.strip()}" if asked.returncode == 0 else package


def _machine(told: Mapping[str, Any] | None) -> str:
    if not told:
        return "not recorded"
    device = f"{told['processors_n']} processors" if told["device"] == "cpu" else str(told["device"])
    return f"{device}, {told['processor']}, torch {told['torch']}"


def _code(run_id: str | None) -> Html:
    return tag("code", run_id[:_SHORT]) if run_id else Html(DASH)


def _input(one: Mapping[str, str]) -> Html:
    return join([one["asset"], " ", tag("code", one["data_version"][:8])])
