"""Intake: which files there are, de-identified objects with their rows, rendered radiographs."""

from datetime import date
from functools import partial

from pipelines.cohorts import Cohort
from pipelines.dicom.decoding import decoder_versions
from pipelines.lineage.stages import Output, Stage, now
from pipelines.lineage.versions import digest_of, listing_version
from pipelines.orchestration.assets.pictures import contact_sheet, counts, shard_digests
from pipelines.orchestration.resources import House, Work
from pipelines.records import Row, UnusableInputError

GROUP = "intake"


def stages(house: House, cohort: Cohort) -> list[Stage[Work]]:
    """Return ``sources``, ``deidentified`` and ``images`` of a cohort."""
    name = cohort.name
    phantom = ("pipelines.phantoms.cohorts",) if cohort.is_phantom else ()
    return [
        Stage(
            asset=f"{name}/sources",
            group=GROUP,
            description="Which files there are. A phantom cohort is made here, on first use.",
            inputs=(),
            modules=("pipelines.dicom.sources", *phantom),
            configuration={"cohort": cohort.model_dump(mode="json")},
            outside=partial(_listing, house, cohort),
            prepare=partial(_make_phantoms, cohort),
            run=partial(_take_inventory, cohort),
            writes=("inventory",),
        ),
        Stage(
            asset=f"{name}/deidentified",
            group=GROUP,
            description="De-identified DICOM in the store, a row for each radiograph, and what was removed.",
            inputs=(f"{name}/sources",),
            modules=("pipelines.dicom.intake",),
            configuration={
                "decoders": decoder_versions(),
                "options": house.settings.deidentification.model_dump(mode="json"),
                "crosswalk": house.settings.crosswalk,
                "pixel_text": _pixel_text(house),
            },
            libraries=("pydicom", "numpy"),
            outside=partial(_key_and_decisions, house, cohort),
            run=partial(_deidentify, cohort),
            writes=("instances", "deidentification_audit", "rejections", "tombstones"),
        ),
        Stage(
            asset=f"{name}/images",
            group=GROUP,
            description="Every radiograph rendered for display at the model's size, with the way back to native.",
            inputs=(f"{name}/deidentified",),
            modules=("pipelines.dicom.rendering",),
            configuration={"size_px": size_px(house), "decoders": decoder_versions()},
            libraries=("pydicom", "numpy", "opencv-python-headless"),
            run=partial(_render, cohort),
            writes=("images", "rejections"),
        ),
    ]


def size_px(house: House) -> int:
    """Return the side of the rendered radiographs: the model's, as the profile says."""
    from pdeseray_model.config import PROFILES

    return PROFILES[house.settings.profile]("pdeseray")[1].size_px


def _listing(house: House, cohort: Cohort) -> str:
    from pipelines.dicom.sources import list_sources

    try:
        sources = list_sources(house.located(cohort), house.keyring(cohort))
    except UnusableInputError:
        if cohort.is_phantom:
            return "not made"
        raise
    return listing_version([(one.source_key, one.size_bytes, one.modified_ns) for one in sources])


def _key_and_decisions(house: House, cohort: Cohort) -> str:
    """Return a digest of the key in use, of who has withdrawn, and of what was decided about text on films."""
    return digest_of(
        [
            house.keyring(cohort).key_of("source", "which key is this"),
            sorted(house.withdrawals.read()),
            sorted(house.review.decisions().items()),
        ]
    )


def _pixel_text(house: House) -> dict[str, object]:
    """Return what decides how films are looked at for text."""
    from pipelines.dicom.pixel_text_reading import reader_name

    settings = house.settings
    if not settings.pixel_text:
        return {"is_on": False}
    return {"is_on": True, "reader": reader_name(), "confidence": settings.pixel_text_confidence}


def _make_phantoms(cohort: Cohort, house: House) -> None:
    house.made(cohort)


