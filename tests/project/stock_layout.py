"""Projects in AI Toolkit's layout, as its scaffolding and a fine-tuning job leave them; the base is tiny.

Our own writing: names, folders, keys and values are the contract, the text of the files is not Microsoft's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TONE_TEMPLATE = "### Text: {}\n### The tone is:\n"
TONE_TEXTS = "### Text: {phrase}\n### The tone is:\n{tone}"
CHAT_TEMPLATE = "<|user|>\n{}<|end|>\n<|assistant|>"
CHAT_TEXTS = "<|user|>\n{phrase}<|end|>\n<|assistant|>\n{tone}<|end|>"
BICEP = Path(__file__).with_name("stock_inference.bicep")
STOCK_COMMANDS = (
    "cd /mount",
    "pip install torch==2.4.0 transformers==4.43.4 bitsandbytes==0.43.1 peft==0.10.0 einops==0.8.0"
    " gradio==4.43.0 sse-starlette==2.1.2 einops==0.8.0",
    "cd /mount/inference",
    "python3 ./gradio_chat.py",
)
INFERENCE_KEYS = (
    "SUBSCRIPTION_ID",
    "RESOURCE_GROUP_NAME",
    "STORAGE_ACCOUNT_NAME",
    "FILE_SHARE_NAME",
    "ACA_APP_NAME",
    "ACA_APP_ENDPOINT",
)
FINETUNING_KEYS = (*INFERENCE_KEYS[:4], "ACA_JOB_NAME")
NAMES = (
    "location",
    "storageAccountName",
    "fileShareName",
    "acaEnvironmentName",
    "acaEnvironmentStorageName",
    "acaLogAnalyticsName",
)
PROGRAM = '''"""Chat with the fine-tuned model."""
import argparse

from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--baseonly", action="store_true")
args = parser.parse_args()

model_name = "../{script_model}"
adapters_name = "../{adapter}"  # written by the fine-tuning job

tokenizer = AutoTokenizer.from_pretrained(model_name)
tokenizer.add_special_tokens({{"pad_token": "[PAD]"}})
model = AutoModelForCausalLM.from_pretrained(model_name)
model.resize_token_embeddings(len(tokenizer))


def prompt_of(text):
    template = {template}
    return text if args.baseonly else template.format(text)
'''


@dataclass(frozen=True, slots=True)
class StockLayout:
    """One of AI Toolkit's base models: what differs between their workspaces.

    `script_model` is the base as the scripts name it, `downloaded` where the fine-tuning job puts it: not
    always the same.
    """

    name: str
    hub: str
    script_model: str
    downloaded: str
    adapter_folder: str
    architecture: str
    prompt_template: str = TONE_TEMPLATE
    text_template: str = TONE_TEXTS

    @property
    def base(self) -> str:
        return f"model-cache/{self.downloaded}"

    @property
    def adapter(self) -> str:
        return f"models/qlora/qlora/{self.adapter_folder}/adapter"


LAYOUTS = (
    StockLayout(
        name="Phi-3-mini-4k-instruct",
        hub="microsoft/Phi-3-mini-4k-instruct",
        script_model="microsoft/Phi-3-mini-4k-instruct",
        downloaded="microsoft/Phi-3-mini-4k-instruct",
        adapter_folder="gpu_model",
        architecture="phi3",
        prompt_template=CHAT_TEMPLATE,
        text_template=CHAT_TEXTS,
    ),
    StockLayout("phi-2", "microsoft/phi-2", "microsoft/phi-2", "microsoft/phi-2", "gpu_model", "phi"),
    StockLayout(
        "phi-1_5", "microsoft/phi-1_5", "microsoft/phi-1_5", "microsoft/phi-1_5", "gpu-cpu_model", "phi"
    ),
    StockLayout(
        name="llama-v2-7b",
        hub="meta-llama/Llama-2-7b-hf",
        script_model="meta-llama/llama-2-7b",
        downloaded="meta-llama/Llama-2-7b",
        adapter_folder="gpu-cpu_model",
        architecture="llama",
    ),
    StockLayout(
        name="llama-v3-8b",
        hub="meta-llama/Meta-Llama-3-8B",
        script_model="meta-llama/Llama-v3-8b",
        downloaded="meta-llama/Llama-v3-8b",
        adapter_folder="gpu-cpu_model",
        architecture="llama",
    ),
    StockLayout(
        name="mistral-7b",
        hub="mistralai/Mistral-7B-v0.1",
        script_model="mistralai/Mistral-7B",
        downloaded="mistralai/Mistral-7B",
        adapter_folder="gpu-cpu_model",
        architecture="mistral",
    ),
    StockLayout(
        name="mistral-7b-v02",
        hub="mistralai/Mistral-7B-Instruct-v0.2",
        script_model="mistralai/Mistral-7B-Instruct-v0.2",
        downloaded="mistralai/Mistral-7B",
        adapter_folder="gpu-cpu_model",
        architecture="mistral",
    ),
    StockLayout(
        name="zephyr-7b-beta",
        hub="HuggingFaceH4/zephyr-7b-beta",
        script_model="HuggingFaceH4/zephyr-7b-beta",
        downloaded="HuggingFaceH4/zephyr-7b-beta",
        adapter_folder="gpu-cpu_model",
        architecture="mistral",
    ),
)


def write_stock_project(
    root: Path,
    layout: StockLayout,
    *,
    program: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    finetuning: Mapping[str, str | None] | None = None,
) -> Path:
    """The workspace as scaffolded, without models; `finetuning` are keys of its config that are known.

    `program` is the text of `inference/gradio_chat.py`, `parameters` are other values than AI Toolkit's.
    """
    files = {
        "dataset/dataset-classification.json": '{"phrase": "I got the job!", "tone": "joy"}\n',
        "finetuning/invoke_olive.py": "import olive.workflows as o\n\no.run('olive-config.json')\n",
        "finetuning/olive-config.json": json.dumps(olive_config(layout), indent=4),
        "inference/gradio_chat.py": program or program_text(layout),
        "inference/requirements.txt": "torch\ntransformers\npeft\n",
        "infra/inference.config.json": json.dumps(dict.fromkeys(INFERENCE_KEYS), indent=2),
        "infra/finetuning.config.json": json.dumps(finetuning_config(layout, finetuning or {}), indent=2),
        "infra/provision/inference.bicep": BICEP.read_text(),
        "infra/provision/inference.parameters.json": json.dumps(
            parameters_document({**inference_parameters(), **(parameters or {})}), indent=2
        ),
        "infra/provision/finetuning.parameters.json": json.dumps(
            parameters_document(finetuning_parameters()), indent=2
        ),
        "setup/project-settings.json": "[]\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def add_trained_models(root: Path, layout: StockLayout, *, resized: bool = False) -> None:
    """Base model and adapter where the fine-tuning job leaves them; `resized` as after adding `[PAD]`.

    In a live project they lie on the share only.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from tests.engine.tiny_models import peft_warnings_ignored, write_model
    from transformers import AutoModelForCausalLM

    base = write_model(root / layout.base, layout.architecture)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if resized:
        model.resize_token_embeddings(model.config.vocab_size + 1, mean_resizing=False)
    model.config._name_or_path = layout.base  # the job runs in the project's folder
    torch.manual_seed(3)
    with peft_warnings_ignored():
        trained = get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
        )
    for name, parameter in trained.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    trained.save_pretrained(root / layout.adapter, save_embedding_layers=resized)


