"""The lake: Parquet tables, image shards and the published DuckDB warehouse.

What belongs here: how rows and pixel arrays are written, read and published, atomically and anywhere UPath
reaches. What does not: what they mean. Schemas and rules come from `data_contracts`; this room knows nothing
of radiology.
"""
