import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async._wire.faults import BEIJING, parse_reset_time, parse_retry_after

NOW = datetime(2026, 3, 8, 12, tzinfo=BEIJING).timestamp()


@pytest.fixture(params=["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu"])
def _zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def reset(message, now=NOW):
    moment = parse_reset_time(message, now)
    return moment and moment.isoformat()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("0", 0.0),
        ("30", 30.0),
        (" 30\t", 30.0),
        ("1.5", 1.5),
        ("0.25", 0.25),
        ("86400", 86400.0),
        ("999999999", 999999999.0),
        ("-1", None),
        ("+1", None),
        ("1.", None),
        (".5", None),
        ("1e3", None),
        ("0x10", None),
        ("1_000", None),
        ("1,5", None),
        ("1 000", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1" * 10, 999999999.0),
        ("1" * 5000, 999999999.0),
        ("abc", None),
        ("soon, I hope", None),
        ("Sun, 08 Mar 2026 04:00:30 GMT", 30.0),
        ("Sunday, 08-Mar-26 04:00:30 GMT", 30.0),
        ("Sun, 08 Mar 2026 12:00:30 +0800", 30.0),
        ("Sun, 08 Mar 2026 03:59:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Sun, 08 Mar 2026 04:00:30", None),
        ("Sun Mar  8 04:00:30 2026", 30.0),
        ("Sun Mar 15 04:00:00 2026", 7 * 86400.0),
        ("sunday, 08-mar-26 04:00:30 gmt", 30.0),
        ("Sun, 08 Mar 2026 00:00:30 -0400", 30.0),
        ("Thursday, 08-Mar-76 04:00:00 GMT", 1577923200.0),
        ("Tuesday, 08-Mar-77 04:00:00 GMT", 0.0),
        ("Wed, 31 Dec 2025 23:59:60 GMT", 0.0),
        ("8 Mar 2026 04:01 GMT", None),
        ("Zun, 08 Mar 2026 04:00:30 GMT", None),
        ("Sun, 08 Mars 2026 04:00:30 GMT", None),
        ("Sun, 08 Mar 26 04:00:30 GMT", None),
        ("Sun, 8 Mar 2026 04:00:30 GMT", None),
        ("Sun, 08 Mar 2026 04:00 GMT", None),
        ("Sun, 08 Mar 2026 04:00:30 EST", None),
        ("Sun, 08 Mar 2026 04:00:30 +9999", 0.0),
        ("Sun, 08 Mar 2026 04:00:61 GMT", None),
        ("Sun, 01 Jan 0000 04:00:00 GMT", None),
        ("Sun, 00 Jan 2026 04:00:00 GMT", None),
        ("Sat, 01 Jan 0001 00:00:00 +0800", None),
        ("Sunday, 8-Mar-26 04:00:30 GMT", None),
        ("Sun, 08-Mar-26 04:00:30 GMT", None),
        ("Sun Mar 08 04:00:30 GMT 2026", None),
        ("Sun Mar 8 04:00:30 2026", None),
        ("Sun, 08 Mar 2026 25:00:00 GMT", None),
        ("Sun, 31 Feb 2026 04:00:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    headers = {} if value is None else {"Retry-After": value}
    assert parse_retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [("1500", 1.5), ("0", 0.0), ("0.5", 0.0005), ("-1", 7.0), ("soon", 7.0), ("", 7.0)],
)
def test_milliseconds_win_over_seconds_when_they_can_be_read(milliseconds, seconds):
    headers = {"retry-after-ms": milliseconds, "Retry-After": "7"}
    assert parse_retry_after(headers, NOW) == seconds


@pytest.mark.usefixtures("_zone")
def test_retry_after_dates_do_not_depend_on_the_zone_of_the_machine():
    assert parse_retry_after({"Retry-After": "Sun, 08 Mar 2026 07:00:00 GMT"}, NOW) == 3 * 3600


@given(st.text(), st.floats(0, 4e9))
def test_retry_after_is_never_negative_nor_endless(value, now):
    seconds = parse_retry_after({"Retry-After": value, "retry-after-ms": value[1:]}, now)
    assert seconds is None or 0 <= seconds < 1e12


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_retry_after_dates_are_read_to_the_second(moment):
    moment = moment.replace(microsecond=0)
    value = format_datetime(moment, usegmt=True)
    expected = max(0.0, moment.timestamp() - NOW)
    assert parse_retry_after({"Retry-After": value}, NOW) == expected


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Usage limit reached for 5 hour. Your limit will reset at 2026-03-08 16:30:00",
            "2026-03-08T16:30:00+08:00",
        ),
        (
            "Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-03-11 09:00:01",
            "2026-03-11T09:00:01+08:00",
        ),
        (
            "已达到 5\n小时的使用上限。您的限额将在 2026-03-08 16:30:00 重置。",
            "2026-03-08T16:30:00+08:00",
        ),
        (
            "已达到 5 小时使用上限，2026-03-08 16:30:00 后可继续使用",  # noqa: RUF001
            "2026-03-08T16:30:00+08:00",
        ),
        (
            "已达到 7 天使用上限，2026-03-14 00:00:00 后可继续使用",  # noqa: RUF001
            "2026-03-14T00:00:00+08:00",
        ),
        ("resets at 2026-03-08T16:30:00Z", "2026-03-09T00:30:00+08:00"),
        ("resets at 2026-03-08T16:30:00.123Z", "2026-03-09T00:30:00+08:00"),
        ("resets at 2026-03-08 16:30:00 +01:00", "2026-03-08T23:30:00+08:00"),
        ("resets at 2026-03-08 16:30:00-0500", "2026-03-09T05:30:00+08:00"),
    ],
)
def test_reset_times_are_beijing_wall_clock_unless_they_name_a_zone(message, expected):
    assert reset(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Rate limit reached for requests",
        "your limit will reset at some point",
        "resets at 2026-03-08 12:00:00",  # now
        "resets at 2026-03-08 11:59:59",
        "resets at 1999-01-01 00:00:00",
        "resets at 2026-13-08 16:30:00",
        "resets at 2026-02-30 16:30:00",
        "resets at 2026-03-08 24:30:00",
        "resets at 2026-03-08 16:30:00+99:99",
        "resets at 9999-12-31 23:59:59-23:59",
        "resets at ٢٠٢٦-03-08 16:30:00",
        "resets at 2026-03-17 12:00:00",  # nine days, and no window is named
        "resets at 2027-03-08 12:00:00",
    ],
)
def test_what_is_no_time_to_come_back_at(message):
    assert reset(message) is None


