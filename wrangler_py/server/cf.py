"""What `request.cf` holds where no edge is in front of the worker: the placeholder that miniflare uses when it cannot fetch a
real one (recorded from wrangler 4.86, offline).
"""

from __future__ import annotations

from typing import Any

_NO_CLIENT_CERTIFICATE = dict.fromkeys(
    (
        "certIssuerDN", "certSubjectDN", "certIssuerDNRFC2253", "certSubjectDNRFC2253", "certIssuerDNLegacy",
        "certSubjectDNLegacy", "certSerial", "certIssuerSerial", "certSKI", "certIssuerSKI", "certFingerprintSHA1",
        "certFingerprintSHA256", "certNotBefore", "certNotAfter",
    ),
    "",
)  # fmt: skip

PLACEHOLDER: dict[str, Any] = {
    "asOrganization": "",
    "asn": 395747,
    "colo": "DFW",
    "city": "Austin",
    "region": "Texas",
    "regionCode": "TX",
    "metroCode": "635",
    "postalCode": "78701",
    "country": "US",
    "continent": "NA",
    "timezone": "America/Chicago",
    "latitude": "30.27130",
    "longitude": "-97.74260",
    "clientTcpRtt": 0,
    "httpProtocol": "HTTP/1.1",
    "requestPriority": "weight=192;exclusive=0",
    "tlsCipher": "AEAD-AES128-GCM-SHA256",
    "tlsVersion": "TLSv1.3",
    "tlsClientAuth": {"certPresented": "0", "certVerified": "NONE", "certRevoked": "0", **_NO_CLIENT_CERTIFICATE},
    "edgeRequestKeepAliveStatus": 0,
    "clientTrustScore": 99,
    "botManagement": {
        "corporateProxy": False,
        "verifiedBot": False,
        "ja3Hash": "25b4882c2bcb50cd6b469ff28c596742",
        "staticResource": False,
        "detectionIds": [],
        "score": 99,
    },
    "clientAcceptEncoding": "",
}
