"""The queue's four stores, and others' queues over Redis, files and buckets, side by side."""
