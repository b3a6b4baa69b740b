"""Labels: readers' annotations, the reference standard, and what is wrong with either."""

import hashlib
from functools import partial

from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.lineage.stages import Output, Stage
from pipelines.lineage.versions import digest_of, listing_version
from pipelines.orchestration.assets.pictures import counts, pairs
from pipelines.orchestration.resources import House, Work

GROUP = "labels"
LABEL_LIBRARIES = ("numpy", "opencv-python-headless")
"""What decides what is found of a label on its image."""


def stages(house: House, cohort: Cohort) -> list[Stage[Work]]:
    """Return ``annotations``, ``masks`` and ``label_quality`` of a cohort."""
    name = cohort.name
    return [
        Stage(
            asset=f"{name}/annotations",
            group=GROUP,
            description="What each reader drew, and what the clinical report says, in one form.",
            inputs=(f"{name}/deidentified",),
            modules=("pipelines.labels.annotations",),
            configuration={"adjudicator": cohort.consensus.adjudicator},
            libraries=("numpy", "opencv-python-headless", "pycocotools", "highdicom"),
            outside=partial(_label_files, house, cohort),
            run=partial(_annotate, cohort),
            writes=("annotations", "rejections"),
        ),
        Stage(
            asset=f"{name}/masks",
            group=GROUP,
            description="The reference standard: the readers' consensus at 1,024 px, run-length encoded, measured.",
            inputs=(f"{name}/annotations",),
            modules=("pipelines.labels.masks",),
            configuration={"consensus": cohort.consensus.model_dump(mode="json")},
            libraries=("numpy", "scipy", "opencv-python-headless", "simpleitk"),
            run=partial(_reference, cohort),
            writes=("masks", "agreement", "adjudications"),
        ),
        Stage(
            asset=f"{name}/label_quality",
            group=GROUP,
            description="Labels that contradict themselves, the report or the image.",
            inputs=(f"{name}/masks", f"{name}/annotations", f"{name}/deidentified", f"{name}/images"),
            modules=("pipelines.labels.quality",),
            libraries=LABEL_LIBRARIES,
            run=partial(_check, cohort),
            writes=("quality_findings",),
        ),
    ]


def file_digest(place: str | None) -> str:
    """Return the digest of what stands at a path or URL: a file's content, or a folder's listing."""
    if place is None:
        return "none"
    path = UPath(place)
    if not path.exists():
        return "missing"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    stats = [(str(one), one.stat()) for one in path.rglob("*") if one.is_file()]
    return listing_version([(name, stat.st_size, int(stat.st_mtime * 1e9)) for name, stat in stats])


def _label_files(house: House, cohort: Cohort) -> str:
    places = house.located(cohort)
    labels = [[one.format, file_digest(one.path)] for one in places.all_labels]
    return digest_of([labels, file_digest(places.reports)])


def _annotate(cohort: Cohort, work: Work) -> Output:
    from pipelines.labels.annotations import read_annotations

    house, name = work.house, cohort.name
    rows, rejections = read_annotations(
        house.located(cohort),
        keyring=house.keyring(cohort),
        instances=house.lake.read("instances", parts=[name]),
        engine=house.engine,
        withdrawn=frozenset(map(str, house.lake.read("tombstones").column("key").to_pylist())),
    )
    annotations = house.lake.write("annotations", name, rows)
    rejected = house.lake.write("rejections", f"{name}.annotations", rejections)
    return Output(
        tables=(("annotations", name), ("rejections", f"{name}.annotations")),
        metrics={"annotations": annotations.num_rows, "set_aside": rejected.num_rows},
        markdown=counts(annotations, "reader", "radiographs read")
        + "\n\n"
        + counts(rejected, "reason", "set aside"),
    )


def _reference(cohort: Cohort, work: Work) -> Output:
    from pipelines.dicom.identity import key_of
    from pipelines.labels.masks import reference_masks

    house, name = work.house, cohort.name
    named = cohort.consensus.reader
    found = reference_masks(
        house.lake.read("annotations", parts=[name]),
        cohort=cohort,
        named_reader=None if named is None else key_of("reader", named, keyring=house.keyring(cohort)),
    )
    masks = house.lake.write("masks", name, found.masks)
    house.lake.write("agreement", name, found.agreement)
    adjudications = house.lake.write("adjudications", name, found.adjudications)
    positives = masks.column("has_pneumothorax").to_pylist().count(True)
    whole = {
        row["measure"]: round(row["value"], 3) for row in found.agreement if row["radiograph_id"] is None
    }
    settled = adjudications.column("is_adjudicated").to_pylist()
    open_n = settled.count(False)
    return Output(
        tables=(("masks", name), ("agreement", name), ("adjudications", name)),
        metrics={"positives": positives, "to_adjudicate": open_n, **whole},
        markdown=pairs(
            {
                "radiographs": masks.num_rows,
                "with pneumothorax": positives,
                "readers disagree, adjudicated": len(settled) - open_n,
                "readers disagree, to adjudicate": open_n,
                **whole,
            }
        )
        + "\n\n"
        + counts(masks, "laterality", "radiographs")
        + "\n\n"
        + counts(masks, "standard", "radiographs"),
    )


def _check(cohort: Cohort, work: Work) -> Output:
    from pipelines.labels.quality import find_label_faults

    house, name = work.house, cohort.name
    read = house.lake.read
    part = f"{name}.label_quality"
    remembered = work.remembered(LABEL_LIBRARIES)
    rows = find_label_faults(
        read("masks", parts=[name]),
        read("annotations", parts=[name]),
        read("instances", parts=[name]),
        adjudications=read("adjudications", parts=[name]),
        images=read("images", parts=[name]),
        shards=house.shards("images"),
        remembered=remembered,
    )
    findings = house.lake.write("quality_findings", part, rows)
    remembered.keep()
    return Output(
        tables=(("quality_findings", part),),
        metrics={"findings": findings.num_rows},
        markdown=counts(findings, "rule", "findings"),
    )
