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
    findings = doctor.examine(session.open_any_folder(tmp_path), measure=True)
    [found] = [one for one in findings if "RAM is read at" in one.detail]
    assert (found.verdict, found.hint) == ("warn" if hint else "ok", hint)
