"""The client without ``await``: the same names over an event loop in a thread.

from zai_async.sync import Zai

with Zai() as zai:
    print(zai.chat.completions.create(model="glm-5.3", messages="Hi").text)
    for text in zai.chat.completions.stream(model="glm-5.3", messages="Hi").text:
        print(text, end="")
"""

from zai_async.sync.client import Zai

__all__ = ["Zai"]
