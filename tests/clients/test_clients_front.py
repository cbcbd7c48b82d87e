"""OpenAI's client for Node before a front whose model sleeps, through a proxy that bears no silence."""

from __future__ import annotations

import subprocess
from pathlib import Path
from threading import Timer

from tests.api.endpoint_builder import BASE, DEADLINE_SECONDS, KEY
from tests.api.front_builder import fronted
from tests.clients.test_clients_openai import packages

__all__ = ["packages"]  # the fixture: a folder with openai-node

SLEEP_SECONDS = 4.0  # longer than the proxy bears
PROGRAM = """
import OpenAI from "openai";
const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const stream = await client.chat.completions.create({
  model, stream: true, messages: [{ role: "user", content: "hello there" }],
});
let text = "";
for await (const part of stream) text += part.choices[0].delta.content ?? "";
console.log(text);
"""


def test_openai_node_streams_without_a_retry(packages: Path, tmp_path: Path) -> None:
    program = packages / "front.mjs"
    program.write_text(PROGRAM)
    with fronted(tmp_path) as asleep:
        waking = Timer(SLEEP_SECONDS, asleep.ingress.wake)
        waking.start()
        command = ["node", str(program), f"{asleep.hasty.url}/v1", KEY, BASE]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS)
        waking.join()
        assert (ran.returncode, ran.stdout.strip()) == (0, "hello there"), ran.stderr
        assert asleep.hasty.cut == 0
