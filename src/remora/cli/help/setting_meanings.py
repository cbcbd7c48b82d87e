"""What each setting of `remora.toml` does: for `remora help settings` and for the page of the reference.

Owns these sentences. Names, types, defaults and limits are those of `remora.project.settings`.
"""

from __future__ import annotations

from typing import Final

MEANINGS: Final[dict[str, str]] = {
    "cloud": "Where the endpoint runs: on this machine (`local`) or on Azure (`azure`).",
    "azure.share_access": "How the share is reached. `key`: mounted with the key of the storage account; "
    "`identity`: over REST, as you and as a managed identity of the app; `auto`: without the key where the "
    "account or a policy forbids it.",
    "model.base": "The base model: a folder of the project, or `hub:ORGANISATION/NAME`. Without it, Remora "
    "searches.",
    "model.name": "The name by which clients ask for the base model. Without it, the folder's name.",
    "model.also_known_as": "More names of the base model that adapters may give in `adapter_config.json`.",
    "model.removed_adapters": "Adapters that the next deploy stops serving, even if they were pushed.",
    "serve.engine": "What computes the answers. `vllm` needs vLLM on the machine and is for GPUs.",
    "serve.dtype": "The precision of the weights. `auto` is bfloat16 where the processor is fast with it, "
    "else float32.",
    "serve.quantize": "`int8` stores the weights of the linear layers in 8 bits: about half the memory. "
    "`nf4` stores them in 4 bits, as QLoRA trains: about a quarter. `int4` stores them in 4 bits with a "
    "scale and an offset for 64 of them: a little more than nf4. Checkpoints in GPTQ and AWQ are in int4 "
    "already.",
    "serve.native": "Whether layers run as code that is compiled for this processor. `auto`: in bfloat16 and "
    "fewer bits, on a processor with AVX2; `always`: in float32, too.",
    "serve.speculation": "Whether the torch engine guesses what an answer says next from what it or its "
    "prompt said before. The answers stay the same. `auto`: where there are few requests and guesses are "
    "right; `off`: never.",
    "serve.max_running_requests": "How many requests one replica answers at the same time.",
    "serve.max_queued_requests": "How many more may wait. The next one gets 429 with `retry-after`.",
    "serve.max_requests_per_key": "How many requests of one key may be open. 0: half of all places where "
    "there are several keys, else all.",
    "serve.max_prompt_tokens": "The longest prompt, in tokens. 0: the model's context.",
    "serve.max_total_tokens": "The longest prompt with its answer, in tokens. 0: the model's context.",
    "serve.max_answer_tokens": "The longest answer, in tokens. 0: what fits.",
    "serve.strict": "Whether a request with an unsupported parameter is refused. `false` ignores the "
    "parameter and names it in the header `x-remora-warning`.",
    "serve.ollama": "Whether the endpoint also has Ollama's routes.",
    "serve.request_timeout_seconds": "After how many seconds an answer is stopped with 504.",
    "serve.unread_timeout_seconds": "After how many seconds a client that reads no answer is cut off.",
    "serve.allowed_hosts": "Host names under which the chat page answers, separated by commas. Empty: all.",
    "serve.cors_origins": "Web sites whose scripts may call the API, separated by commas. Empty: none.",
    "serve.metrics": "Who may read `/metrics`: `key` asks for an API key, `open` does not.",
    "serve.log": "`json` logs one line for each request; `off` leaves these lines out.",
    "serve.tools": "How a model is told of tools: by its chat template, in words (`generic`), or not at all.",
    "serve.page": "Whether `/` is the chat page. Until somebody opens it, it takes no memory.",
    "serve.proof": "What happens to an adapter without a measurable effect: `warn` reports it, `refuse` does "
    "not serve it, `off` does not measure.",
    "scale.min_replicas": "The fewest replicas. 0 lets the app sleep after five minutes without a request.",
    "scale.max_replicas": "The most replicas.",
    "scale.ttl": "How long `min_replicas` stay awake after a deploy, such as `8h`. Then the app sleeps, and "
    "the next request wakes it. Without it they stay awake.",
    "scale.warm": "Hours in which a replica stays awake although `min_replicas` is 0, such as "
    "`Mon-Fri 08:00-18:00 Europe/Oslo`. Without a time zone they are in UTC.",
    "scale.front": "Whether a small app that is always on stands before the model's: it answers at once "
    "while that one sleeps or starts, and its address is the endpoint's. It has a price of its own.",
    "scale.front_wait_seconds": "How long the front lets a request wait for a sleeping model, if it asks for "
    "no stream. Then it gets 503 with `retry-after`.",
    "gate.prompts": "What a new revision is measured with before it gets traffic: the golden prompts, or "
    "a JSONL file of the project.",
    "gate.adapters": "The adapters that are measured; all of them without it.",
    "gate.min_accuracy": "The share of right answers that each of them must reach, from 0 to 1.",
    "gate.max_drift": "How far each of them may differ from the base model on general prompts, "
    "in nats a token.",
}
NAMED: Final[dict[str, str]] = {
    "adapters.NAME": "The folder of an adapter, in the project. NAME is what clients send as `model`.",
    "prompt_templates.NAME": "The prompt that this adapter was trained with; `{}` stands for the user's "
    "message. Without it, the base model's chat template is used.",
}
