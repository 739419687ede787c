"""Talking to Orthanc over its REST API.

``settings``   address, credentials, trust
``tls``        whom we trust and who we are; what a failed handshake means
``pools``      the connections, directly or over a proxy
``failures``   every failure becomes an error of ``common.errors``
``transport``  requests with retries and time-outs
``answers``    what each answer must be
``client``     the calls that SegRelay makes
``download``   whole series to a folder, complete or refused
``crew``       its threads and what they have to do
``files``      one file, or an archive of some (``archive``), each whole or not there
``choice``     whether archives are faster
``part10``     which instance a file is

API: https://orthanc.uclouvain.be/api/
"""

from common.orthanc.answers import InstanceInfo, OddAnswerError, SeriesInfo, UploadReply
from common.orthanc.client import OrthancClient, new_history
from common.orthanc.crew import Progress
from common.orthanc.download import download_series
from common.orthanc.settings import OrthancSettings
from common.orthanc.tls import check_usable

__all__ = [
    "InstanceInfo",
    "OddAnswerError",
    "OrthancClient",
    "OrthancSettings",
    "Progress",
    "SeriesInfo",
    "UploadReply",
    "check_usable",
    "download_series",
    "new_history",
]
