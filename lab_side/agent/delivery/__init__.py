"""The outbox on disk, and how its SEGs reach Orthanc and their results the bucket."""
