"""Curation: duplicates, image quality, what is published, splits, and what the cohort looks like."""

from functools import partial

import pyarrow as pa

from pipelines.cohorts import Cohort
from pipelines.lineage.stages import Output, Stage
from pipelines.orchestration.assets.labels import file_digest
from pipelines.orchestration.assets.pictures import counts, table
from pipelines.orchestration.resources import House, Work
from pipelines.records import UnusableInputError

GROUP = "curation"
LIBRARIES = ("numpy", "opencv-python-headless")
"""What decides what is seen on an image."""


def stages(house: House, cohort: Cohort) -> list[Stage[Work]]:
    """Return ``duplicates``, ``image_quality``, ``curated``, ``splits`` and ``statistics`` of a cohort."""
    name = cohort.name
    films = (f"{name}/deidentified", f"{name}/images")
    labels = (f"{name}/annotations", f"{name}/masks", f"{name}/label_quality")
    return [
        Stage(
            asset=f"{name}/duplicates",
            group=GROUP,
            description="Pairs of radiographs that are copies of each other, and which one is kept.",
            # which copy is kept asks which are labelled
            inputs=(*films, f"{name}/masks"),
            modules=("pipelines.curation.duplicates",),
            libraries=LIBRARIES,
            run=partial(_find_duplicates, cohort),
            writes=("duplicates",),
        ),
        Stage(
            asset=f"{name}/image_quality",
            group=GROUP,
            description="Radiographs that are blank, turned, mirrored, inverted, cropped, lateral or no frontal chest.",
            inputs=films,
            modules=("pipelines.curation.image_quality",),
            libraries=LIBRARIES,
            run=partial(_find_faults, cohort),
            writes=("quality_findings",),
        ),
        Stage(
            asset=f"{name}/curated",
            group=GROUP,
            description="The radiographs that are published, and the fate of every file that was seen.",
            inputs=(f"{name}/sources", *films, f"{name}/duplicates", f"{name}/image_quality", *labels),
            modules=("pipelines.curation.curate",),
            run=partial(_curate, cohort),
            writes=("curated", "sources", "rejections"),
        ),
        Stage(
            asset=f"{name}/splits",
            group=GROUP,
            description="Who trains and who tests, under each protocol, and the leakage that was measured.",
            inputs=(f"{name}/curated", f"{name}/masks", f"{name}/deidentified", f"{name}/duplicates"),
            modules=(
                "pipelines.curation.splits",
                "pipelines.curation.leakage",
                "pipelines.curation.fold_shares",
            ),
            libraries=("numpy",),
            outside=partial(_patient_map_digest, house, cohort),
            run=partial(_split, cohort),
            writes=("splits", "placements", "leakage"),
        ),
        Stage(
            asset=f"{name}/statistics",
            group=GROUP,
            description="Laterality, size and projection beside the paper's Figures 4 to 6.",
            inputs=(f"{name}/splits", f"{name}/curated", f"{name}/masks", f"{name}/deidentified"),
            modules=("pipelines.curation.statistics",),
            run=partial(_describe, cohort),
            writes=("statistics",),
        ),
    ]


def patient_groups(house: House, cohort: Cohort, instances: pa.Table) -> dict[str, str]:
    """Return the patient of each radiograph: the patient map's where there is one, else the header's."""
    from pipelines.curation.patient_groups import groups_of, read_patient_map

    places = house.located(cohort)
    patient_map = (
        read_patient_map(places.patient_map, keyring=house.keyring(cohort)) if places.patient_map else {}
    )
    return groups_of(instances, patient_map)


def _patient_map_digest(house: House, cohort: Cohort) -> str:
    return file_digest(house.located(cohort).patient_map)


def _find_duplicates(cohort: Cohort, work: Work) -> Output:
    from pipelines.curation.duplicates import find_duplicates

    house, name = work.house, cohort.name
    remembered = work.remembered(LIBRARIES)
    rows = find_duplicates(
        house.lake.read("instances", parts=[name]),
        house.lake.read("images", parts=[name]),
        shards=house.shards("images"),
        labelled={
            str(key) for key in house.lake.read("masks", parts=[name]).column("radiograph_id").to_pylist()
        },
        engine=house.engine,
        remembered=remembered,
    )
    duplicates = house.lake.write("duplicates", name, rows)
    remembered.keep()
    return Output(
        tables=(("duplicates", name),),
        metrics={"pairs": duplicates.num_rows},
        markdown=counts(duplicates, "kind", "pairs"),
    )


