"""A URL's scheme leads to its adapter, whoever offers it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from umbel import plug
from umbel.errors import ConfigurationError, MissingExtra

Offer = Callable[[str, str], None]


@pytest.fixture
def offer(tmp_path: Path) -> Iterator[Offer]:
    """Installs a package ``carrier`` whose entry points are given, and whose module has the text given."""
    sys.path.insert(0, str(tmp_path))

    def install(entry_points: str, text: str) -> None:
        (tmp_path / "carrier.py").write_text(text)
        about = tmp_path / "umbel_carrier-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: umbel-carrier\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entry_points)

    yield install
    sys.path.remove(str(tmp_path))
    sys.modules.pop("carrier", None)


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_umbels_own_adapters_need_no_entry_point(scheme: str) -> None:
    broker = plug.broker_class(f"{scheme}:///x")
    backend = plug.backend_class(f"{scheme.upper()}:///x")
    assert broker.__module__.startswith(f"umbel.brokers.{scheme}")
    assert backend.__module__.startswith(f"umbel.backends.{scheme}")


def test_an_adapter_of_another_package_is_found_by_its_entry_point(offer: Offer) -> None:
    offer(
        "[umbel.brokers]\npigeon = carrier:Broker\n[umbel.backends]\npigeon = carrier:Backend\n",
        "class Broker: pass\nclass Backend: pass\n",
    )
    assert plug.broker_class("pigeon://loft").__name__ == "Broker"
    assert plug.backend_class("PIGEON://loft").__name__ == "Backend"


def test_whether_a_broker_keeps_results_is_known_without_importing_it(offer: Offer) -> None:
    offer(
        "[umbel.brokers]\npigeon = carrier:Broker\nowl = carrier:Broker\n[umbel.backends]\npigeon = carrier:Backend\n",
        "raise RuntimeError\n",
    )
    assert plug.has_backend("memory://")
    assert plug.has_backend("sqlite:///umbel.db")
    assert plug.has_backend("pigeon://loft")
    assert not plug.has_backend("owl://loft")


@pytest.mark.parametrize("find", [plug.broker_class, plug.backend_class])
def test_an_unknown_scheme_is_an_error_with_all_known_and_the_nearest(find: Callable[[str], type]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"'sqlit'; there are .*memory://.*, sqlite://.*; did you mean sqlite://\?"
    ):
        find("sqlit:///umbel.db")


def test_the_error_of_an_unknown_scheme_does_not_repeat_the_url() -> None:
    with pytest.raises(ConfigurationError) as caught:
        plug.broker_class("pigeon://user:sesame@loft")
    assert "sesame" not in str(caught.value)


def test_an_adapter_of_another_package_that_does_not_import_names_the_package(offer: Offer) -> None:
    offer("[umbel.brokers]\npigeon = carrier:Broker\n", "import a_driver_that_is_missing\n")
    with pytest.raises(
        ConfigurationError, match=r"package umbel-carrier .* No module named 'a_driver_that_is_missing'"
    ):
        plug.broker_class("pigeon://loft")


def test_an_adapter_of_another_package_that_is_not_there_names_the_package(offer: Offer) -> None:
    offer("[umbel.brokers]\npigeon = carrier:Broker\n", "")
    with pytest.raises(ConfigurationError, match="package umbel-carrier as carrier:Broker, which does not load"):
        plug.broker_class("pigeon://loft")


def test_an_adapter_that_is_no_class_is_refused(offer: Offer) -> None:
    offer("[umbel.brokers]\npigeon = carrier:Broker\n", "def Broker(url, settings): pass\n")
    with pytest.raises(ConfigurationError, match=r"pigeon:// \(carrier:Broker of umbel-carrier\) is <function"):
        plug.broker_class("pigeon://loft")


def test_an_own_adapter_without_its_driver_says_what_to_install(offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    offer("", "import a_driver_that_is_missing\n")
    monkeypatch.setitem(plug._OWN[plug.BROKER_GROUP], "pigeon", plug._Adapter("carrier:Broker", extra="pigeon"))
    with pytest.raises(MissingExtra, match=r"^broker pigeon:// needs .*: pip install 'umbel\[pigeon\]'$"):
        plug.broker_class("pigeon://loft")


def test_a_broken_installation_is_not_taken_for_a_missing_driver(offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    offer("", "import umbel.a_module_that_is_missing\n")
    monkeypatch.setitem(plug._OWN[plug.BROKER_GROUP], "pigeon", plug._Adapter("carrier:Broker", extra="pigeon"))
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        plug.broker_class("pigeon://loft")
