"""The file reader: both formats beside scapy's and dpkt's readers, files that break off or lie, and anything at all."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapReader, wrpcap

from tests.unit.captures_support import (
    START,
    UDP_IP,
    block,
    classic,
    enhanced,
    interface,
    option,
    section,
    statistics,
)
from yanshou.formats import pcap
from yanshou.formats.packets import RAW_101
from yanshou.formats.pcap import Capture, Frame, NotACapture

FORMATS: list[Callable[[list[bytes]], bytes]] = [
    classic,
    lambda frames: section() + interface() + b"".join(enhanced(f, n) for n, f in enumerate(frames)),
]


def frames_of(data: bytes) -> tuple[list[Frame], Capture]:
    capture = Capture(io.BytesIO(data))
    return list(capture), capture


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
def test_classic_in_both_byte_orders_and_units(order: str, nano: bool) -> None:
    frames, capture = frames_of(classic([b"a" * 60, b"b" * 61], order=order, nano=nano, snaplen=100))
    part = 7 if nano else 7000
    assert frames == [(START * 10**9 + part, 1, b"a" * 60, 60), ((START + 1) * 10**9 + part, 1, b"b" * 61, 61)]
    assert (capture.format, capture.snaplen, capture.damage) == ("pcap", 100, None)


def test_a_snaplen_cuts_the_octets_and_not_the_length() -> None:
    frames, _ = frames_of(classic([b"a" * 60], snaplen=20))
    assert [(data, length) for _, _, data, length in frames] == [(b"a" * 20, 60)]


@pytest.mark.parametrize("order", "<>")
def test_pcapng_interfaces_keep_their_own_clock_and_link(order: str) -> None:
    ns = option(1, b"a comment", order) + option(9, b"\x09", order)
    binary = option(9, b"\x8a", order) + option(14, struct.pack(order + "q", 100), order)
    data = section(order) + interface(order=order) + interface(RAW_101, order, ns) + interface(1, order, binary)
    data += block(0x0BAD, b"something of a vendor", order) + statistics(9, order)
    data += enhanced(b"a" * 60, 5, 0, order) + enhanced(b"E" * 40, 5, 1, order) + enhanced(b"c" * 60, 1536, 2, order)
    data += enhanced(b"d" * 60, 6, 0, order) + enhanced(b"e" * 61, 7, 0, order)
    data += block(3, struct.pack(order + "I", 64) + b"s" * 64, order)
    data += block(2, struct.pack(order + "HH4I", 0, 0, 0, 8, 60, 60) + b"o" * 60, order)
    frames, capture = frames_of(data + section("<" if order == ">" else ">"))
    assert [(t, link, data[:1], n) for t, link, data, n in frames] == [
        (5000, 1, b"a", 60), (5, RAW_101, b"E", 40), (101_500_000_000, 1, b"c", 60), (6000, 1, b"d", 60),
        (7000, 1, b"e", 61), (0, 1, b"s", 64), (8000, 1, b"o", 60),
    ]  # fmt: skip
    assert (capture.damage, capture.dropped, capture.links) == (None, 9, {1, RAW_101})


def test_a_new_section_forgets_the_interfaces_of_the_one_before() -> None:
    one = section() + interface() + enhanced(b"a" * 60, 1)
    frames, capture = frames_of(one + section(">") + interface(RAW_101, ">") + enhanced(b"E" * 40, 2, 0, ">"))
    assert ([link for _, link, _, _ in frames], capture.damage) == ([1, RAW_101], None)
    frames, capture = frames_of(one + section() + enhanced(b"b" * 60, 2))
    assert (len(frames), capture.damage is not None) == (1, True)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xa1\xb2", b"PK\x03\x04" * 10])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(NotACapture):
        Capture(io.BytesIO(data))


def test_the_same_frames_as_scapy_and_dpkt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packets = [UDP_IP / Raw(bytes([n]) * (n % 7)) for n in range(200)]
    for n, packet in enumerate(packets):
        packet.time = START + n / 8
    wrpcap(str(tmp_path / "a.pcap"), packets)
    with PcapNgWriter(str(tmp_path / "a.pcapng")) as writer:
        for packet in packets:
            writer.write(packet)
    with PcapReader(str(tmp_path / "a.pcap")) as reader:
        theirs = [(int(p.time * 10**9), bytes(p)) for p in reader]
    for name, dpkt_reader in (("a.pcap", dpkt.pcap.Reader), ("a.pcapng", dpkt.pcapng.Reader)):
        with (tmp_path / name).open("rb") as f:
            assert [data for _, data in dpkt_reader(f)] == [data for _, data in theirs]
        for chunk in (1 << 20, 97):
            monkeypatch.setattr(pcap, "CHUNK", chunk)
            with (tmp_path / name).open("rb") as f:
                assert [(t, data) for t, _, data, _ in Capture(f)] == theirs


# ---- damage: the frames before it are there, and it is named ----------------------------------------------------------------


@pytest.mark.parametrize("made", FORMATS)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 60, 75])
def test_a_file_cut_anywhere_gives_the_frames_before_the_cut(made: Callable[[list[bytes]], bytes], size: int) -> None:
    whole = made([b"a" * 60] * 5)
    frames, capture = frames_of(whole[:-size])
    assert len(frames) == 4
    assert capture.damage is not None
    assert "截断" in capture.damage.text
    assert 0 < capture.damage.offset <= len(whole) - size
    assert frames_of(whole)[1].damage is None


def broken(position: int, value: bytes) -> bytes:
    """Three packets of pcapng, with octets of the second overwritten."""
    one = enhanced(b"a" * 60, 1)
    second = one[:position] + value + one[position + len(value) :]
    return section() + interface() + one + second + one


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(classic([b"a" * 60]) + struct.pack("<IIII", START, 0, 0xFFFFFFF0, 60) + bytes(64), id="classic"),
        pytest.param(broken(4, b"\xf0\xff\xff\xff"), id="length"),
        pytest.param(broken(4, b"\x00\x00\x00\x00"), id="no length"),
        pytest.param(broken(4, b"\x5d"), id="odd length"),
        pytest.param(broken(88, b"\x00"), id="trailer"),
        pytest.param(broken(8, b"\x09"), id="no such interface"),
        pytest.param(broken(12, b"\xff\xff\xff\xff"), id="impossible time"),
        pytest.param(broken(20, b"\xff\xff"), id="captured"),
        pytest.param(
            section() + interface() + enhanced(b"a" * 60, 1) + section()[:8] + b"junk" + bytes(16), id="order"
        ),
        pytest.param(section() + interface() + enhanced(b"a" * 60, 1) + block(1, b"\x01"), id="interface"),
    ],
)
def test_what_lies_is_damage_and_not_read_on(data: bytes) -> None:
    frames, capture = frames_of(data)
    assert len(frames) == 1
    assert capture.damage is not None


def test_a_lying_length_takes_no_memory(tmp_path: Path) -> None:
    head = classic([])
    lies = [head + struct.pack("<IIII", START, 0, size, 60) for size in (0xFFFFFFFF, 1 << 24, (1 << 24) + 1)]
    lies += [section() + struct.pack("<II", 6, size) + bytes(64) for size in (0xFFFFFFFC, 1 << 24, (1 << 24) + 4)]
    tracemalloc.start()
    try:
        for lie in lies:
            path = tmp_path / "lie"
            path.write_bytes(lie)
            with path.open("rb") as f:
                capture = Capture(f)
                assert list(capture) == []
            assert capture.damage is not None
        assert tracemalloc.get_traced_memory()[1] < 3 * pcap.LARGEST
    finally:
        tracemalloc.stop()


SEEDS = [
    classic([bytes(UDP_IP)] * 4),
    classic([bytes(UDP_IP)] * 4, order=">", nano=True),
    section() + interface() + statistics(3) + enhanced(bytes(UDP_IP), 1) * 4,
    section(">") + interface(1, ">", option(9, b"\x89", ">")) + enhanced(bytes(UDP_IP), 1, 0, ">") * 4,
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(4, 10**6), st.integers(0, 255)), max_size=12),
    st.integers(0, 40),
)
def test_whatever_bits_flip_it_only_breaks_off(seed: bytes, flips: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed[: len(seed) - cut])
    for where, value in flips:
        data[4 + where % (len(data) - 4)] = value
    frames, capture = frames_of(bytes(data))
    assert sum(len(octets) for _, _, octets, _ in frames) <= len(data)
    assert all(0 <= time < 1 << 63 for time, _, _, _ in frames)
    assert capture.offset <= len(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([seed[:4] for seed in SEEDS] + [SEEDS[2][:28], b""]), st.binary(max_size=400))
def test_random_octets_are_refused_or_break_off(head: bytes, rest: bytes) -> None:
    try:
        frames, _ = frames_of(head + rest)
    except NotACapture:
        assert (head + rest)[:4] not in {seed[:4] for seed in SEEDS}
    else:
        assert len(frames) <= len(head + rest) / 16


@pytest.mark.parametrize("made", FORMATS)
def test_the_stream_is_read_on_and_not_held(
    made: Callable[[list[bytes]], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pcap, "CHUNK", 4096)

    class Counting(io.BytesIO):
        largest = 0

        def read(self, size: Any = -1) -> bytes:
            Counting.largest = max(Counting.largest, size)
            return super().read(size)

    assert sum(1 for _ in Capture(Counting(made([b"a" * 60] * 5000)))) == 5000
    assert Counting.largest == 4096