def _find_faults(cohort: Cohort, work: Work) -> Output:
    from pipelines.curation.image_quality import find_faults

    house, name = work.house, cohort.name
    part = f"{name}.image_quality"
    remembered = work.remembered(LIBRARIES)
    rows = find_faults(
        house.lake.read("instances", parts=[name]),
        house.lake.read("images", parts=[name]),
        shards=house.shards("images"),
        engine=house.engine,
        remembered=remembered,
    )
    findings = house.lake.write("quality_findings", part, rows)
    remembered.keep()
    return Output(
        tables=(("quality_findings", part),),
        metrics={"findings": findings.num_rows},
        markdown=counts(findings, "rule", "findings"),
    )


def _curate(cohort: Cohort, work: Work) -> Output:
    from pipelines.curation.curate import curate

    house, name = work.house, cohort.name
    read = house.lake.read
    earlier = [f"{name}.{stage}" for stage in ("deidentified", "images", "annotations")]
    curation = curate(
        read("inventory", parts=[name]),
        read("instances", parts=[name]),
        read("rejections", parts=earlier),
        read("masks", parts=[name]),
        read("quality_findings", parts=[f"{name}.image_quality", f"{name}.label_quality"]),
        read("duplicates", parts=[name]),
    )
    curated = house.lake.write("curated", name, curation.curated)
    sources = house.lake.write("sources", name, curation.sources)
    part = f"{name}.curated"
    house.lake.write("rejections", part, curation.rejections)
    rejections = read("rejections", parts=[*earlier, part])
    return Output(
        tables=(("curated", name), ("sources", name), ("rejections", part)),
        metrics={"taken_in": sources.num_rows, "published": curated.num_rows},
        markdown=counts(sources, "state", "files") + "\n\n" + counts(rejections, "reason", "set aside"),
    )


def _split(cohort: Cohort, work: Work) -> Output:
    from data_contracts import arrow_schema
    from pipelines.curation.fold_shares import HEAD, shares_of
    from pipelines.curation.leakage import measure
    from pipelines.curation.splits import remembered, split

    house, name = work.house, cohort.name
    read = house.lake.read
    instances = read("instances", parts=[name])
    groups = patient_groups(house, cohort, instances)
    duplicates = read("duplicates", parts=[name])
    masks = read("masks", parts=[name])
    previous = read("placements", parts=[name])
    if not previous.num_rows:  # a state from before places were remembered
        previous = read("splits", parts=[name])
    rows = split(
        read("curated", parts=[name]),
        masks,
        instances,
        cohort=cohort,
        patient_groups=groups,
        previous=previous,
        duplicates=duplicates,
    )
    found = pa.Table.from_pylist(rows, schema=arrow_schema("splits"))
    leakage = house.lake.write("leakage", name, measure(found, instances, duplicates, patient_groups=groups))
    for line in leakage.to_pylist():
        told = work.log.warning if line["pairs_n"] else work.log.info
        told(
            f"{name}, {line['protocol']}: {line['pairs_n']} {line['kind']} pairs on two sides, "
            f"{line['test_radiographs_n']} tested radiographs among them"
        )
    leaking = [row for row in leakage.to_pylist() if row["is_blocking"]]
    if leaking:  # before `splits` is written: what leaks must not be the start of the next one
        raise UnusableInputError(
            expected="no patient and no copy on two sides of a protocol that keeps patients apart",
            found="; ".join(f"{row['protocol']}: {row['pairs_n']} {row['kind']} pairs" for row in leaking),
            remedy="check the patient map; `splits` of an earlier run may be kept from before a patient was joined",
        )
    splits = house.lake.write("splits", name, rows)
    house.lake.write("placements", name, remembered(rows, previous, instances))
    shown = [
        (row["protocol"], row["kind"], row["pairs_n"], row["test_radiographs_n"], row["is_blocking"])
        for row in leakage.to_pylist()
    ]
    before = house.ledger.data_version(f"{name}/splits")
    return Output(
        tables=(("splits", name), ("placements", name), ("leakage", name)),
        inputs={f"{name}/splits@previous": before} if previous.num_rows else {},
        markdown=table(HEAD, shares_of(splits, masks, instances))
        + "\n\n"
        + table(["protocol", "leak", "pairs", "test radiographs", "blocks"], shown),
    )


def _describe(cohort: Cohort, work: Work) -> Output:
    from pipelines.curation.statistics import describe

    house, name = work.house, cohort.name
    read = house.lake.read
    rows = describe(
        read("curated", parts=[name]),
        read("masks", parts=[name]),
        read("instances", parts=[name]),
        read("splits", parts=[name]),
    )
    statistics = house.lake.write("statistics", name, rows)
    shown = [
        (row["figure"], row["category"], row["n"], round(row["value"], 3), row["paper_value"])
        for row in statistics.to_pylist()
    ]
    return Output(
        tables=(("statistics", name),),
        markdown=table(["figure", "category", "n", "value", "the paper's"], shown),
    )
