import subprocess
import sysconfig
from pathlib import Path

import pytest

from reconciler.reconcile import doctor, session

HINT = "in the spec: settings: {{bandwidths: {{ram: {}}}}}"


@pytest.mark.parametrize(
    ("stated", "measured", "hint"),
    [
        ("", 38e9, None),
        ("ram: 200", 204e9, None),
        ("", 204e9, HINT.format(204)),
        ("ram: 200", 38e9, HINT.format(38)),
    ],
)
def test_a_measured_bandwidth_is_held_against_the_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str, measured: float, hint: str | None
) -> None:
    (tmp_path / "m.yaml").write_text(f"settings: {{bandwidths: {{{stated}}}}}\nmodels: []\n")
    monkeypatch.setenv("MODELCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(doctor, "measure_ram_bandwidth", lambda *_: measured)
    findings = doctor.examine(session.open_any_folder(tmp_path), tmp_path, measure=True)
    [found] = [one for one in findings if "RAM is read at" in one.detail]
    assert (found.verdict, found.hint) == ("warn" if hint else "ok", hint)


def test_the_line_for_crontab_runs_as_cron_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my 100% spec"
    folder.mkdir()
    (folder / "m.yaml").write_text("settings: {supervisor: supervisord}\nmodels: []\n")
    monkeypatch.setenv("MODELCTL_STORE", str(tmp_path / "store"))
    (tmp_path / "modelctl").write_text('#!/bin/sh\necho "$MODELCTL_STORE"\nfor word; do echo "$word"; done\n')
    (tmp_path / "modelctl").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    [found] = [one for one in doctor.examine(session.open_any_folder(folder), folder) if one.name == "boot"]
    line = str(found.hint).partition("@reboot ")[2].replace(r"\%", "%")
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "store"), "apply", "--yes", "--spec", str(folder)]
