"""Secrets that cannot be shown by accident, and the redaction of text that may hold them."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn
from urllib.parse import quote

__all__ = [
    "MASK",
    "UNPRINTABLE",
    "MaskedHeaders",
    "Secret",
    "forms_of",
    "masked",
    "one_line",
    "printable",
    "redact",
    "shown_fields",
    "without_frames",
]

MASK = "**********"

# A shorter run of characters would tear holes into ordinary words.
_SHORTEST = 6
# Of base64 only the part is searched for that does not depend on what was encoded before and after.
_SHORTEST_ENCODED = 12
_REFERRING = frozenset({"location", "content-location", "refresh", "link"})
_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0, DEL and C1, which terminals obey
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line ends, and what reorders a line
    "\ud800-\udfff"  # halves of pairs, which no file takes
)
UNPRINTABLE = re.compile(f"[{_CONTROLS}]")
_NOT_ONE_LINE = re.compile(f"[{_CONTROLS}\t\n]")


class Secret:
    """A string that shows up masked wherever it is printed, formatted or inspected."""

    __slots__ = ("_forms", "_read", "identity", "reveal_last")

    def __init__(self, value: str) -> None:
        # A bound method of the text: tools that print the attributes of an object see none of it.
        self._read = value.__str__
        self._forms: Callable[[], Iterator[str]] | None = None
        self.reveal_last = "".__str__
        """Returns, after ``forms()``, what must not be told even if a text is cut inside it."""
        self.identity = hash((Secret, value))
        """Tells this secret from others within this process, and nothing about it."""

    def reveal(self) -> str:
        """Return the secret itself; call it where it is sent and nowhere else."""
        return self._read()

    def parts(self) -> tuple[str, ...]:
        """Return the secret, without a scheme, and, of an ``id.secret`` key, the secret half."""
        # The half before the dot is an id and no secret; what follows it signs.
        whole = self._read()
        bare = whole.partition(" ")[2] if whole.startswith("Bearer ") else whole
        found = dict.fromkeys((whole, bare, whole.rpartition(".")[2]))
        for part in tuple(found):
            if len(part) < _SHORTEST:
                del found[part]
        return tuple(found)

    def forms(self) -> Iterator[str]:
        """Yield what a text may hold of this secret, its parts as they are and encoded."""
        if self._forms is None:
            # Worked out by the first error: a storm of them must not cost more than the calls.
            parts = self.parts()
            found = dict.fromkeys(form for part in parts for form in forms_of(part))
            self._forms = tuple(found).__iter__
            self.reveal_last = next(reversed(parts), "").__str__
        return self._forms()

    def fingerprint(self) -> str:
        """Return what tells this secret from another one, too short to tell what it is."""
        return hashlib.blake2b(self._read().encode(), digest_size=3).hexdigest()

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __bool__(self) -> bool:
        return bool(self._read())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return self.identity

    def __reduce__(self) -> NoReturn:
        msg = "secrets are not pickled; hand the key over by an environment variable"
        raise TypeError(msg)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


class MaskedHeaders(dict[str, str]):
    """Header fields of the caller's own; any of them may be a secret, so none is printed."""

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, MASK))


def masked(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return header fields that print masked."""
    return headers if isinstance(headers, MaskedHeaders) or not headers else MaskedHeaders(headers)


def shown_fields(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the header fields of an answer without what signs addresses or sessions."""
    hidden: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() in _REFERRING and "?" in value:
            # A signed address, or one that repeats a key in its query, is as good as a key.
            hidden[name] = f"{value.partition('?')[0]}?{MASK}"
        elif name.lower() == "set-cookie":
            hidden[name] = MASK
    return {**headers, **hidden} if hidden else headers


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Mask each secret, and the secret half of each ``id.secret`` key, inside a text.

    Echoes are masked as well that a server has encoded: for addresses, JSON, HTML, or as base64.
    """
    for secret in secrets if text else ():
        for form in secret.forms():
            text = text.replace(form, MASK)
        # A text that was cut may end inside a secret; the last part is what must not be told.
        part = secret.reveal_last()
        for size in range(min(len(part) - 1, len(text)), _SHORTEST - 1, -1):
            if text.endswith(part[:size]):
                text = text[:-size] + MASK
                break
    return text


def printable(text: str) -> str:
    """Escape what would steer a terminal or a viewer; ends of lines and tabs are kept."""
    return UNPRINTABLE.sub(_escaped, text)


def one_line(text: str) -> str:
    """Escape what would steer a terminal, or begin another line of a log."""
    return _NOT_ONE_LINE.sub(_escaped, text)


def without_frames(error: BaseException, *packages: str) -> BaseException:
    """Return an exception with the frames below the last one of these packages only.

    Whoever they have called sees where it failed; trackers of errors see none of their variables,
    and no exception that was kept back by ``from``.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if each.__suppress_context__:
            each.__context__ = None
        waiting += [each.__cause__, each.__context__]
        kept = trace = each.__traceback__
        while trace is not None:
            name, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
            if name.startswith(packages):
                kept = trace
        each.__traceback__ = kept
    return error


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def forms_of(part: str) -> Iterator[str]:
    """Yield what a text may hold in place of a secret; itself first, then encoded."""
    yield part
    # Echoes of letters and digits look the same in all of these.
    if not part.isalnum():
        escaped, slashed = quote(part, safe=""), json.dumps(part)[1:-1]
        lower, *codes = escaped.split("%")
        for code in codes:
            lower = f"{lower}%{code[:2].lower()}{code[2:]}"
        yield from {escaped, lower, escaped.replace("%20", "+"), quote(part), html.escape(part)}
        yield from {slashed, slashed.replace("/", r"\/")}
    data = part.encode("utf-8", "surrogatepass")
    for before in range(3):
        # Three bytes become four characters: neighbours colour the first and the last of them.
        code = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        whole = (before + len(data)) * 8 // 6
        core = code[-(-before * 8 // 6) : whole]
        if len(core) >= _SHORTEST_ENCODED:
            yield from {core, core.translate(_URL_SAFE)}
    yield data.hex()


_URL_SAFE = str.maketrans("+/", "-_")
