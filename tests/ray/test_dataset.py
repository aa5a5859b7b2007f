"""`read_dataset` and `map_processor`: the bridge to Ray Data, on a Ray of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.sample import SampleOptions, write_sample

PROGRAM = """
import json, sys
import ray
import pyarrow.compute as pc
import etl_ray
from etl_ray.dataset import dataset_schema

class OnlyBuys(etl_ray.BaseProcessor):
    def process(self, batches):
        for batch in batches:
            yield batch.filter(pc.equal(pc.cast(batch.column("taker_side"), "string"), "buy"))

if __name__ == "__main__":
    ray.init(address="local", num_cpus=2, log_to_driver=False)
    trades = etl_ray.read_dataset(sys.argv[1], channel="market_trades")
    buys = etl_ray.map_processor(trades, OnlyBuys())
    candles = etl_ray.read_dataset(sys.argv[2], channel="candles")
    print(json.dumps({
        "schema": trades.schema().base_schema.equals(dataset_schema("market_trades")),
        "ids": sorted(row["trade_id"] for row in trades.select_columns(["trade_id"]).take_all()),
        "buys": buys.count(),
        "none": candles.count(),
    }))
"""


@pytest.mark.slow
def test_a_channel_is_a_dataset_to_go_on_with(tmp_path: Path) -> None:
    write_sample(str(tmp_path / "in"), SampleOptions(minutes=0.2, products=("BTC-USD",), rate=5.0, levels=50))
    (tmp_path / "none").mkdir()
    (tmp_path / "none/empty.ndjson").touch()
    ETLJob(str(tmp_path / "in"), str(tmp_path / "out"), config=JobConfig(engine="local")).process_all()
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "program.py", "in", "none"],
        cwd=tmp_path,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])

    import pyarrow.dataset as ds

    names = ["trade_id", "taker_side", "n_copies"]
    expected = ds.dataset(tmp_path / "out/market_trades").to_table(columns=names).to_pylist()
    assert found["schema"]
    assert found["ids"] == sorted(row["trade_id"] for row in expected for _ in range(row["n_copies"])) != []
    assert found["buys"] == sum(row["n_copies"] for row in expected if row["taker_side"] == "buy")
    assert found["none"] == 0
