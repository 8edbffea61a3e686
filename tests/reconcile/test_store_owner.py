"""Where root applies, units run as the owner of the store, and can use what root made for them."""

import os
from pathlib import Path

import pytest

from reconciler.core.routes import Snapshot
from reconciler.host.gateway import write_snapshot
from reconciler.reconcile.site import open_site
from reconciler.spec.settings import Settings

_NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes things for others")
def test_what_root_makes_is_the_store_owners(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    os.chown(store, _NOBODY, -1)
    site = open_site(Settings(supervisor="systemd", store=str(store)), tmp_path / "spec", {})
    site.make_folders()
    snapshot = Path(site.places.gateway_snapshot)
    write_snapshot(snapshot, Snapshot({}))
    made = (Path(site.places.state), Path(site.places.sockets), Path(site.places.logs), snapshot)
    assert [path.stat().st_uid for path in made] == [_NOBODY] * 4
    assert snapshot.stat().st_mode & 0o777 == 0o600
