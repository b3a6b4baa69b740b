"""Stages whose store, tables and shards lie in a bucket of an S3-compatible server on loopback, worked on by Ray."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

pytestmark = pytest.mark.slow
_TABLES = ("instances", "images", "annotations", "masks", "splits", "curated", "quality_findings")


def _run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "pdeseray.toml").write_text(
        "[cohorts.siim]\nrole = 'pretrain'\nphantom = { kind = 'siim', radiographs_n = 24, seed = 4 }\n"
    )
    environment = {
        **os.environ,
        "PDESERAY_SECRETS": str(folder / "secrets"),
        "PDESERAY_WORKERS": "2",
        **variables,
    }
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.run(
        [Path(sys.executable).parent / "pdeseray", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tables_in_a_bucket_are_those_of_a_folder(s3_endpoint: str, tmp_path: Path) -> None:
    import s3fs

    bucket = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=s3_endpoint)
    bucket.mkdir("radiology")
    there = {
        "PDESERAY_STORAGE": "s3://radiology/home",
        "PDESERAY_ENGINE": "ray",
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for variables, name in ((there, "bucket"), ({}, "folder")):
        done = _run(tmp_path / name, "run", "--select", "siim/", "--json", **variables)
        assert done.returncode == 0, done.stderr[-3000:]
    again = json.loads(_run(tmp_path / "bucket", "run", "--select", "siim/", "--json", **there).stdout)
    assert not again["launched"]
    left = {path.name for path in (tmp_path / "bucket" / ".pdeseray").iterdir()}
    assert not left & {"store", "tables", "shards"}

    with duckdb.connect() as connection:
        connection.register_filesystem(bucket)
        for table in _TABLES:
            here = (tmp_path / "folder" / ".pdeseray" / "tables" / table / "*.parquet").as_posix()
            remote = f"s3://radiology/home/tables/{table}/*.parquet"
            mine, theirs = connection.read_parquet(remote), connection.read_parquet(here)
            assert mine.fetchall(), table
            assert mine.except_(theirs).fetchall() == theirs.except_(mine).fetchall() == [], table
