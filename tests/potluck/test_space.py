"""What a Hugging Face Space is told about itself becomes the server's settings; its files agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from mcp_server.hosts import accepted_hosts
from mcp_server.settings import Settings
from potluck.space import space_settings
from tests.docs.pages import ROOT

SPACE = {"SPACE_ID": "ada/potluck", "SPACE_HOST": "ada-potluck.hf.space", "SPACE_AUTHOR_NAME": "ada"}


def test_a_space_answers_to_its_own_names_and_its_owner_is_operator(tmp_path: Path) -> None:
    two = SPACE | {"SPACE_HOST": "ada-potluck.hf.space, fl.example.org"}
    settings = Settings(**space_settings(two, tmp_path / "none"))
    assert {"ada-potluck.hf.space", "fl.example.org"} <= set(accepted_hosts(settings))
    assert settings.operators == ["ada"]
    assert not settings.check_clients
    assert settings.host == "0.0.0.0"
    assert settings.data_dir == Path("potluck-data")


def test_storage_that_lasts_is_used_where_there_is_some(tmp_path: Path) -> None:
    assert space_settings(SPACE, tmp_path)["data_dir"] == tmp_path / "potluck"


def test_what_the_owner_has_set_comes_first(tmp_path: Path) -> None:
    wishes = {"POTLUCK_OPERATORS": "grace", "POTLUCK_DATA_DIR": "elsewhere", "POTLUCK_ALLOW_HOST": "x.example"}
    assert not {"operators", "data_dir", "allow_host"} & set(space_settings(SPACE | wishes, tmp_path))


def test_the_space_and_the_image_agree_on_port_and_sdk() -> None:
    front = yaml.safe_load((ROOT / "space/README.md").read_text(encoding="utf-8").split("---")[1])
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert front["sdk"] == "docker"
    assert front["hf_oauth"] is True
    assert f"EXPOSE {front['app_port']}" in image
    assert space_settings(SPACE)["port"] == front["app_port"]
    assert len(front["short_description"]) <= 60
    assert re.findall(r"^USER (\w+)$", image, re.MULTILINE) == ["potluck"]
    assert image.rstrip().endswith('CMD ["python", "space_app.py"]')


def test_the_space_starts_from_five_lines() -> None:
    lines = (ROOT / "space_app.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 5
