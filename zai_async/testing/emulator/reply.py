"""What goes back to a client: replies and refusals, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

JSON_TYPE = "application/json;charset=UTF-8"
HTML_TYPE = "text/html"
STREAM_TYPE = "text/event-stream;charset=UTF-8"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReply:
    """One answer, before any fault and before anything is sent.

    ``pieces`` are the frames of a stream, or one whole body. ``latency`` (before the headers) and
    ``pause`` (after each piece) are the seconds a real server takes; the emulator's pace scales
    them. With an empty ``content_type`` the reply does not say what it is.
    """

    pieces: tuple[bytes, ...]
    log_id: str
    status: int = 200
    content_type: str = JSON_TYPE
    latency: float = 0.0
    pause: float = 0.0

    @property
    def streams(self) -> bool:
        """Whether the body is an event stream."""
        return self.content_type.startswith("text/event-stream")


def frame(document: Any, *, event: str = "") -> bytes:
    """Encode one server-sent event with a JSON payload."""
    name = f"event: {event}\n".encode() if event else b""
    return b"%sdata: %s\n\n" % (name, msgspec.json.encode(document))


# Errors as the platform words them: a business code, its HTTP status and a message. The table is
# kept apart from the client's own, so that a mistake in one of them shows in the tests.

# The moment is part of the text and nowhere else: clients have to read it from there.
_FIVE_HOURS = "Usage limit reached for 5 hour. Your limit will reset at 2030-01-01 00:00:00"
_SEVEN_DAYS = "Weekly/Monthly Limit Exhausted. Your limit will reset at 2030-01-01 00:00:00"

CODES: dict[str, tuple[int, str]] = {
    "500": (500, "Internal error"),
    "1000": (401, "Authentication failed"),
    "1001": (401, "No Authorization header was received, authentication is not possible"),
    "1002": (401, "The token is not valid"),
    "1003": (401, "The token has expired"),
    "1004": (401, "The token could not be verified"),
    "1005": (401, "The login needs a second factor"),
    # Accounts: 429 for all of them, though no waiting helps.
    "1100": (429, "The account cannot be read or written"),
    "1110": (429, "The account is not active"),
    "1111": (429, "The account does not exist"),
    "1112": (429, "The account is locked"),
    "1113": (429, "Insufficient balance or no resource package, please recharge"),
    "1120": (429, "The account cannot be reached at the moment"),
    "1121": (429, "The account is locked because of irregular activity"),
    "1200": (500, "The API call failed"),
    "1210": (400, "API parameters are wrong"),
    "1211": (400, "The model does not exist, check the model code"),
    "1212": (400, "The model does not support this call method"),
    "1213": (400, "A parameter was not received"),
    "1214": (400, "A parameter is not valid"),
    "1215": (400, "Two parameters exclude each other"),
    "1220": (403, "No permission for this API"),
    "1221": (400, "The API is offline"),
    "1222": (400, "The API does not exist"),
    "1230": (500, "The API call did not get through its process"),
    "1231": (400, "A request with this request_id is still running"),
    "1233": (400, "The task does not exist"),
    "1234": (500, "Network error, please try again later"),
    "1261": (400, "The prompt is too long"),
    "1300": (400, "The call was blocked by policy"),
    "1301": (400, "Unsafe or sensitive content was found in the input or the output"),
    # From here on requests were too many, too soon, or too much for a plan.
    "1302": (429, "Rate limit reached for requests"),
    "1303": (429, "Requests come too often"),
    "1304": (429, "The daily quota of this API is used up"),
    "1305": (429, "The model is overloaded at the moment, please try again later"),
    "1308": (429, _FIVE_HOURS),
    "1309": (429, "The Coding Plan has expired"),
    "1310": (429, _SEVEN_DAYS),
    "1311": (429, "The plan does not include this model"),
    "1312": (429, "The model is under high traffic, please use another one"),
    "1313": (429, "The account is restricted by the fair use policy"),
    "1314": (429, "The enterprise plan is not valid"),
    "1315": (429, "The key is only for the enterprise Coding Plan"),
    "1316": (429, _FIVE_HOURS),
    "1317": (429, _SEVEN_DAYS),
    "1318": (429, _FIVE_HOURS),
    "1319": (429, _SEVEN_DAYS),
    "1320": (429, _FIVE_HOURS),
    "1321": (429, _SEVEN_DAYS),
}
"""Business code -> (HTTP status, message); https://docs.z.ai/api-reference/api-code."""

CODE_OF_STATUS = {400: "1210", 401: "1000", 403: "1220", 429: "1302", 500: "500"}
"""The code a status stands for when a script names only the status."""

PAGE = (
    b"<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n"
    b"<center><h1>%d</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
"""What the edge in front of the platform answers when it fails itself."""

WRONG_PATH = b'{"code":500,"msg":"404 NOT_FOUND","success":false}'
"""The body of an unknown path; it comes with status 200."""


class Refusal(Exception):  # noqa: N818 - not an error of this program but an answer to a client
    """Leave an operation with an error reply.

    ``status`` and ``message`` default to those of the business code.
    """

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        usual_status, usual_message = CODES.get(code, (400, f"Error {code}"))
        self.code = code
        self.status = usual_status if status is None else status
        self.message = usual_message if message is None else message
        super().__init__(f"{self.code}: {self.message}")

    @property
    def document(self) -> dict[str, Any]:
        """The error as JSON data: codes are strings on the wire."""
        return {"error": {"code": self.code, "message": self.message}}

    def reply(self, log_id: str) -> PlannedReply:
        """Build the usual answer."""
        body = msgspec.json.encode(self.document)
        return PlannedReply(pieces=(body,), log_id=log_id, status=self.status)
