"""MQTT packets in the octets of a connection: found however they are cut, and never from octets that are none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.captures_support import connect, publish, said
from yanshou.formats.mqtt import CONNECT, MOST, PUBLISH, MqttStream

WHOLE = connect("dev-1") + publish("a/b", b"1") + said(0xC0, b"") + publish("c", bytes(70_000)) + publish("d", b"2")
FOUND = [(CONNECT, "dev-1", 0), (PUBLISH, "a/b", 1), (PUBLISH, "c", 70_000), (PUBLISH, "d", 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_packets_are_found_however_they_are_cut_into_segments(sizes: list[int]) -> None:
    stream, found, at = MqttStream(), [], 0
    for size in [*sizes, len(WHOLE)]:
        found += stream.segment(at, WHOLE[at : at + size])
        at += size
    assert [tuple(one) for one in found] == FOUND


def test_after_a_missing_segment_the_reader_begins_afresh() -> None:
    stream = MqttStream()
    long = publish("a", bytes(3000))
    assert [s.name for s in stream.segment(0, long[:1000])] == ["a"]
    assert [s.name for s in stream.segment(5000, publish("b", b"2"))] == ["b"]


def test_a_keep_alive_and_a_repeated_segment_say_nothing() -> None:
    stream, first = MqttStream(), publish("a", b"1")
    assert [s.name for s in stream.segment(10, first)] == ["a"]
    assert list(stream.segment(10, first)) == []
    assert list(stream.segment(10 + len(first) - 1, b"\x00")) == []
    assert [s.name for s in stream.segment(10 + len(first), publish("b", b"2"))] == ["b"]


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        said(0x30, b"\x00\x03a/+"),  # a wildcard is no topic
        said(0x36, b"\x00\x01a\x00\x01"),  # QoS 3
        said(0x10, b"\x00\x04HTTP\x04\x02\x00\x3c\x00\x01d"),
        said(0x30, b"\x00\x02\xff\xfe"),
        b"\x30\xff\xff\xff\xff\x01",
    ],
)
def test_octets_that_are_no_packet_name_nobody(octets: bytes) -> None:
    assert list(MqttStream().segment(0, octets)) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_whatever_comes_little_is_kept(parts: list[bytes]) -> None:
    stream, at = MqttStream(), 0
    for part in parts:
        list(stream.segment(at, part))
        at += len(part)
        assert len(stream._rest) <= MOST + 300
