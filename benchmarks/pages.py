"""The parts of pages that are written by programs."""

import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1] / "docs"


def replaced(text: str, name: str, part: str) -> str:
    """Return the text of a page with another part between ``<!-- name -->`` and its end."""
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}\n{part}\n\n{found[2]}", text, flags=re.DOTALL)


def put(page: str, parts: dict[str, str]) -> None:
    """Write the parts of a page into it."""
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = replaced(text, name, part)
    path.write_text(text, encoding="utf-8")
