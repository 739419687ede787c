"""Talking to Orthanc over its REST API.

``settings``   address, credentials, trust
``tls``        whom we trust and who we are; what a failed handshake means
``pools``      the connections, directly or over a proxy
``failures``   every failure becomes an error of ``segrelay.errors``
``transport``  requests with retries and time-outs
``answers``    what each answer must be
``client``     the calls that SegRelay makes
``transcoding``
               images decoded by Orthanc, where their transfer syntax is not read here

API: https://orthanc.uclouvain.be/api/
"""

from segrelay.orthanc.answers import InstanceInfo, SeriesInfo, UnexpectedAnswerError, UploadReply
from segrelay.orthanc.client import OrthancClient, new_history
from segrelay.orthanc.settings import OrthancSettings
from segrelay.orthanc.tls import check_usable

__all__ = [
    "InstanceInfo",
    "OrthancClient",
    "OrthancSettings",
    "SeriesInfo",
    "UnexpectedAnswerError",
    "UploadReply",
    "check_usable",
    "new_history",
]
