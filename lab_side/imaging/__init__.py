"""From DICOM series to a DICOM SEG. Only the GPU worker process imports this package."""
