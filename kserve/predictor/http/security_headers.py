"""Headers that every answer carries, so that a browser does nothing with it that the page did not mean."""

from collections.abc import Iterable

Header = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


def missing_from(headers: Iterable[Header]) -> list[Header]:
    """Return the security headers that an answer with these headers does not set itself."""
    names = {name.lower() for name, _ in headers}
    return [header for header in SECURITY_HEADERS if header[0] not in names]
