"""Series from Orthanc to a folder, each complete or refused.

``download``       the call: series in, files out
``inventory``      what a series holds, before its first file and after its last
``download_pool``  the threads and what they still have to do
``files``          one file, an archive of some (``archive``), or a series in one answer
                   (``whole_series``, ``multipart``), each file whole or not there
``wanted_parts``   which instances are of the parts that a job names
``transfer_mode``  whether archives are faster
"""

from lab_side.download.download import DownloadedSeries, download_series
from lab_side.download.download_pool import Progress

__all__ = ["DownloadedSeries", "Progress", "download_series"]
