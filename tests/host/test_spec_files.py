"""What of a spec folder is read, and what is refused before it is."""

import os

import pytest

from reconciler.core.errors import SpecError
from reconciler.core.limits import MAXIMUM_SPEC_FILE
from reconciler.host.spec_files import read_spec_folder


def test_yaml_files_are_read_by_name_and_as_they_are(tmp_path):
    (tmp_path / "b.yml").write_bytes(b"b: 1\r\n")
    (tmp_path / "a.yaml").write_bytes("\ufeffa: größer".encode())
    (tmp_path / "notes.md").write_text("no")
    (tmp_path / ".hidden.yaml").write_text("no")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.yaml").write_text("no")
    assert read_spec_folder(tmp_path) == {
        f"{tmp_path}/a.yaml": "\ufeffa: größer",
        f"{tmp_path}/b.yml": "b: 1\r\n",
    }
    assert list(read_spec_folder(str(tmp_path))) == [f"{tmp_path}/a.yaml", f"{tmp_path}/b.yml"]


def test_an_editor_s_lock_does_no_harm(tmp_path):
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / ".#a.yaml").symlink_to("somebody@host.1234")
    assert list(read_spec_folder(tmp_path)) == [f"{tmp_path}/a.yaml"]


def refused(folder):
    with pytest.raises(SpecError) as error:
        read_spec_folder(folder)
    return error.value


def test_no_folder_says_how_to_begin(tmp_path):
    error = refused(tmp_path / "spec")
    assert error.what == f"there is no spec folder `{tmp_path}/spec`"
    assert "modelctl init" in error.hint


def test_a_folder_without_yaml_is_no_empty_spec(tmp_path):
    assert refused(tmp_path).what == f"the spec folder `{tmp_path}` holds no *.yaml file"


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "spec").write_text("")
    assert refused(tmp_path / "spec").what == f"`{tmp_path}/spec` is a file; the spec is a folder"


@pytest.mark.parametrize("target", ["real.txt", "nowhere"])
def test_a_symbolic_link_is_not_followed(tmp_path, target):
    (tmp_path / "real.txt").write_text("models: []")
    (tmp_path / "a.yaml").symlink_to(target)
    error = refused(tmp_path)
    assert (error.what, str(error.where)) == ("the file is a symbolic link", f"{tmp_path}/a.yaml")


def test_a_named_pipe_does_not_make_it_wait(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    assert refused(tmp_path).what == "this is no plain file"


def test_a_large_file_is_refused_unread(tmp_path):
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(MAXIMUM_SPEC_FILE + 1)
    assert refused(tmp_path).what == "the file is larger than 8 MiB"


def test_what_is_no_text_is_placed(tmp_path):
    (tmp_path / "a.yaml").write_bytes("a: 1\nü: ".encode() + b"\xff\n")
    error = refused(tmp_path)
    assert (error.what, str(error.where)) == ("the file is not UTF-8 from here on", f"{tmp_path}/a.yaml:2:4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read(tmp_path):
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "a.yaml").chmod(0)
    assert refused(tmp_path).what == "cannot be read: Permission denied"
