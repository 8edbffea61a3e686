"""What an engine reported when it loaded corrects what is placed anew."""

import json

import pytest

from reconciler.host.records import Records
from reconciler.host.state import State
from tests.placement.oracle import rpc_servers
from tests.support.engines import rpc_llama_server
from tests.support.workspace import Workspace

pytestmark = pytest.mark.slow

MIB = 1024**2
NOTE = "measured llama@a-pool"


def doctor(workspace: Workspace) -> tuple[str, str]:
    """Verdict and words about predictions."""
    findings = workspace.json("doctor", codes=(0, 1))["findings"]
    [found] = [one for one in findings if one["name"] == "placement"]
    return found["verdict"], found["detail"]


def reckoned(workspace: Workspace) -> int:
    """Bytes on the device, as the kept placement has them."""
    kept = json.loads((workspace.root / "overrides-cache" / "a-pool.json").read_text())
    [part] = kept["devices"]
    return sum(part[kind] for kind in ("model", "context", "compute", "beside"))


def test_a_prediction_that_was_too_low_is_corrected_when_the_model_is_placed_anew(
    workspace: Workspace,
) -> None:
    workspace.engine = str(rpc_llama_server())
    workspace.add("a", extra="    rollout: surge\n")
    with rpc_servers(1) as (address,):
        workspace.write()
        spec = workspace.spec / "models.yaml"
        pool = f'pool: {{gpus: [], rpc: [{{address: "{address}", vram: 2GiB}}]}}'
        text = spec.read_text().replace("cpu_only: {gpus: []}", pool)
        spec.write_text(
            text.replace("cpu_only: {port", "pool: {port").replace("flags: {", "flags: {log-verbosity: 4, ")
        )
        workspace.commit("pool")
        workspace.ok("apply", "--yes")
        assert doctor(workspace)[0] == "ok"
        first = reckoned(workspace)
        with State.open(workspace.store / "state" / "modelctl.db", create=False) as state:
            records = Records(state)
            note = records.note(NOTE)
            note["devices"][0]["reported"] = first + 10 * MIB  # as an engine would that takes more
            records.put_note(NOTE, note)
        verdict, words = doctor(workspace)
        assert verdict == "warn"
        assert words.startswith(f"llama@a-pool: 2.2 MiB reckoned on {address}")
        assert workspace.json("plan")["has_changes"] is False

        (workspace.root / "overrides-cache" / "a-pool.json").unlink()
        workspace.ok("apply", "--yes")
        assert reckoned(workspace) == first + 10 * MIB
        assert doctor(workspace)[0] == "ok"
        assert workspace.json("plan")["has_changes"] is False
