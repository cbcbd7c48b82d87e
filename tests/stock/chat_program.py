"""A program with the interface of AI Toolkit's `inference/gradio_chat.py`, in our own words: for tests.

A page at `/`; `POST /v1/chat/completions` that always streams, lines ended by "\n", no `[DONE]`; the user's
last message goes into the prompt template where an adapter is loaded. Port and address are written into it.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import gradio
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from peft import PeftModel
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

parser = argparse.ArgumentParser()
parser.add_argument("--baseonly", action="store_true")
args = parser.parse_args()

model_name = "../model-cache/BASE"
adapters_name = "../ADAPTER"
template = "TEMPLATE"

tokenizer = AutoTokenizer.from_pretrained(model_name)
tokenizer.add_special_tokens({"pad_token": "[PAD]"})
model = AutoModelForCausalLM.from_pretrained(model_name)
model.resize_token_embeddings(len(tokenizer))
uses_adapter = os.path.exists(adapters_name) and not args.baseonly  # noqa: PTH110
if uses_adapter:
    model = PeftModel.from_pretrained(model, adapters_name)
print(f"model loaded, adapter: {uses_adapter}", flush=True)  # noqa: T201


class Message(BaseModel):
    role: str
    content: str


class ChatRequest(BaseModel):
    messages: list[Message]
    stream: bool = False
    max_tokens: int = 256
    temperature: float = 1
    top_p: float = 1


def generate(text: str, **sampling: Any) -> Iterable[str]:
    prompt = template.format(text) if uses_adapter else text
    inputs = tokenizer(prompt, return_tensors="pt")
    streamer = TextIteratorStreamer(tokenizer, timeout=300, skip_prompt=True, skip_special_tokens=True)
    options = {**inputs, **sampling, "streamer": streamer, "do_sample": True}
    threading.Thread(target=model.generate, kwargs=options, daemon=True).start()
    pieces: Iterable[str] = streamer
    return pieces


def events(request: ChatRequest) -> Iterator[str]:
    asked = [message.content for message in request.messages if message.role == "user"]
    pieces = generate(
        asked[-1], max_new_tokens=request.max_tokens, temperature=request.temperature, top_p=request.top_p
    )
    for piece in pieces:
        delta = {"role": "assistant", "content": piece}
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": os.path.basename(model_name),  # noqa: PTH119
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}],
        }
        yield f"data: {json.dumps(chunk)}\n\n"


app = FastAPI()


@app.post("/v1/chat/completions")
def chat(request: ChatRequest) -> StreamingResponse:
    if not any(message.role == "user" for message in request.messages):
        raise HTTPException(400, "a user message is needed")
    return StreamingResponse(events(request), media_type="text/event-stream")


def answer(text: str, length: float, temperature: float) -> Iterator[str]:
    said = ""
    for piece in generate(text, max_new_tokens=int(length), temperature=temperature):
        said += piece
        yield said


with gradio.Blocks() as page:
    text, output = gradio.Textbox(label="User text"), gradio.Textbox(label="Model output")
    length = gradio.Slider(1, 1000, value=250, label="Max new tokens")
    temperature = gradio.Slider(0.1, 5, value=0.8, label="Temperature")
    gradio.Button("Submit").click(answer, [text, length, temperature], [output])

app = gradio.mount_gradio_app(app, page, path="/")
uvicorn.run(app, host="0.0.0.0", port=7860)  # noqa: S104
