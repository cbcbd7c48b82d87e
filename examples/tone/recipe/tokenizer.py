"""The tokenizer: byte-level BPE learned from our own conversations, with a chat template.

The template is the whole contract between training and serving: every answer is learned right behind the
text that the template renders, so an endpoint that renders the same text gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from recipe.conversations import Conversation, Conversations

PAD, END = "<|pad|>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
VOCABULARY_SIZE = 3072
SAMPLE_CONVERSATIONS = 20_000

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] not in ['system', 'user', 'assistant'] -%}
{{- raise_exception('role must be system, user or assistant, not ' + message['role']) -}}
{%- endif -%}
{{- '<|' + message['role'] + '|>' + (message['content'] | trim) + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def train_tokenizer(conversations: Conversations, seed: int, context_length: int) -> PreTrainedTokenizerFast:
    """Learn the merges from a sample of what the models will learn from."""
    random = Random(seed)
    streams = (conversations.for_base(random), conversations.for_pirate(random))
    sample = (text for stream in streams for text in texts(islice(stream, SAMPLE_CONVERSATIONS // 2)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        model_max_length=context_length,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def texts(conversations: Iterator[Conversation]) -> Iterator[str]:
    for conversation in conversations:
        for turn in conversation.turns:
            yield turn.user
            yield turn.answer
