"""HTTP for downloads: every address and every redirect is checked, and every wait ends.

On `http.client`: one raw read hands over what the socket has (`read1`), which a watch over the rate of a
connection needs, and a connection can be made to the very address that was checked.
"""

import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Self
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.addresses import AddressPolicy, connect
from reconciler.host.artifacts.errors import TransientError
from reconciler.host.artifacts.limits import Limits

MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_MOST_DIGITS = 18
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_HEADERS = {"User-Agent": "modelctl", "Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Origin:
    """What must be equal for a credential to be sent: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        parts = _split(url)
        default = http.client.HTTPS_PORT if parts.scheme == "https" else http.client.HTTP_PORT
        return cls(parts.scheme, (parts.hostname or "").lower(), parts.port or default)


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A bearer token, and the only origin that may ever see it."""

    origin: Origin
    value: str


class Answer:
    """A server's answer: its status and headers at once, its body as it is read."""

    def __init__(self, response: http.client.HTTPResponse, connection: "_Connection", url: str) -> None:
        self.status = response.status
        self.headers: Message = response.headers
        self.url = url
        self._response = response
        self._connection = connection

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    @property
    def length(self) -> int | None:
        """How many bytes the body has, where the server says so."""
        return None if self._response.chunked else whole_number(self.headers.get("Content-Length"))

    def read(self, most: int) -> bytes:
        """What has arrived, at least one byte; empty at the end of the body."""
        with _worded(self.url):
            return self._response.read1(most)

    def finish(self) -> None:
        """Leave the connection fit for the next request where nothing is left to read, else close it."""
        if self._response.length == 0:
            self._response.read()
        else:
            self._connection.close()


class Client:
    """One thread's connections; `abort` may be called from any thread."""

    def __init__(self, policy: AddressPolicy, limits: Limits) -> None:
        self._policy = policy
        self._limits = limits
        self._connections: dict[Origin, _Connection] = {}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def abort(self) -> None:
        """Make whatever waits on these connections fail now."""
        for connection in tuple(self._connections.values()):
            connection.abort()

    def head(self, url: str, *, token: Token | None = None) -> Answer:
        """The answer to HEAD, following redirects within the origin (the hub renames repositories).

        A redirect that leads away says where the bytes are, and is the answer.
        """
        return self._follow("HEAD", url, {}, token, within_origin=True)

    def get(self, url: str, headers: Mapping[str, str], *, token: Token | None = None) -> Answer:
        """The answer to GET, following at most `MOST_REDIRECTS` redirects, each checked as the first address
        is.

        TransientError for what is worth another try; SourceError for a redirect or an address that is
        refused. Other statuses are the caller's to judge.
        """
        return self._follow("GET", url, headers, token, within_origin=False)

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], token: Token | None, *, within_origin: bool
    ) -> Answer:
        first = url
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._exchange(method, url, headers, token)
            if answer.status in _TRANSIENT:
                answer.finish()
                raise TransientError(
                    f"{Origin.of(url).host} answered {_status(answer.status)}",
                    retry_after=_retry_after(answer.header("Retry-After")),
                )
            location = answer.header("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            target = _joined(url, location)
            if within_origin and Origin.of(target) != Origin.of(url):
                return answer
            answer.finish()
            url = target
        raise SourceError(
            f"{Origin.of(first).host} redirects more than {MOST_REDIRECTS} times",
            hint="open the source's address in a browser to see where it leads",
        )

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], token: Token | None) -> Answer:
        origin = Origin.of(url)
        self._check(origin)
        credentials = {"Authorization": f"Bearer {token.value}"} if token and token.origin == origin else {}
        connection = self._connections.get(origin)
        if connection is None:
            connection = self._connections[origin] = _Connection(origin, self._policy, self._limits)
        with _worded(url), connection.deadline(self._limits.answer_seconds):
            connection.request(method, _selector(url), headers={**_HEADERS, **headers, **credentials})
            return Answer(connection.getresponse(), connection, url)

    def _check(self, origin: Origin) -> None:
        if origin.scheme == "https" or (origin.scheme == "http" and self._policy.allows_host(origin.host)):
            return
        if origin.scheme == "http":
            raise SourceError(
                f"http://{origin.host} is not encrypted, so anyone between could change the file",
                hint=f"use https://, or add {origin.host} to settings.sources.allow_private in the spec",
            )
        raise SourceError(
            f"a redirect leads to {origin.scheme}://, where downloads may not go",
            hint="open the source's address in a browser to see where it leads",
        )


class _Connection(http.client.HTTPConnection):
    """To a checked address, with a bound on how long an answer may take."""

    def __init__(self, origin: Origin, policy: AddressPolicy, limits: Limits) -> None:
        super().__init__(origin.host, origin.port, timeout=limits.stall_seconds)
        # So that the Host header leaves a scheme's usual port out, as browsers do.
        self.default_port = http.client.HTTPS_PORT if origin.scheme == "https" else http.client.HTTP_PORT
        self._origin = origin
        self._policy = policy
        self._limits = limits
        self._aborted = False

    def connect(self) -> None:
        self.sock = connect(self._origin.host, self._origin.port, self._policy, self._limits.connect_seconds)
        self.sock.settimeout(self._limits.stall_seconds)
        if self._origin.scheme == "https":
            self.sock = _tls().wrap_socket(
                self.sock, server_hostname=self._origin.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def abort(self) -> None:
        self._aborted = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(2)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """End an exchange that trickles: socket timeouts alone start anew with every byte."""
        self._aborted = False
        timer = threading.Timer(seconds, self.abort)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException):
            self.close()
            if not self._aborted:
                raise
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
        if self._aborted:  # a header that was cut short looks complete to http.client
            self.close()
            raise TransientError(f"{self._origin.host} did not answer within {seconds:g} s")


def whole_number(text: str | None) -> int | None:
    """A size as headers write it; None for anything that no file can have."""
    return int(text) if text and text.isdecimal() and len(text) <= _MOST_DIGITS else None


@contextmanager
def _worded(url: str) -> Iterator[None]:
    """Turn what a connection can raise into our errors. Only the host is named: a query may be secret."""
    host = Origin.of(url).host
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise SourceError(
            f"the certificate of {host} is not trusted: {error.verify_message}",
            hint="check the machine's clock; for a certificate of your own authority set SSL_CERT_FILE",
        ) from None
    except TimeoutError:
        raise TransientError(f"{host} sent nothing for too long") from None
    except http.client.InvalidURL:
        raise SourceError(
            f"{host}: the address holds a forbidden character", hint="use another source"
        ) from None
    except http.client.HTTPException as error:
        raise TransientError(f"{host} broke the protocol: {type(error).__name__}") from None
    except OSError as error:
        raise TransientError(f"the connection to {host} broke: {error.strerror or error}") from None


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not any((paths.cafile, paths.capath)):
        # Python from python.org on a Mac has no authorities of its own.
        import certifi  # noqa: PLC0415 - only where the system has none

        context.load_verify_locations(certifi.where())
    return context


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SourceError(f"a redirect leads to no web address: {error}", hint="use another source") from None
    return parts


def _joined(url: str, location: str) -> str:
    _split(location)
    return urljoin(url, location)


def _selector(url: str) -> str:
    parts = _split(url)
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    return f"{path}?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else path


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _retry_after(text: str | None) -> float | None:
    """Seconds; the form with a date is left to the usual back-off."""
    return float(text) if text and text.strip().isdecimal() else None
