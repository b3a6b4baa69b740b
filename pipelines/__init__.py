"""From DICOM chest radiographs to evidence."""
