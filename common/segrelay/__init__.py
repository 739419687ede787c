"""The agreement of both sides of SegRelay: manifests, names, the queue, Orthanc, errors."""
