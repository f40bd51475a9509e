from typing import get_args

import pytest

from zai_async import _codes
from zai_async._codes import BAND, CODES, STATUSES, UNKNOWN_STATUS, Kind, Meaning, Outcome, Repeat
from zai_async.errors import API_ERRORS, APIError
from zai_async.models import options

# What https://docs.z.ai/api-reference/api-code says, written down a second time and from the
# other end: the codes of each kind and of each way to try again.
BY_KIND = {
    "auth": "1000 1001 1002 1003 1004 1005 invalid_api_key",
    "account": "1100 1110 1111 1112 1120 1121 1309 1311 1313 1314 1315",
    "billing": "1113 insufficient_quota",
    "permission": "1220",
    "request": "1210 1212 1213 1214 1215 1221 1222 1231 1261",
    "not_found": "1211 1233 model_not_found",
    "content": "1300 1301",
    "throttle": "1302 1303",
    "overload": "1305 1312",
    "quota": "1304 1308 1310 1316 1317 1318 1319 1320 1321",
    "server": "500 1200 1230 1234",
}
BY_REPEAT = {
    "short": "500 1120 1200 1230 1234",
    "throttle": "1302 1303",
    "overload": "1305 1312",
    "reset": "1308 1310 1316 1317 1318 1319 1320 1321",
}
BY_STATUS = {
    400: ("request", "never"),
    401: ("auth", "never"),
    402: ("billing", "never"),
    403: ("permission", "never"),
    404: ("not_found", "never"),
    405: ("request", "never"),
    407: ("connection", "never"),
    408: ("timeout", "short"),
    409: ("server", "short"),
    413: ("request", "never"),
    415: ("request", "never"),
    422: ("request", "never"),
    425: ("server", "short"),
    429: ("throttle", "throttle"),
    434: ("permission", "never"),
    435: ("request", "never"),
    500: ("server", "short"),
    501: ("server", "never"),
    502: ("server", "short"),
    503: ("server", "short"),
    504: ("server", "short"),
    505: ("server", "never"),
    529: ("overload", "overload"),
}


def grouped(attribute):
    groups = {}
    for code, meaning in CODES.items():
        groups.setdefault(getattr(meaning, attribute), set()).add(code)
    return groups


def test_every_code_has_its_kind():
    assert grouped("kind") == {kind: set(codes.split()) for kind, codes in BY_KIND.items()}


def test_only_what_was_refused_for_a_time_is_repeated():
    repeated = grouped("repeat")
    del repeated["never"]
    assert repeated == {repeat: set(codes.split()) for repeat, codes in BY_REPEAT.items()}


def test_every_status_has_its_meaning():
    assert {status: (m.kind, m.repeat) for status, m in STATUSES.items()} == BY_STATUS


def test_unlisted_codes_have_a_band_and_unlisted_statuses_a_class():
    assert {band: meaning.kind for band, meaning in BAND.items()} == {
        "10": "auth",
        "11": "account",
        "12": "request",
        "14": "request",
    }
    assert {digit: meaning.kind for digit, meaning in UNKNOWN_STATUS.items()} == {
        2: "server",
        3: "protocol",
        4: "request",
        5: "server",
    }


@pytest.mark.parametrize("name", ["CODES", "BAND", "STATUSES", "UNKNOWN_STATUS"])
def test_tables_use_the_words_of_the_types_and_cannot_be_changed(name):
    table = getattr(_codes, name)
    for meaning in table.values():
        assert meaning.kind in get_args(Kind)
        assert meaning.repeat in get_args(Repeat)
    with pytest.raises(TypeError):
        table["new"] = Meaning("auth")


def test_what_a_person_can_change_comes_with_a_hint():
    kinds = {"auth", "account", "billing", "permission", "throttle", "overload"}
    assert [code for code, m in CODES.items() if m.kind in kinds and not m.hint] == []


def test_every_kind_of_a_code_has_a_class_of_its_own():
    classes = {API_ERRORS.get(meaning.kind, APIError) for meaning in CODES.values()}
    assert APIError not in classes
    assert len(classes) == len(BY_KIND) - 1  # throttle and overload share RateLimitError


def test_outcomes_are_those_that_options_accept():
    assert options.CallOptions(allow=get_args(Outcome)).allow == get_args(Outcome)
