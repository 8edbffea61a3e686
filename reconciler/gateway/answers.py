"""The gateway's own answers, in the shape that OpenAI clients read."""

import json
from collections.abc import Mapping

from aiohttp import web

RETRY_SECONDS = 1


def refusal(
    status: int, message: str, code: str, *, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error of `status`; 5xx is the server's, everything else the request's."""
    return web.Response(
        status=status,
        body=json.dumps(
            error_document(message, code, of_server=status >= web.HTTPInternalServerError.status_code)
        ),
        content_type="application/json",
        headers=headers,
    )


def unavailable(message: str) -> web.Response:
    """503: not now. Clients of OpenAI's libraries try again after `Retry-After`."""
    return refusal(503, message, "model_unavailable", headers={"Retry-After": str(RETRY_SECONDS)})


def lost(message: str) -> web.Response:
    """502: the backend had the request and gave no answer."""
    return refusal(502, message, "backend_lost")


def event_of_loss(message: str) -> bytes:
    """The last event of a stream that cannot go on."""
    document = error_document(message, "backend_lost", of_server=True)
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def error_document(message: str, code: str, *, of_server: bool) -> dict[str, object]:
    kind = "server_error" if of_server else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