def _take_inventory(cohort: Cohort, work: Work) -> Output:
    from pipelines.dicom.sources import look

    house, name = work.house, cohort.name
    listing = look(house.located(cohort), house.keyring(cohort))
    sources = listing.sources
    seen = {
        row["source_key"]: row["first_seen"] for row in house.lake.read("inventory", parts=[name]).to_pylist()
    }
    rows: list[Row] = [
        {
            "source_key": one.source_key,
            "cohort": name,
            "source_order": one.order,
            "size_bytes": one.size_bytes,
            "official_role": one.official_role,
            "first_seen": seen.get(one.source_key, now()),
        }
        for one in sources
    ]
    house.lake.write("inventory", name, rows)
    megabytes = sum(one.size_bytes for one in sources) / 1e6
    return Output(
        tables=(("inventory", name),),
        metrics={"megabytes": megabytes, "left": listing.left_n},
        markdown=", ".join(
            [
                f"{len(rows):,} files, {megabytes:,.0f} MB",
                *(["phantoms"] if cohort.is_phantom else []),
                *listing.notes,
            ]
        ),
    )


def _deidentify(cohort: Cohort, work: Work) -> Output:
    from pipelines.dicom.identity_crosswalk import write_crosswalk
    from pipelines.dicom.intake import take_in
    from pipelines.dicom.intake_one import Terms
    from pipelines.dicom.sources import recorded

    house, name = work.house, cohort.name
    keyring = house.keyring(cohort)
    known = house.lake.read("inventory", parts=[name]).select(["source_key", "source_order"]).to_pylist()
    withdrawn = house.withdrawals.read()
    taken = take_in(
        recorded(
            house.located(cohort),
            keyring,
            [(row["source_key"], row["source_order"]) for row in known],
        ),
        cohort_name=name,
        keyring=keyring,
        store=house.store,
        engine=house.engine,
        journal=house.journal(cohort),
        withdrawn=withdrawn,
        terms=Terms(
            house.settings.deidentification,
            crosswalk=house.settings.crosswalk,
            pixel_text=house.pixel_text(cohort),
        ),
    )
    if house.settings.crosswalk:
        write_crosswalk(house.settings.secrets / "crosswalks" / f"{name}.csv", taken.crosswalk)
    instances = house.lake.write("instances", name, taken.instances)
    house.lake.write("deidentification_audit", name, taken.audit)
    rejections = house.lake.write("rejections", f"{name}.deidentified", taken.rejections)
    _forget(house, name, withdrawn, taken.withdrawn)
    return Output(
        tables=(
            ("instances", name),
            ("deidentification_audit", name),
            ("rejections", f"{name}.deidentified"),
            ("tombstones", name),
        ),
        metrics={"released": instances.num_rows, "set_aside": rejections.num_rows},
        markdown=f"{instances.num_rows:,} released\n\n" + counts(rejections, "reason", "set aside"),
    )


def _forget(house: House, name: str, withdrawn: dict[str, date], taken_out: dict[str, date]) -> None:
    """Write the cohort's tombstones, then remove what no row names any more: killed between, it is done again."""
    from pipelines.dicom.withdrawal import remove_withdrawn, tombstones

    def days(parts: list[str]) -> dict[str, date]:
        rows = house.lake.read("tombstones", parts=parts).to_pylist()
        return {row["key"]: row["withdrawn_on"] for row in rows}

    others = [part for part in house.lake.parts("tombstones") if part != name]
    rows = tombstones(days([name]), withdrawn, taken_out, elsewhere=days(others))
    house.lake.write("tombstones", name, rows)
    referenced = [str(key) for key in house.lake.read("instances").column("store_key").to_pylist()]
    remove_withdrawn(house.store, withdrawn, referenced=referenced)


def _render(cohort: Cohort, work: Work) -> Output:
    from pipelines.dicom.rendering import render_images

    house, name = work.house, cohort.name
    shards = house.shards("images")
    rows, rejections = render_images(
        house.lake.read("instances", parts=[name]),
        store=house.store,
        shards=shards,
        size_px=size_px(house),
        engine=house.engine,
        previous=house.lake.read("images", parts=[name]),
    )
    images = house.lake.write("images", name, rows)
    house.lake.write("rejections", f"{name}.images", rejections)
    return Output(
        tables=(("images", name), ("rejections", f"{name}.images")),
        files=shard_digests(images),
        markdown=contact_sheet(images, shards),
    )
