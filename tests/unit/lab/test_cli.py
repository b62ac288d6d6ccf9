# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, the state of the cluster, and what of it is used again."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from lab import cli, cluster, daemon, engine, kubectl, layout, packages, preflight, shell, steps, tools, versions
from lab.cluster import Recipe
from lab.engine import OWN, Engine
from lab.errors import LabError
from lab.progress import Step

COLUMN = versions.kubernetes("1.36")
EXPORT = cluster.export_kubeconfig
RECIPE = Recipe("build", "1.36", "homeport.lab/node:v1", Path("x"), Path("y"), "key-1")


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the command line does to PATH."""
    monkeypatch.setenv("PATH", os.environ["PATH"])


def answer(monkeypatch: pytest.MonkeyPatch, text: str, code: int = 0) -> None:
    monkeypatch.setattr(
        shell, "attempt", lambda command, **options: subprocess.CompletedProcess(command, code, text, "")
    )


RUNNING = "homeport-worker running\nhomeport-control-plane running\n"


@pytest.mark.parametrize(
    ("listing", "running"),
    [
        (RUNNING, True),
        ("homeport-control-plane running\n", False),
        ("homeport-worker exited\nhomeport-control-plane running\n", False),
        ("", False),
    ],
)
def test_a_cluster_runs_when_both_nodes_do(monkeypatch: pytest.MonkeyPatch, listing: str, running: bool) -> None:
    answer(monkeypatch, listing)
    assert cluster.is_running(OWN) is running


@pytest.mark.parametrize("chosen", ["build", "pull"])
def test_both_nodes_share_the_directory_that_goes_with_the_cluster(chosen: str) -> None:
    nodes = yaml.safe_load((layout.PACKAGE / "kind" / f"{chosen}.yaml").read_text())["nodes"]
    shared = [{"hostPath": str(layout.SHARED), "containerPath": "/shared"}]
    assert [node["extraMounts"] for node in nodes] == [shared] * len(layout.NODES)


def test_down_takes_what_the_nodes_shared_when_no_engine_runs_any_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(layout, "KUBECONFIG", tmp_path / "kubeconfig")
    monkeypatch.setattr(engine, "current", lambda: None)
    (tmp_path / "shared" / "images").mkdir(parents=True)
    cli.down()
    assert not (tmp_path / "shared").exists()


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A running cluster of RECIPE, finished and answering."""
    answer(monkeypatch, RUNNING)
    monkeypatch.setattr(steps, "is_cold", lambda column: False)
    monkeypatch.setattr(tools, "built", lambda column: {})
    monkeypatch.setattr(tools, "link", lambda programs: "linked")
    monkeypatch.setattr(cluster, "export_kubeconfig", lambda engine: True)
    monkeypatch.setattr(
        steps.flavour,
        "recipe",
        lambda chosen, column, bare: dataclasses.replace(RECIPE, key="bare") if bare else RECIPE,
    )
    monkeypatch.setattr(kubectl, "read", lambda *words: {"data": {"key": "key-1"}})


