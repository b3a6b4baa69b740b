"""Readers' annotations, consensus, the run-length codec, mask measurements and label quality.

Nothing here opens a DICOM file, writes a table or knows where tables lie: functions take rows and return
rows.
"""
