"""The answer of a backend, passed on to the client as it comes."""

import socket
import struct
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs, web

from reconciler.gateway.answers import event_of_loss
from reconciler.gateway.headers import response_headers

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST_BLANK_LINE = 4


@dataclass(frozen=True, slots=True)
class Passed:
    """What the client got, and why it is not the whole answer; None when it is."""

    response: web.StreamResponse
    broke: str | None = None


async def pass_on(request: web.BaseRequest, answer: aiohttp.ClientResponse, begun: bytes) -> Passed:
    """Send head and body to the client, waiting for it where it is slow.

    `begun` is what was already read of the body. When the backend breaks off, the client's connection is cut,
    so that it does not take the part for the whole.
    """
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=response_headers(answer.headers)
    )
    try:
        await response.prepare(request)
        chunk, end = begun, b""
        while True:
            if chunk:
                await response.write(chunk)
                end = (end + chunk)[-_LONGEST_BLANK_LINE:]
            try:
                chunk = await answer.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                await _break_off(request, response, answer, end)
                return Passed(response, broke=str(error) or type(error).__name__)
            if not chunk:
                return Passed(response)
    except ConnectionError:  # the client left; aiohttp finds so too and is silent
        response.force_close()
        return Passed(response)


async def _break_off(
    request: web.BaseRequest, response: web.StreamResponse, answer: aiohttp.ClientResponse, end: bytes
) -> None:
    response.force_close()
    chunked = response.headers.get(hdrs.TRANSFER_ENCODING) == "chunked"
    plain = hdrs.CONTENT_ENCODING not in response.headers
    if chunked and plain and answer.content_type == "text/event-stream":
        between = b"" if not end or end.endswith(_BLANK_LINES) else b"\n\n"
        await response.write(between + event_of_loss("the model's runtime broke its answer off"))
    transport = request.transport
    if transport is None:
        return
    if not chunked and response.content_length is None:
        # The end of such an answer is the end of the connection; only a reset tells it from a cut.
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        transport.abort()
    else:
        transport.close()
