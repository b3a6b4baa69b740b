"""Intake: which files there are, de-identified objects with their rows, rendered radiographs."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipelines.cohorts import Cohort
from pipelines.dicom.decoding import decoder_versions
from pipelines.lineage.stages import Output, Stage, now
from pipelines.lineage.versions import digest_of, listing_version
from pipelines.orchestration.assets.pictures import contact_sheet, counts, shard_digests
from pipelines.orchestration.resources import House, Work
from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from pipelines.dicom.sources import Listing

GROUP = "intake"


def stages(house: House, cohort: Cohort) -> list[Stage[Work]]:
    """Return ``sources``, ``deidentified`` and ``images`` of a cohort."""
    name = cohort.name
    phantom = ("pipelines.phantoms.cohorts",) if cohort.is_phantom else ()
    return [
        Stage(
            asset=f"{name}/sources",
            group=GROUP,
            description="Which files there are. Phantoms are made here, on first use; a PACS is asked once a night.",
            inputs=(),
            modules=("pipelines.dicom.sources", "pipelines.dicom.landing", *phantom),
            configuration={"cohort": cohort.model_dump(mode="json")},
            outside=partial(_listing, house, cohort),
            prepare=partial(_bring, cohort),
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
    """Return the side of the rendered radiographs: the model's, as profile and settings say."""
    from pdeseray_model.config import PROFILES, Recipe

    recipe = PROFILES[house.settings.profile]("pdeseray")[1]
    return Recipe.from_dict({**recipe.to_dict(), **house.settings.recipe}).size_px


def _listing(house: House, cohort: Cohort) -> str:
    try:
        listing = _look(house, cohort)
        house.left[cohort.name] = listing.left_n
        found = listing_version(
            [(one.source_key, one.size_bytes, one.modified_ns) for one in listing.sources]
        )
    except UnusableInputError:
        if not cohort.is_phantom and cohort.pacs is None:
            raise
        found = "nothing yet"
    if cohort.pacs is None:
        return found
    return digest_of([found, str(night_of(house.settings.timezone, house.settings.nightly_at))])


def _look(house: House, cohort: Cohort) -> "Listing":
    from pipelines.dicom.sources import look

    with house.landing(cohort) as landing:
        pulled = landing.pulled()
    return look(house.located(cohort), house.keyring(cohort), pulled=pulled)


def night_of(timezone: str, nightly_at: str, now_utc: datetime | None = None) -> date:
    """Return the day whose night it is: a PACS is asked once from one `nightly_at` to the next."""
    hour, _, minute = nightly_at.partition(":")
    local = (now_utc or now()).astimezone(ZoneInfo(timezone))
    return (local - timedelta(hours=int(hour), minutes=int(minute or 0))).date()


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


def _bring(cohort: Cohort, house: House) -> None:
    """Make a phantom cohort, or pull from the PACS; what goes wrong there is noted and holds up nothing else."""
    house.made(cohort)
    if cohort.pacs is not None:
        house.pull(cohort)


def _take_inventory(cohort: Cohort, work: Work) -> Output:
    house, name = work.house, cohort.name
    listing = _look(house, cohort)
    notes = [*listing.notes, *_pull_notes(house, cohort)]
    for note in notes:
        work.log.warning(f"{name}: {note}")
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
                *notes,
            ]
        ),
    )


def _pull_notes(house: House, cohort: Cohort) -> list[str]:
    """Return what a person should know about the last pull."""
    if cohort.pacs is None:
        return []
    with house.landing(cohort) as landing:
        last = landing.last_pull()
    notes = [f"{last[what]:,} {what}" for what in ("missing", "conflicts", "foreign") if last.get(what)]
    if last.get("error"):
        notes.append(f"expected {last['error']['expected']}, found {last['error']['found']}")
    return [f"pull from `{cohort.pacs.server}` at {last['at']}: {note}" for note in notes]


def _deidentify(cohort: Cohort, work: Work) -> Output:
    from pipelines.dicom.identity_crosswalk import write_crosswalk
    from pipelines.dicom.intake import take_in
    from pipelines.dicom.intake_one import Terms
    from pipelines.dicom.sources import recorded
    from pipelines.dicom.withdrawal import NAMES, withdrawn_on

    house, name = work.house, cohort.name
    keyring = house.keyring(cohort)
    known = house.lake.read("inventory", parts=[name]).select(["source_key", "source_order"]).to_pylist()
    withdrawn = house.withdrawals.read()
    with house.landing(cohort) as landing:
        pulled = landing.pulled()
    taken = take_in(
        recorded(
            house.located(cohort),
            keyring,
            [(row["source_key"], row["source_order"]) for row in known],
            pulled=pulled,
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
    gone = {
        str(row["radiograph_id"]): day
        for row in house.lake.read("instances", parts=[name]).select(list(NAMES)).to_pylist()
        if (day := withdrawn_on(row, withdrawn)) is not None  # its file may have gone as well
    }
    if house.settings.crosswalk:
        write_crosswalk(house.settings.secrets / "crosswalks" / f"{name}.csv", taken.crosswalk)
    instances = house.lake.write("instances", name, taken.instances)
    house.lake.write("deidentification_audit", name, taken.audit)
    rejections = house.lake.write("rejections", f"{name}.deidentified", taken.rejections)
    _forget(house, name, withdrawn, {**gone, **taken.withdrawn}, taken.unneeded)
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


def _forget(
    house: House, name: str, withdrawn: dict[str, date], taken_out: dict[str, date], unneeded: set[str]
) -> None:
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
    for key in sorted(house.store.present(unneeded - set(referenced))):
        house.store.delete(key)


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
    sheet = house.settings.reports_url / f"{name}_images.png"
    contact_sheet(images, shards, sheet)
    return Output(
        tables=(("images", name), ("rejections", f"{name}.images")),
        files=shard_digests(images),
        markdown=f"{counts(images, 'decoder', 'rendered')}\n\nSome of them: `{sheet.name}` beside the reports",
    )