@pytest.mark.usefixtures("finished")
class TestReuse:
    """A cluster is used again only if it is finished, answers, and is of the same recipe."""

    def test_the_same(self) -> None:
        assert steps.is_reusable(OWN, "build", COLUMN)

    def test_of_another_recipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kubectl, "read", lambda *words: {"data": {"key": "key-0"}})
        assert not steps.is_reusable(OWN, "build", COLUMN)

    def test_with_images_where_none_of_the_product_is_wanted(self) -> None:
        assert not steps.is_reusable(OWN, "build", COLUMN, bare=True)

    def test_half_made_or_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kubectl, "read", lambda *words: None)
        assert not steps.is_reusable(OWN, "build", COLUMN)

    def test_killed_before_it_had_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*words: object, **options: object) -> None:
            raise LabError("cat: /etc/kubernetes/admin.conf: No such file or directory")

        monkeypatch.setattr(cluster, "export_kubeconfig", EXPORT)
        monkeypatch.setattr(cluster, "kind", fail)
        assert not steps.is_reusable(OWN, "build", COLUMN)

    def test_who_reads_the_kubeconfig_meanwhile_sees_a_whole_one(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        place = tmp_path / "kubeconfig"
        place.write_text("before")
        seen: list[str] = []

        def export(_engine: Engine, *words: str) -> None:
            written = Path(words[words.index("--kubeconfig") + 1])
            written.write_text("half")
            seen.append(place.read_text())
            written.write_text("after")

        monkeypatch.setattr(layout, "STATE", tmp_path)
        monkeypatch.setattr(layout, "KUBECONFIG", place)
        monkeypatch.setattr(cluster, "export_kubeconfig", EXPORT)
        monkeypatch.setattr(cluster, "kind", export)
        assert steps.is_reusable(OWN, "build", COLUMN)
        assert (seen, place.read_text()) == (["before"], "after")

    def test_with_a_dead_node(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer(monkeypatch, RUNNING.replace("running", "exited", 1))
        assert not steps.is_reusable(OWN, "build", COLUMN)

    def test_with_programs_to_build(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(steps, "is_cold", lambda column: True)
        assert not steps.is_reusable(OWN, "build", COLUMN)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.usefixtures("finished")
def test_after_a_restart_of_the_engine_the_cluster_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, started: bool
) -> None:
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "choose", lambda wanted: (OWN, started))
    titles: list[str] = []

    def run_steps(plan: list[Step]) -> float:
        titles.extend(step.title for step in plan)
        return 1.0

    monkeypatch.setattr(cli, "run_steps", run_steps)
    cli.up("auto", "auto", COLUMN)
    assert ("Two nodes by kind" in titles) is started
    assert ("reused" in capsys.readouterr().out) is not started


def test_the_marker_says_what_the_cluster_was_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(kubectl, "run", lambda *words, stdin: seen.append(stdin))
    cluster.write_marker(RECIPE)
    assert json.loads(seen[0])["data"] == {"key": "key-1", "flavour": "build", "kubernetes": "1.36"}


def test_a_setting_from_the_environment_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path))
    monkeypatch.setenv("HOMEPORT_LAB_ENGINE", "podman")
    monkeypatch.setattr(layout, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(preflight, "check", lambda cold: "fit")
    assert cli.main(["up"]) == 1
    assert "engine must be one of auto, host, own, not podman" in capsys.readouterr().err


def test_a_missing_lock_directory_right_means_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(*words: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert cli.main(["down"]) == 1
    assert "run it as root" in capsys.readouterr().err


def test_env_can_be_evaluated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "KUBECONFIG", tmp_path / "a b" / "kubeconfig")
    monkeypatch.setattr(engine, "current", lambda: OWN)
    script = "\n".join([*cli.env_lines(), 'echo "$KUBECONFIG|$DOCKER_HOST|$PATH"'])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    kubeconfig, host, path = done.stdout.strip().split("|")
    assert (kubeconfig, host) == (f"{tmp_path}/a b/kubeconfig", daemon.HOST)
    assert path.split(":")[0] == str(layout.BIN)
    assert path.endswith(os.environ["PATH"])


def test_load_needs_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "current", lambda: None)
    with pytest.raises(LabError, match="no cluster is running"):
        cli.load("x:1")


def test_links_follow_their_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "BIN", tmp_path / "bin")
    for version in ("one", "two"):
        (tmp_path / version).write_text(version)
        tools.link({"kubectl": tmp_path / version})
        assert (tmp_path / "bin" / "kubectl").read_text() == version
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["kubectl"]


@pytest.mark.parametrize(
    ("said", "fits"), [("kind v0.33.0 go1.26", True), ("kind v0.20.0 go1.20", False), ("what", False)]
)
def test_a_kind_on_path_must_be_new_enough(monkeypatch: pytest.MonkeyPatch, said: str, fits: bool) -> None:
    monkeypatch.setattr(tools.shutil, "which", lambda name, path=None: "/usr/bin/kind")
    answer(monkeypatch, said)
    assert (tools.kind_on_path() is not None) is fits


def test_packages_are_installed_only_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"jq"}
    monkeypatch.setattr(
        packages.shutil, "which", lambda name, path=None: f"/usr/bin/{name}" if name in present else None
    )
    assert packages.missing({"jq": "jq", "dockerd": "docker.io", "docker": "docker.io"}) == ["docker.io"]
    with pytest.raises(LabError, match=r"no apt-get\); install by hand: docker.io"):
        packages.install({"dockerd": "docker.io"})
    present.add("dockerd")
    assert packages.install({"dockerd": "docker.io"}) == "present"


def test_stale_package_lists_are_refreshed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(command: list[str], log: str, env: dict[str, str]) -> None:
        ran.append(command[1])
        if ran == ["install"]:
            raise LabError("404")

    monkeypatch.setattr(shell, "logged", run)
    monkeypatch.setattr(
        packages.shutil, "which", lambda name, path=None: "/usr/bin/apt-get" if name == "apt-get" else None
    )
    assert packages.install({"jq": "jq"}) == "installed jq"
    assert ran == ["install", "update", "install"]