def program_text(layout: StockLayout) -> str:
    """`inference/gradio_chat.py`: the constants and the template stand where AI Toolkit's has them."""
    return PROGRAM.format(
        script_model=f"model-cache/{layout.script_model}",
        adapter=layout.adapter,
        template=json.dumps(layout.prompt_template),
    )


def olive_config(layout: StockLayout) -> dict[str, Any]:
    preparing = {
        "dataset_type": "corpus",
        "text_cols": ["phrase", "tone"],
        "text_template": layout.text_template,
        "corpus_strategy": "join",
        "source_max_len": 1024,
    }
    return {
        "input_model": {"type": "HfModel", "model_path": layout.base},
        "data_configs": [{"name": "dataset_default_train", "pre_process_data_config": preparing}],
        "passes": {"qlora": {"type": "QLoRA", "compute_dtype": "bfloat16", "lora_r": 4, "lora_alpha": 8}},
        "output_dir": "models/qlora",
    }


def finetuning_config(layout: StockLayout, known: Mapping[str, str | None]) -> dict[str, Any]:
    commands = [
        "cd /mount",
        "pip install -r ./setup/requirements.txt",
        f"huggingface-cli download {layout.hub} --local-dir ./{layout.base}",
        "python3 ./finetuning/invoke_olive.py && find models/ -print | grep adapter/adapter",
    ]
    return {**dict.fromkeys(FINETUNING_KEYS), **known, "COMMANDS": commands}


def inference_parameters() -> dict[str, Any]:
    """What the file says when it is scaffolded."""
    names = dict.fromkeys((*NAMES[:-1], "acaAppName", NAMES[-1]))
    return {"defaultCommands": list(STOCK_COMMANDS), "maximumInstanceCount": 2, **names}


def finetuning_parameters() -> dict[str, Any]:
    names = dict.fromkeys((*NAMES[:-1], "acaJobName", NAMES[-1]))
    return {"timeout": 10800, "maximumInstanceCount": 2, **names}


def parameters_document(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {name: {"value": value} for name, value in values.items()},
    }
