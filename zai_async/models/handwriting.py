"""Reading handwriting (bigmodel.cn): https://docs.bigmodel.cn/api-reference."""

from typing import Literal, Required

from msgspec import Struct, field

from zai_async.models.reply import Reply
from zai_async.models.uploads import FileInput, UploadParams


class HandwritingParams(UploadParams, total=False):
    """Hold the picture of something written by hand."""

    file: Required[FileInput]
    tool_type: Literal["hand_write"]
    """The only one there is, sent when it is left out."""
    language_type: str
    """``CHN_ENG``, ``AUTO``, ``ENG``, ``JAP``, ``KOR`` and more."""
    probability: bool
    """Whether to tell how sure the reading is; default false."""


class HandwritingLocation(Struct, kw_only=True):
    """Say where a line is, in pixels."""

    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0


class HandwritingProbability(Struct, kw_only=True):
    """Say how sure the reading of a line is, from 0 to 1."""

    average: float = 0.0
    variance: float = 0.0
    min: float = 0.0


class HandwritingLine(Struct, kw_only=True):
    """Hold one line."""

    words: str = ""
    location: HandwritingLocation = field(default_factory=HandwritingLocation)
    probability: HandwritingProbability | None = None
    """Only when it was asked for."""


class Handwriting(Reply, kw_only=True):
    """Hold what is written."""

    task_id: str = ""
    status: str = ""
    """``succeeded`` or ``failed``."""
    message: str = ""
    words_result_num: int = 0
    words_result: list[HandwritingLine] = field(default_factory=list)

    @property
    def lines(self) -> list[HandwritingLine]:
        """The lines from top to bottom."""
        return self.words_result

    @property
    def text(self) -> str:
        """The words of all lines, one line each."""
        return "\n".join(line.words for line in self.words_result)
