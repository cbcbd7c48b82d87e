"""A stock project with its models, switched to Remora's program, and what its training would answer."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.cli.command import User
from tests.engine.tiny_models import peft_warnings_ignored
from tests.project.stock_layout import StockLayout, add_trained_models, write_stock_project
from transformers import AutoModelForCausalLM, AutoTokenizer

from remora.azure.profile import Clients, load_profile
from remora.azure.provisioning.groups import create_group, list_subscriptions
from remora.project.toolkit.parameters import changed_parameters

TUNED = {
    "SUBSCRIPTION_ID": "11111111-2222-3333-4444-555555555555",
    "RESOURCE_GROUP_NAME": "tuned",
    "STORAGE_ACCOUNT_NAME": "tunedaccount",
    "FILE_SHARE_NAME": "tunedshare",
}
PLACE_KEYS = ("RESOURCE_GROUP_NAME", "STORAGE_ACCOUNT_NAME", "FILE_SHARE_NAME")
QUESTION = "I finally got the job I wanted"
ANSWER_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Project:
    """A stock project with its models, switched to Remora's program, and its owner."""

    root: Path
    user: User
    layout: StockLayout

    def ok(self, *arguments: str) -> dict[str, Any]:
        command, *options = arguments
        ran = self.user.run(command, str(self.root), *options)
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document

    def set_parameters(self, **values: object) -> None:
        path = self.root / "infra/provision/inference.parameters.json"
        path.write_text(changed_parameters(path, values))

    def asked(self, endpoint: str) -> dict[str, Any]:
        """The adapter's answer to a conversation, greedy."""
        key = self.ok("secrets")["api_key"]
        messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": QUESTION}]
        body = {"model": "qlora", "messages": messages, "temperature": 0, "max_tokens": ANSWER_TOKENS}
        answer = httpx.post(
            f"{endpoint}/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
            timeout=400,
        )
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


def make_project(user: User, layout: StockLayout, *, resized: bool) -> Project:
    root = user.home.parent / layout.name
    write_stock_project(root, layout, finetuning=TUNED)
    add_trained_models(root, layout, resized=resized)
    project = Project(root, user, layout)
    assert project.ok("import", "--write")["switch"]["written"] is True
    return project


def tune(user: User, layout: StockLayout, root: Path) -> Path:
    """Do as a fine-tuning step: make its group, account and share with models on it; returns the share.

    `root` gets the same models, to be asked what training would answer.
    """
    assert user.run("cloud", "start").code == 0
    first = Clients(load_profile("local", user.home), "")
    clients = first.for_subscription(list_subscriptions(first)[0][0])
    group, account, name = (TUNED[key] for key in PLACE_KEYS)
    create_group(clients, group, "northeurope")
    storage = {"location": "northeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    clients.storage.storage_accounts.begin_create(group, account, storage).result()
    clients.storage.file_shares.create(group, account, name, {})
    add_trained_models(root, layout)
    share = user.home / "cloud" / "shares" / account / name
    shutil.copytree(root, share, dirs_exist_ok=True)
    return share


def train_on(root: Path, share: Path, layout: StockLayout) -> None:
    """Another training of the same job: other weights, in the same folder of share and `root`."""
    path = root / layout.adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name: -each if "lora_B" in name else each for name, each in tensors.items()}, path)
    shutil.copyfile(path, share / layout.adapter / path.name)


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of `resolved`."""
    return {row["name"]: row for row in document["resolved"]}


def as_trained(project: Project) -> tuple[int, str]:
    """How many tokens the prompt of training has, and what the model of training makes of it."""
    layout = project.layout
    tokenizer = AutoTokenizer.from_pretrained(project.root / layout.base)
    ids = tokenizer(layout.prompt_template.format(QUESTION), return_tensors="pt")["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(project.root / layout.base, dtype=torch.float32)
    weights = (project.root / layout.adapter / "adapter_model.safetensors").read_bytes()
    if b"embed_tokens" in weights:
        model.resize_token_embeddings(model.config.vocab_size + 1, mean_resizing=False)
    with peft_warnings_ignored():
        model = PeftModel.from_pretrained(model, project.root / layout.adapter)
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=ANSWER_TOKENS,
        pad_token_id=0,
    )
    text: str = tokenizer.decode(
        made[0, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return ids.shape[1], text
