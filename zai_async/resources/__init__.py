"""The groups of operations, as a client shows them."""

from typing import Unpack

from zai_async import _operations as ep
from zai_async.models import CallParams, Quota
from zai_async.resources.account import Models
from zai_async.resources.chat import Agents, Chat, Completions
from zai_async.resources.files import Batches, Files
from zai_async.resources.media import AudioGroup, Images, Speech, Transcriptions, Videos, Voices
from zai_async.resources.resource import Listing, show_keywords
from zai_async.resources.tools import (
    OCR,
    Embeddings,
    FileParser,
    LayoutParsing,
    Moderations,
    Reader,
    Rerank,
    Tokenizer,
    WebSearchGroup,
)
from zai_async.session import SessionManager

__all__ = [
    "OCR",
    "Agents",
    "AudioGroup",
    "Batches",
    "Chat",
    "Completions",
    "Embeddings",
    "FileParser",
    "Files",
    "Images",
    "LayoutParsing",
    "Listing",
    "Models",
    "Moderations",
    "Reader",
    "Rerank",
    "Resources",
    "Speech",
    "Tokenizer",
    "Transcriptions",
    "Videos",
    "Voices",
    "WebSearchGroup",
]


class Resources:
    """Give a client one attribute for each group of operations."""

    agents: Agents
    audio: AudioGroup
    batches: Batches
    chat: Chat
    embeddings: Embeddings
    file_parser: FileParser
    files: Files
    images: Images
    layout_parsing: LayoutParsing
    models: Models
    moderations: Moderations
    ocr: OCR
    reader: Reader
    rerank: Rerank
    tokenizer: Tokenizer
    videos: Videos
    voices: Voices
    web_search: WebSearchGroup

    # Groups hold nothing but the engine, so that a derived client costs little.
    def _attach(self, manager: SessionManager) -> None:
        self._manager = manager
        self.agents = Agents(manager)
        self.audio = AudioGroup(manager)
        self.batches = Batches(manager)
        self.chat = Chat(manager)
        self.embeddings = Embeddings(manager)
        self.file_parser = FileParser(manager)
        self.files = Files(manager)
        self.images = Images(manager)
        self.layout_parsing = LayoutParsing(manager)
        self.models = Models(manager)
        self.moderations = Moderations(manager)
        self.ocr = OCR(manager)
        self.reader = Reader(manager)
        self.rerank = Rerank(manager)
        self.tokenizer = Tokenizer(manager)
        self.videos = Videos(manager)
        self.voices = Voices(manager)
        self.web_search = WebSearchGroup(manager)

    async def quota(self, **params: Unpack[CallParams]) -> Quota:
        """Ask how much of the Coding Plan is used, and when its limits are reset.

        The operation is undocumented; it belongs to the usage page of the plan.

        Source: https://docs.z.ai/devpack/overview
        """
        return await self._manager.call(ep.QUOTA, params)


show_keywords(Resources)
