"""What goes over the wire: request keywords and the answers, one module per domain."""

from zai_async.models import (
    account,
    agents,
    chat,
    chat_chunks,
    chat_params,
    documents,
    files,
    media,
    options,
    reply,
    retrieval,
    sound,
    tasks,
)
from zai_async.models.account import *
from zai_async.models.agents import *
from zai_async.models.chat import *
from zai_async.models.chat_chunks import *
from zai_async.models.chat_params import *
from zai_async.models.documents import *
from zai_async.models.files import *
from zai_async.models.media import *
from zai_async.models.options import *
from zai_async.models.reply import *
from zai_async.models.retrieval import *
from zai_async.models.sound import *
from zai_async.models.tasks import *

__all__: list[str] = []
__all__ += account.__all__
__all__ += agents.__all__
__all__ += chat.__all__
__all__ += chat_chunks.__all__
__all__ += chat_params.__all__
__all__ += documents.__all__
__all__ += files.__all__
__all__ += media.__all__
__all__ += options.__all__
__all__ += reply.__all__
__all__ += retrieval.__all__
__all__ += sound.__all__
__all__ += tasks.__all__