@pytest.mark.parametrize(
    ("window", "longest"),
    [
        ("5 hour", timedelta(hours=5)),
        ("5-hour", timedelta(hours=5)),
        ("5 Hours", timedelta(hours=5)),
        ("5小时", timedelta(hours=5)),
        ("3-day", timedelta(days=3)),
        ("7 天", timedelta(days=7)),
        ("weekly", timedelta(days=7)),
        ("每周", timedelta(days=7)),
        ("monthly", timedelta(days=31)),
        ("本月", timedelta(days=31)),
        ("Weekly/Monthly", timedelta(days=31)),
    ],
)
def test_a_reset_time_is_never_later_than_the_window_it_names(window, longest):
    present = datetime.fromtimestamp(NOW, BEIJING)
    for days in (-1, 0, 3000):
        stamp = present + longest + timedelta(days=days, seconds=-1)
        moment = parse_reset_time(f"{window} limit, resets at {stamp:%Y-%m-%d %H:%M:%S}", NOW)
        assert moment == (min(stamp, present + longest) if stamp > present else None)


def test_without_a_window_eight_days_are_the_most():
    assert reset("resets at 2026-03-16 12:00:00") == "2026-03-16T12:00:00+08:00"
    assert reset("resets at 2026-03-16 12:00:01") is None


def test_the_first_time_counts():
    assert reset("at 2026-03-08 13:00:00, or 2026-03-08 14:00:00") == "2026-03-08T13:00:00+08:00"


@pytest.mark.parametrize("window", ["1000 hours", "0 hours", "0 天"])
def test_what_is_no_window(window):
    assert reset(f"{window}, at 2026-03-09 12:00:00") == "2026-03-09T12:00:00+08:00"


@given(
    st.lists(
        st.sampled_from(
            ["5 hour ", "7 天", "month", "week", "2026-03-09", " ", "T", "12:30:00", "Z", "+08:00"]
        )
        | st.text()
    ),
    st.floats(0, 4e9),
)
def test_any_text_breaks_nothing(pieces, now):
    moment = parse_reset_time("".join(pieces), now)
    assert moment is None or moment.timestamp() > now


WINDOWS = {"": 8, "5 hour ": 5 / 24, "7 天 ": 7, "week ": 7, "month ": 31}  # days
ZONES = {"": 8, "Z": 0, "+08:00": 8}  # hours ahead of UTC


@given(
    st.integers(0, 16 * 10**9).map(lambda quarters: quarters / 4),  # seconds without a rounding
    st.integers(-60, 40 * 86400),
    st.sampled_from(list(WINDOWS)),
    st.sampled_from(list(ZONES)),
)
def test_reset_times_lie_in_the_future(now, later, window, zone):
    stamp = datetime.fromtimestamp(now + later, BEIJING).replace(microsecond=0)
    ahead = stamp.timestamp() + 3600 * (8 - ZONES[zone]) - now
    longest = timedelta(days=WINDOWS[window]).total_seconds()
    moment = parse_reset_time(f"{window}resets at {stamp:%Y-%m-%d %H:%M:%S}{zone}", now)
    assert (moment is not None) == (ahead > 0 and (window != "" or ahead <= longest))
    if moment is not None:
        assert moment.utcoffset() == timedelta(hours=8)
        assert moment.timestamp() - now == min(ahead, longest)


def test_hostile_messages_cost_no_time():
    for piece in ("1 ", "1-", "2026-", "1", " ", "5 \n"):
        assert parse_reset_time(piece * 50_000, NOW) is None
