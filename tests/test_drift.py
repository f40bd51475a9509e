"""The models hold every field of the published document, but for differences that have a reason."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

import msgspec
import pytest

from tests.drift import TABLE, annotations, differences, facts, json_types, main
from zai_async import _operations as ep
from zai_async._wire import Operation

ROWS = [row for row in vars(ep).values() if isinstance(row, Operation)]

BIGMODEL = "documented by bigmodel.cn only"
NEWER = "added with GLM-5.2, after the document"
SDK = "not documented; the official SDK sends it"
STREAM = "set by stream(), which is a method of its own"
RAISED = "raised instead of returned"
NEEDED = "documented as optional, yet the request makes no sense without it"
LISTED = "an object is read as a list of one, as other agents write it"

KNOWN = {
    "POST /paas/v4/chat/completions": {
        ("request", "stream", "missing"): STREAM,
        ("request", "reasoning_effort", "unlisted"): NEWER,
        ("request", "meta", "unlisted"): BIGMODEL,
        ("request", "sensitive_word_check", "unlisted"): BIGMODEL,
        ("request", "watermark_enabled", "unlisted"): BIGMODEL,
        ("request", "seed", "unlisted"): SDK,
        (
            "response",
            "choices[].message.tool_calls[].function.arguments",
            "string, not object",
        ): "the wire has JSON text there, and so have all recordings",
    },
    "POST /paas/v4/videos/generations": {
        ("request", "watermark_enabled", "unlisted"): BIGMODEL,
    },
    "POST /paas/v4/images/generations": {
        ("request", "request_id", "unlisted"): SDK,
        ("request", "watermark_enabled", "unlisted"): BIGMODEL,
    },
    "POST /paas/v4/async/images/generations": {
        ("request", "request_id", "unlisted"): SDK,
        ("request", "watermark_enabled", "unlisted"): BIGMODEL,
    },
    "POST /paas/v4/audio/transcriptions": {
        ("request", "stream", "missing"): STREAM,
        ("request", "file", "optional here"): "file_base64 does instead, says the same document",
        ("request", "response_format", "unlisted"): "documented by LowCodeAPI",
    },
    "POST /paas/v4/web_search": {
        ("request", "search_intent", "unlisted"): BIGMODEL,
        ("request", "content_size", "unlisted"): BIGMODEL,
        ("request", "include_image", "unlisted"): SDK,
        ("request", "sensitive_word_check", "unlisted"): SDK,
    },
    "POST /paas/v4/reader": {
        ("request", "request_id", "unlisted"): SDK,
        ("request", "user_id", "unlisted"): SDK,
    },
    "POST /v1/agents": {
        ("request", "stream", "missing"): STREAM,
        ("response", "error", "missing"): RAISED,
        ("response", "choices[].messages", "array, not object"): LISTED,
        ("response", "choices[].messages.content", "missing"): LISTED,
        ("response", "choices[].messages.role", "missing"): LISTED,
    },
    "POST /v1/agents/async-result": {
        ("request", "agent_id", "required here"): NEEDED,
        ("request", "async_id", "required here"): NEEDED,
        ("request", "conversation_id", "unlisted"): SDK,
        ("request", "custom_variables", "unlisted"): "a recorded refusal asks for it",
    },
    "POST /v1/agents/conversation": {
        ("request", "agent_id", "required here"): NEEDED,
        ("request", "conversation_id", "required here"): NEEDED,
        ("response", "error", "missing"): RAISED,
    },
}


def test_the_models_differ_from_the_document_only_where_there_is_a_reason():
    table = json.loads(TABLE.read_text())
    known = {(operation, *each) for operation, those in KNOWN.items() for each in those}
    assert differences(table, ROWS) == known


def test_the_document_is_known_whole():
    table = json.loads(TABLE.read_text())
    assert len(table) == 14
    assert sum(len(fields) for parts in table.values() for fields in parts.values()) > 300


# --- from the document to the table ---------------------------------------------------------

TEXT = {"type": "string"}
DOCUMENT = {
    "paths": {
        "/a": {
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}
                },
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"type": "object"}},
                            "text/event-stream": {"schema": {"properties": {"delta": TEXT}}},
                        }
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "A": {
                "oneOf": [{"$ref": "#/components/schemas/B"}, {"$ref": "#/components/schemas/C"}]
            },
            "B": {
                "required": ["model", "list"],
                "properties": {
                    "model": TEXT,
                    "list": {"type": "array", "items": {"anyOf": [{"properties": {"x": {}}}]}},
                },
            },
            "C": {
                "allOf": [
                    {"required": ["model"], "properties": {"model": {"type": "integer"}}},
                    {
                        "properties": {
                            "list": {"type": "array", "items": {"properties": {"y": TEXT}}}
                        }
                    },
                ]
            },
        }
    },
}


def test_a_document_becomes_a_table():
    assert facts(DOCUMENT) == {
        "POST /a": {
            "request": {
                "list": "array",
                "list[].x": "any",
                "list[].y": "string",
                "model": "number|string, required",
            },
            "response": {},
            "event": {"delta": "string"},
        }
    }


def test_the_command_writes_the_table(tmp_path):
    document, table = tmp_path / "openapi.json", tmp_path / "fields.json"
    document.write_text(json.dumps(DOCUMENT))
    main(str(document), table)
    assert json.loads(table.read_text()) == facts(DOCUMENT)
    table.unlink()
    command = [sys.executable, "-m", "tests.drift", str(document), str(table)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    assert json.loads(table.read_text()) == facts(DOCUMENT)


# --- from the models to the differences -----------------------------------------------------


class Inner(msgspec.Struct):
    wire: int = msgspec.field(default=0, name="onTheWire")


class Answer(msgspec.Struct):
    items: list[Inner] = []
    free: dict[str, Any] = {}
    anything: Any = None
    text: str | None = None


class Params(TypedDict, total=False):
    model: Required[str]
    size: Literal["a", "b"] | int
    parts: Sequence[Mapping[str, Any]]


ROW = Operation("x", "p", Answer, Params)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("items[].onTheWire", [int]),
        ("items[].wire", []),
        ("items.onTheWire", []),
        ("text[]", []),
        ("text.length", []),
        ("free.x", [Any]),
        ("anything[].x.y", [Any]),
    ],
)
def test_a_field_is_looked_up_step_by_step(field, found):
    assert annotations([Answer], field) == found


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (Any, {"any"}),
        (str | None, {"string", "null"}),
        (Literal["a", 1], {"string", "number"}),
        (list[int], {"array"}),
        (Sequence[str], {"array"}),
        (Mapping[str, int], {"object"}),
        (Answer, {"object"}),
        (float, {"number"}),
    ],
    ids=str,
)
def test_an_annotation_allows_json_types(annotation, kinds):
    assert json_types(annotation) == kinds


def test_every_kind_of_difference_is_found():
    table = {
        "POST /p": {
            "request": {"model": "string", "size": "boolean", "user": "object, required"},
            "response": {"items": "array", "new": "array", "new[].x": "string", "text": "any"},
        },
        "GET /gone": {"response": {"a": "object", "a.b": "string"}},
    }
    assert differences(table, [ROW]) == {
        ("POST /p", "request", "model", "required here"),
        ("POST /p", "request", "parts", "unlisted"),
        ("POST /p", "request", "size", "number|string, not boolean"),
        ("POST /p", "request", "user", "missing"),
        ("POST /p", "request", "user", "optional here"),
        ("POST /p", "response", "new", "missing"),
        ("GET /gone", "response", "a", "missing"),
    }
