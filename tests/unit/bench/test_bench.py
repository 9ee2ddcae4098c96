"""The benches run, and their candidates do the same work."""

from __future__ import annotations

import json
from pathlib import Path

import pikepdf
import pytest
from pydicom import dcmread

from bench import fetch, imports, memory, receive, send, soak, whole_job
from bench.peers import make_instances
from bench.shapes import make_study
from ponte.scan import scan
from tests.stub_pacs import Answer, instances, stub_pacs


@pytest.mark.parametrize("candidate", ["ours", "straightforward"])
def test_a_candidate_makes_a_page_for_each_image_and_says_its_cost(candidate: str, tmp_path: Path) -> None:
    make_study("ct", tmp_path / "study", instances=3)
    make_study("ct", tmp_path / "warm", instances=1)
    figures = whole_job.run_candidate(candidate, tmp_path / "study", tmp_path / "warm", tmp_path / "out.pdf")
    with pikepdf.open(tmp_path / "out.pdf") as pdf:
        assert len(pdf.pages) == 3
    assert figures["bytes"] == (tmp_path / "out.pdf").stat().st_size
    assert figures["cpu"] > 0
    assert 10e6 < figures["peak"] < memory.LIMIT_BYTES


@pytest.mark.parametrize("shape", ["ct", "mr"])
def test_a_generated_study_has_the_same_pixels_each_time(shape: str, tmp_path: Path) -> None:
    make_study(shape, tmp_path / "a", instances=1)
    make_study(shape, tmp_path / "b", instances=1)
    one, other = (dcmread(tmp_path / name / "00001.dcm") for name in "ab")
    assert one.PixelData == other.PixelData
    assert one.StudyInstanceUID != other.StudyInstanceUID


def test_a_study_has_as_many_instances_as_were_asked_for(tmp_path: Path) -> None:
    make_study("us", tmp_path / "more", instances=3)
    assert len(list((tmp_path / "more").iterdir())) == 3


def test_ratios_in_the_table_are_to_ours() -> None:
    figures = {"cpu": 1.0, "wall": 2.0, "bytes": 1e6, "import_cpu": 0.5}
    table = whole_job.as_table({"ct": {"ours": figures, "straightforward": {**figures, "cpu": 3.0}}})
    assert "| straightforward | 3.00 | 3.0x | 2.00 | 1.0x | 1.0 | 0.50 |" in table


@pytest.mark.parametrize("client", ["ours", "unread", "transcoded", "urllib3", "requests"])
def test_a_client_fetches_every_instance_and_says_its_cost(client: str) -> None:
    study, sizes = "1.2.3", [1000, 300_000, 0]
    rows = [
        {"0020000E": {"vr": "UI", "Value": ["1.2.4"]}, "00080018": {"vr": "UI", "Value": [f"1.2.5.{n}"]}}
        for n in range(len(sizes))
    ]
    with stub_pacs() as pacs:
        pacs.routes[f"/studies/{study}"] = instances(*(b"\0" * size for size in sizes))
        pacs.routes[f"/studies/{study}/instances"] = Answer(body=json.dumps(rows).encode())
        for number, size in enumerate(sizes):
            address = f"/studies/{study}/series/1.2.4/instances/1.2.5.{number}"
            pacs.routes[address] = instances(b"\0" * size)
        figures = fetch.run_client(client, pacs.url, study)
    assert figures["bytes"] - sum(sizes) in range(1000 if client in ("unread", "transcoded") else 1)
    assert figures["wall"] > 0


@pytest.mark.parametrize("chunk", [7, 100, 5000])
def test_the_parser_by_hand_reads_what_ours_reads(chunk: int) -> None:
    values = [b"a" * 1000, b"", b"b\r\n\r\n" * 100]
    head = "--X\r\nContent-Type: application/dicom\r\nContent-Length: {}\r\n\r\n"
    body = b"\r\n".join(head.format(len(value)).encode() + value for value in values) + b"\r\n--X--\r\n"
    chunks = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    assert list(fetch.parse_by_hand(iter(chunks))) == values
    assert set(fetch.measure_parsers(chunks, b"X", rounds=1)) == {"ours", "by hand"}


def test_imports_are_measured_as_they_ship_and_with_our_sources_compiled() -> None:
    result = imports.run(rounds=1, _shapes=())
    assert all(seconds > 0 for seconds in result["cpu"].values())
    assert {"numpy", "pydicom", "standard library"} <= set(result["packages"])
    assert "| as it ships |" in imports.as_table(result)


@pytest.mark.dcmtk
@pytest.mark.parametrize("name", ["ours", "unsynced", "storescp", "pynetdicom"])
def test_a_receiver_takes_every_instance_from_both_senders(name: str, tmp_path: Path) -> None:
    make_instances("ct", tmp_path / "study", count=4)
    figures = receive.run_once(name, tmp_path / "study", associations=2)
    assert figures["a_second"] > 0
    assert figures["pss_mb"] > 1
    with receive.server(name, tmp_path / "server") as (port, _):
        verdicts = {path: scan([path.read_bytes()]) for path in (tmp_path / "study").iterdir()}
        send.send(port, "STORESCP", verdicts)  # raises unless all were stored


def test_speed_in_the_tables_is_a_ratio_to_dcmtk() -> None:
    one, half = ({"wall": seconds, "cpu": seconds} for seconds in (1.0, 0.5))
    table = send.as_table({"ct": {"storescp": {"ours": half, "dcmsend": one}}})
    assert "| 0.500 | 1.000 | 2.00x | 1x | 0.500 | 1.000 | 0.50x | 0.8x |" in table
    fast, slow = ({"a_second": 100.0 * n, "cpu_ms": 1.0 * n, "pss_mb": 5.0} for n in (2, 1))
    latency = {"ours": {"median_ms": 1.5, "p99_ms": 9.0}}
    received = receive.as_table({"ct": {"4": {"ours": fast, "storescp": slow}, "latency": latency}})
    assert "| 0.5 MB | 4 | ours | 200 | 2.00x | 2.00 | 2.00x | 5 |" in received
    assert "| 0.5 MB | ours | 1.50 | 9.00 |" in received


def test_a_soak_says_what_is_missing_or_differs_at_a_destination() -> None:
    acknowledged = {"1": "a", "2": "b", "3": "c"}
    everything = list(acknowledged.items())
    assert soak._lost(acknowledged, {"pacs": everything, "archive": everything}) == 0
    assert soak._lost(acknowledged, {"pacs": everything, "archive": everything[1:]}) == 1
    assert soak._lost(acknowledged, {"pacs": everything, "archive": [*everything, ("2", "x")]}) == 1


def test_a_soak_tells_growth_from_another_base_after_a_start() -> None:
    first = [soak.Sample(at, at, 50.0, 0) for at in range(10, 60)]
    second = [soak.Sample(at + 100, at, 70.0, 0) for at in range(10, 60)]
    grown = [soak.Sample(at, at, 50 + at / 60, 0) for at in range(10, 60)]
    assert soak.slope_per_h([*first, *second]) == pytest.approx(0)
    assert soak.slope_per_h(grown) == pytest.approx(60)


@pytest.mark.exhaustive
def test_a_soak_of_some_instances_loses_none() -> None:
    result = soak.run(1, [], instances=300, kills=2)
    assert (result["acknowledged"], result["lost"], result["unknown"]) == (300, 0, 0)
    assert (result["kills"], result["again_otherwise"]) == (2, 0)
    assert "| lost | 0 |" in soak.as_table(result)
