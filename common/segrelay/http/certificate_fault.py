"""The meaning of a refused certificate of the queue's server.

Source: X509_V_ERR_… in OpenSSL's ``x509_vfy.h``.
"""

from __future__ import annotations

import ssl

from segrelay.errors import FixConfigurationError
from segrelay.system.causes import causes

_DATES = (9, 10)
_NAMES = (62, 64)
_AUTHORITIES = (2, 18, 19, 20, 21)


def certificate_fault(
    error: ssl.SSLCertVerificationError, server: str = "the queue's server"
) -> FixConfigurationError:
    """Make the error of a certificate that is not trusted; ``server``: whose it is."""
    if error.verify_code in _DATES:
        return FixConfigurationError(
            f"The certificate of {server} is not valid now ({error.verify_message}).",
            code="bucket-certificate",
            remedy="Check this computer's clock; if it is right, have the server's certificate "
            "renewed.",
        )
    if error.verify_code in _NAMES:
        return FixConfigurationError(
            f"The certificate of {server} is not for this host ({error.verify_message}).",
            code="bucket-certificate",
            remedy="Write the host name that the certificate holds into the queue's address.",
        )
    return FixConfigurationError(
        f"The certificate of {server} is not trusted here ({error.verify_message}).",
        code="bucket-certificate",
        remedy="Where it is of an authority of the hospital's own, or of a proxy that opens TLS, "
        "get that authority's certificate from the operator, and give the file with lab-agent "
        "setup --queue-ca-file, at the site with REQUESTS_CA_BUNDLE.",
    )


def is_of_unknown_authority(error: BaseException) -> bool:
    """Return whether a certificate was refused because its authority is not known here."""
    return any(
        isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in _AUTHORITIES
        for cause in causes(error)
    )
