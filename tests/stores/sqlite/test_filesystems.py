"""What a store may lie on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores.sqlite.conftest import messages
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreUnsuitable
from umbel.stores.sqlite import opening
from umbel.stores.sqlite.filesystems import Mount, check_filesystem, mount_of

TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /srv/share rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
24 22 0:21 / /srv/share\\040two rw - cifs //server/share rw
25 22 0:22 / /tmp rw master:3 - tmpfs tmpfs rw
26 22 0:23 / /srv/share/local rw - xfs /dev/vdb rw
27 25 0:24 / /tmp rw - virtiofs over rw
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "mountinfo").write_text(TABLE)
    return str(tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/data/umbel.db", Mount("/", "ext4")),
        ("/srv/umbel.db", Mount("/", "ext4")),
        ("/srv/share/umbel.db", Mount("/srv/share", "nfs4")),
        ("/srv/shared/umbel.db", Mount("/", "ext4")),
        ("/srv/share two/umbel.db", Mount("/srv/share two", "cifs")),
        ("/srv/share/local/a/b.db", Mount("/srv/share/local", "xfs")),
        ("/tmp/umbel.db", Mount("/tmp", "virtiofs")),
    ],
)
def test_a_path_lies_on_the_deepest_mount_above_it_and_of_two_on_the_later(path: str, mount: Mount, table: str) -> None:
    assert mount_of(path, table) == mount


def test_a_local_disk_is_good(table: str) -> None:
    check_filesystem("/srv/share/local/umbel.db", table)


@pytest.mark.parametrize("path", ["/srv/share/umbel.db", "/srv/share two/umbel.db"])
def test_a_network_share_is_refused_with_the_reason_and_the_way_round(path: str, table: str) -> None:
    with pytest.raises(StoreUnsuitable, match=r"file system of kind (nfs4|cifs).*any_filesystem=1"):
        check_filesystem(path, table)


def test_where_the_system_keeps_no_table_everything_is_good(tmp_path: Path) -> None:
    assert mount_of("/umbel.db", str(tmp_path / "none")) is None
    check_filesystem("/umbel.db", str(tmp_path / "none"))


def test_a_store_on_a_bad_file_system_is_not_made_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text("22 1 254:0 / / rw - nfs server:/ rw\n")
    monkeypatch.setattr(opening, "_check_once", lambda path: check_filesystem(path, mounts=str(tmp_path / "mountinfo")))
    path = tmp_path / "umbel.db"
    with pytest.raises(StoreUnsuitable, match=f"{path} lies on /"):
        SqliteBroker(f"sqlite:///{path}", {}).publish_now(messages(1))
    assert not path.exists()
    SqliteBroker(f"sqlite:///{path}?any_filesystem=1", {}).publish_now(messages(1))
