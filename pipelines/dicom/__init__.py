"""DICOM files: finding and reading them safely, taking identity out, describing, storing and rendering them.

Nothing here knows of labels, splits or models, and nothing outside it sees an identifier from a source.
"""
