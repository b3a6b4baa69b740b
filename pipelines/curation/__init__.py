"""What is published and how it is divided: duplicates, image quality, curation, splits and leakage.

Here: functions over the published tables (Arrow in, rows out). Not here: reading files, readers' annotations
and label quality (`labels`), where tables are kept (`lake`).
"""
