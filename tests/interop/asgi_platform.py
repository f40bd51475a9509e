"""A platform in a few lines of ASGI, for servers of others to serve: text in, text out."""

import json

HEAD = {"id": "asgi-1", "created": 1, "model": "glm-4.6", "object": "chat.completion"}
WORDS = ["word "] * 400


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = json.loads(body)
    kind = b"text/event-stream" if asked.get("stream") else b"application/json"
    headers = [(b"content-type", kind), (b"x-http-version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not asked.get("stream"):
        message = {"role": "assistant", "content": "".join(WORDS)}
        await write(send, json.dumps(HEAD | {"choices": [choice(message=message)]}))
        return
    for number, word in enumerate(WORDS):
        if asked["messages"][-1]["content"] == "break" and number == 200:
            raise RuntimeError("the server breaks in the middle of an answer")
        await event(send, choice(delta={"content": word}, finish=None))
    await event(send, choice(delta={}))
    await write(send, "data: [DONE]\n\n")


def choice(finish="stop", **content):
    return {"index": 0, "finish_reason": finish, **content}


async def event(send, one):
    await write(send, f"data: {json.dumps(HEAD | {'choices': [one]})}\n\n", more=True)


async def write(send, text, *, more=False):
    await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
