"""Starting on Ray where a start before failed. Needs ``deploy/requirements-ray.txt``.

    python -m pytest -n 0 -m nightly tests/load/test_ray_starts.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ |= {  # as the engine sets them
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "GRPC_ENABLE_FORK_SUPPORT": "0",
}
ray = pytest.importorskip("ray")

from backend import RunRequest, load_model, run, same_run  # noqa: E402
from backend.errors import AppError  # noqa: E402
from backend.rays import cluster  # noqa: E402
from backend.rays.engine import RayEngine  # noqa: E402
from backend.settings import Settings  # noqa: E402

pytestmark = pytest.mark.nightly

NAME = "tiny-diffusion"


@pytest.fixture
def here() -> Iterator[None]:
    """Have a Ray of one node without GPUs, to which starts connect."""
    ray.init(address="local", include_dashboard=False, num_cpus=4, num_gpus=0, object_store_memory=cluster.STORE_BYTES, namespace=cluster.APP)
    yield
    ray.shutdown()


def test_a_start_that_asked_for_too_much_is_not_in_the_way_of_the_next(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import serve

    with monkeypatch.context() as brief:
        brief.setattr(cluster, "START_S", 3.0)
        with pytest.raises(AppError, match="Ray gave no replica what it needs"):
            RayEngine(Settings(engine="ray", replica_cpus=0, replica_gpus=4))
    assert {item.status.value for item in serve.status().applications.values()} <= {"DELETING"}
    engine = RayEngine(Settings(engine="ray", replica_cpus=0))
    try:
        request = RunRequest("llada", prompt="2+2=", length=4)
        events = tuple(event for batch in engine.submit(NAME, request).batches(0.0) for event in batch)
        assert same_run(events, tuple(run(load_model(NAME), request)))
    finally:
        engine.close(10.0)
