"""What the browser may do with the page: run its one script, show what is in it, and nothing else."""

import base64
import hashlib


def content_security_policy(script: str | None = None) -> str:
    """A policy for a page with one inline script, or none: no request, no other script, no form.

    The script is allowed by its hash: of all that could find its way into a page from captions and names, nothing runs.
    Styles written into elements are allowed, as bars are as long as they say; they could request nothing.
    """
    digest = base64.b64encode(hashlib.sha256((script or "").encode("utf-8")).digest()).decode("ascii")
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'none'" if script is None else f"script-src 'sha256-{digest}'",
            "img-src data:",
            "style-src 'unsafe-inline'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
