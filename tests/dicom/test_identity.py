import pickle  # noqa: TID251 - shows that what a process pool would send holds no key
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dicom.identity import KEY_FILE, Keyring, key_of
from pipelines.records import UnusableInputError

UID_KINDS = ("radiograph", "study", "series", "frame_of_reference", "uid")
NAME_KINDS = ("patient", "accession", "source", "reader")


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "secrets")


def test_equal_texts_of_different_kinds_get_unrelated_keys(keyring: Keyring) -> None:
    keys = {keyring.key_of(kind, "123") for kind in NAME_KINDS} | {keyring.key_of("uid", "123")}
    assert len(keys) == len(NAME_KINDS) + 1


def test_a_uid_gets_the_same_name_whatever_role_it_stands_in(keyring: Keyring) -> None:
    assert len({keyring.key_of(kind, "1.2.840.1") for kind in UID_KINDS}) == 1


def test_new_uids_are_uuid_derived(keyring: Keyring) -> None:
    name = keyring.key_of("radiograph", "1.2.840.1")
    uuid = UUID(int=int(name.removeprefix("2.25.")))
    assert len(name) <= 64
    assert uuid.version == 8


def test_names_are_32_hexadecimal_characters(keyring: Keyring) -> None:
    name = key_of("patient", "Jane", keyring=keyring)
    assert len(name) == 32
    int(name, 16)


def test_padding_around_an_identifier_does_not_count(keyring: Keyring) -> None:
    assert keyring.key_of("uid", "1.2\0") == keyring.key_of("uid", "1.2")
    assert keyring.key_of("patient", " A1 ") == keyring.key_of("patient", "A1")


def test_the_phantom_key_is_the_same_everywhere() -> None:
    assert Keyring.phantom().key_of("patient", "A1") == "21ced5a08fbca49fb382f515d5ac4b31"


def test_another_key_shares_no_value(tmp_path: Path) -> None:
    one, other = Keyring.open(tmp_path / "one"), Keyring.open(tmp_path / "other")
    values = [str(number) for number in range(100)]
    kinds = (*NAME_KINDS, "uid")
    names = [{ring.key_of(kind, value) for kind in kinds for value in values} for ring in (one, other)]
    assert not names[0] & names[1]


def test_pickling_carries_a_reference_and_no_key_bytes(tmp_path: Path) -> None:
    keyring = Keyring.open(tmp_path)
    pickled = pickle.dumps(keyring)
    key = (tmp_path / KEY_FILE).read_bytes()
    assert key not in pickled
    assert key.hex().encode() not in pickled
    assert pickle.loads(pickled).key_of("patient", "A1") == keyring.key_of("patient", "A1")  # noqa: S301


def test_another_process_gives_the_same_names(tmp_path: Path) -> None:
    here = Keyring.open(tmp_path).key_of("study", "1.2.3")
    program = (
        "import sys; from pipelines.dicom.identity import Keyring;"
        "print(Keyring.open(sys.argv[1]).key_of('study', '1.2.3'))"
    )
    there = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_the_key_is_made_for_its_owner_only(tmp_path: Path) -> None:
    Keyring.open(tmp_path / "secrets")
    assert (tmp_path / "secrets" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    Keyring.open(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(UnusableInputError, match="chmod 600"):
        Keyring.open(tmp_path)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    Keyring.open(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(UnusableInputError, match="32 bytes"):
        Keyring.open(tmp_path)


@pytest.mark.parametrize("value", ["", "  ", "\0"])
def test_nothing_has_no_key(keyring: Keyring, value: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        keyring.key_of("patient", value)


def test_an_unknown_kind_is_refused(keyring: Keyring) -> None:
    with pytest.raises(ValueError, match="kind is one of"):
        keyring.key_of("pet", "Rex")  # type: ignore[arg-type]


@given(st.text(min_size=1))
def test_shifts_are_whole_weeks_between_one_and_ten_years(patient_id: str) -> None:
    days = Keyring.phantom().shift_days(patient_id)
    assert days % 7 == 0
    assert 364 <= days <= 3640
    assert days == Keyring.phantom().shift_days(f" {patient_id} ")
