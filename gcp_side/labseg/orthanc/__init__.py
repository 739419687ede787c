"""The site's Orthanc: its client, and its studies as the pages list them."""
