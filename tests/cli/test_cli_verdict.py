"""One verdict: what the engine refuses, every command refuses in the same words, before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.azure.arm_stand_in import SUBSCRIPTION, Answer, ArmStandIn
from tests.cli.test_cli_sign_in import stand_in_home
from tests.engine.tiny_models import TinyModel, write_model
from transformers import AutoTokenizer

from remora.cli.main import main
from remora.project.architectures import OWN_ATTENTION, RECURRENT, REFUSED

WEIGHTS = "adapter_model.safetensors"
COMMANDS = ("init", "plan", "up", "serve", "show", "verify", "verify --no-proof")
GPT: dict[str, Any] = {"n_embd": 48, "n_layer": 2, "n_head": 4}


class Project:
    """A base model and an adapter on it, as training left them."""

    def __init__(
        self,
        root: Path,
        architecture: str = "llama",
        lora: Mapping[str, Any] = MappingProxyType({"target_modules": ["q_proj"]}),
        **config: Any,
    ) -> None:
        self.root = root
        self.base = write_model(root / "base", architecture, **config)
        TinyModel(self.base).add_adapter("tone", r=4, **lora)
        self.adapter = root / "adapters" / "tone"

    def remora(self, command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
        """The exit code of a command, and what its error says."""
        name, *flags = command.split()
        of_adapter = ["adapters", name, str(self.adapter), *flags, "--project", str(self.root)]
        of_project = [name, str(self.root), *flags]
        extra = {"serve": ["--port", "0", "--no-auth"]}.get(name, [])
        with pytest.raises(SystemExit) as ended:
            main([*(of_adapter if name in ("show", "verify") else of_project), *extra])
        document = json.loads(capsys.readouterr().out)
        assert isinstance(ended.value.code, int)
        return ended.value.code, document.get("error", {}).get("message", "")


def recurrent(root: Path) -> Project:
    return Project(root, "mamba", {"target_modules": ["x_proj"]}, state_size=4)


def of_a_kind_that_no_table_knows(root: Path) -> Project:
    return Project(root, "openai-gpt", {"target_modules": ["c_attn"], "fan_in_fan_out": True}, **GPT)


def with_rows_and_a_dora_on_the_head(root: Path) -> Project:
    project = Project(root, lora={"target_modules": ["q_proj", "lm_head"]})
    config = project.adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_dora": True}))
    tensors = load_file(project.adapter / WEIGHTS)
    for name, tensor in list(tensors.items()):
        if name.endswith("lora_B.weight"):
            tensors[name.replace("lora_B.weight", "lora_magnitude_vector")] = torch.ones(len(tensor))
    tensors["base_model.model.model.embed_tokens.weight"] = torch.randn(260, 48)
    save_file(tensors, project.adapter / WEIGHTS, metadata={"format": "pt"})
    return project


def with_tokens_without_rows(root: Path) -> Project:
    project = Project(root)
    tokenizer = AutoTokenizer.from_pretrained(project.base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = "<|im_start|>{{ messages[0].content }}"
    tokenizer.save_pretrained(project.adapter)
    return project


def with_broken_template(root: Path) -> Project:
    project = Project(root)
    (project.base / "chat_template.jinja").write_text("{# one #}\n{% for m in messages %}{{ m.content }\n")
    return project


def with_template_that_refuses(root: Path) -> Project:
    project = Project(root)
    (project.base / "chat_template.jinja").write_text(
        "{% if messages|length < 2 %}\n{{ raise_exception('begin with a system message') }}\n{% endif %}"
    )
    return project


def without_default_template(root: Path) -> Project:
    project = Project(root)
    (project.base / "chat_template.jinja").unlink()
    path = project.base / "tokenizer_config.json"
    named = {"chat_template": [{"name": "rag", "template": "{{ messages[0].content }}"}]}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    return project


def with_broken_template_of_its_own(root: Path) -> Project:
    project = Project(root)
    (project.adapter / "chat_template.jinja").write_text("{{ messages[0].content }}\n{% endfor %}")
    return project


CASES: list[tuple[Callable[[Path], Project], str]] = [
    (recurrent, f"cannot run the mamba model in {{base}}: it has {RECURRENT}"),
    (of_a_kind_that_no_table_knows, f"cannot run the openai-gpt model in {{base}}: it has {OWN_ATTENTION}"),
    (
        with_rows_and_a_dora_on_the_head,
        "has rows of its own for tokens, and it has a DoRA or a LoRA with a bias on the output head too",
    ),
    (
        with_tokens_without_rows,
        "writes '<|im_start|>' (260), for which neither the base model nor the adapter",
    ),
    (with_broken_template, "template's line 2 is: {{% for m in messages %}}{{{{ m.content }}"),
    (
        with_template_that_refuses,
        "refuses a user's message: begin with a system message; the template's line 2",
    ),
    (without_default_template, "has no default: there are only rag"),
    (with_broken_template_of_its_own, "template's line 2 is: {{% endfor %}}"),
]


@pytest.mark.parametrize(("made", "says"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_command_refuses_in_the_same_words(
    made: Callable[[Path], Project],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = made(tmp_path / "project")
    monkeypatch.setenv("REMORA_OUTPUT", "json")
    monkeypatch.setenv("REMORA_HOME", str(tmp_path / "home"))
    if made is of_a_kind_that_no_table_knows:
        monkeypatch.delitem(REFUSED, "openai-gpt")
    for command in COMMANDS:
        code, message = project.remora(command, capsys)
        assert code in (2, 3, 5), (command, message)
        assert says.format(base=project.base) in message, command
    assert not (project.root / "infra").exists()
    assert not (tmp_path / "home" / "localcloud").exists()


def test_what_was_damaged_since_is_refused_before_anything_is_provisioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project")
    with ArmStandIn() as arm:
        arm.answers["GET", "healthz"] = Answer(200, {})
        arm.answers["GET", "subscriptions"] = Answer(
            200, {"value": [{"subscriptionId": SUBSCRIPTION, "state": "Enabled"}]}
        )
        monkeypatch.setenv("REMORA_OUTPUT", "json")
        monkeypatch.setenv("REMORA_HOME", str(stand_in_home(arm, tmp_path)))
        assert project.remora("init", capsys)[0] == 0
        (project.adapter / "chat_template.jinja").write_text("{% endfor %}")
        code, message = project.remora("up --yes", capsys)
        assert code == 5
        assert "the template's line 1 is: {% endfor %}" in message
        assert arm.changes() == []
