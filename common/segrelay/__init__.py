"""What both sides of SegRelay agree on: manifests, names, the queue, Orthanc, errors."""
