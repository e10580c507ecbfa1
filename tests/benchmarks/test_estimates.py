"""Benchmark of estimates of large maps."""

from benchmarks import estimates


def test_cells_come_in_blocks(monkeypatch):
    monkeypatch.setattr(estimates, "_BLOCK_ROWS", 150)
    blocks = list(estimates.iterate_cells(400))
    assert [len(block) for block in blocks] == [150, 150, 100]
    zones = [zone for block in blocks for zone in block["zone"]]
    assert sorted(set(zones)) == list(range(100)) and zones.count(0) == 4


def test_estimates_are_measured(monkeypatch):
    monkeypatch.setattr(estimates, "_N_SAMPLES", 80)
    record = estimates.measure(900, 20)
    assert record["zones"] == 100 and record["cells"] == 900
    assert record["peak_mib"] > 100 and record["cpu_seconds"] > 0
