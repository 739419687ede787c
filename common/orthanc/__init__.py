"""Talking to Orthanc over its REST API.

``settings``   address, credentials, trust
``transport``  one pooled session; every failure becomes an error of ``common.errors``
``client``     the calls that SegRelay makes
``download``   whole series to a folder, complete or refused
``crew``       its threads and what they have to do
``files``      one file, or an archive of some (``archive``), each whole or not there
``choice``     whether archives are faster
``part10``     which instance a file is

API: https://orthanc.uclouvain.be/api/
"""

from common.orthanc.client import (
    InstanceInfo,
    OrthancClient,
    SeriesInfo,
    UploadReply,
)
from common.orthanc.crew import Progress
from common.orthanc.download import download_series
from common.orthanc.settings import OrthancSettings

__all__ = [
    "InstanceInfo",
    "OrthancClient",
    "OrthancSettings",
    "Progress",
    "SeriesInfo",
    "UploadReply",
    "download_series",
]
