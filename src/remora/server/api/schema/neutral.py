"""What clients send without meaning a change: fields of other servers, with the values that change nothing.

One table for chat and text completions. A field that could change the answer is accepted with its neutral
values only; one that never could (a label, a hint for a cache, a priority) is accepted with `ANY`.
"""

from __future__ import annotations

from collections.abc import Mapping

ANY: tuple[object, ...] = ("any value",)
"""Marks a field whose values all change nothing; compared by identity."""

Neutral = Mapping[str, tuple[object, ...]]

ANYBODYS: Neutral = {
    # OpenAI and Azure OpenAI
    "data_sources": ([],),
    "moderation": (),
    "prompt_cache_options": ANY,
    "prompt_cache_retention": ANY,
    "service_tier": ("auto", "default"),
    "store": (False, True),
    "user_security_context": ANY,
    "verbosity": ("medium",),
    # vLLM
    "allowed_token_ids": ([],),
    "bad_words": ([],),
    "cache_salt": ANY,
    "early_stopping": (False,),
    "guided_decoding_backend": ANY,
    "guided_whitespace_pattern": (),
    "kv_transfer_params": ({},),
    "length_penalty": (1,),
    "logits_processors": ([],),
    "mm_processor_kwargs": ({},),
    "priority": ANY,
    "prompt_embeds": (),
    "request_id": ANY,
    "return_tokens_as_token_ids": (False,),
    "spaces_between_special_tokens": (True,),
    "use_beam_search": (False,),
    "vllm_xargs": ({},),
    # llama.cpp
    "cache_prompt": ANY,
    "dry_multiplier": (0,),
    "dynatemp_range": (0,),
    "grammar": ("",),
    "id_slot": (-1,),
    "min_keep": (0,),
    "mirostat": (0,),
    "n_predict": (-1,),
    "n_probs": (0,),
    "post_sampling_probs": (False,),
    "repeat_penalty": (1,),
    "return_progress": (False,),
    "samplers": (),
    "timings_per_token": (False,),
    "tfs_z": (1,),
    "typical_p": (1,),
    "xtc_probability": (0,),
    # Ollama, LM Studio, OpenRouter, Mistral
    "keep_alive": ANY,
    "options": ({},),
    "plugins": ([],),
    "provider": ({},),
    "random_seed": (),
    "safe_prompt": (False,),
    "transforms": ([],),
    "ttl": ANY,
    "usage": ({"include": True}, {"include": False}),
}
