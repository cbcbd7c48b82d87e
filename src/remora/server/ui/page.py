"""The chat page at `/`. Owns its layout and its events; answers come from the same code as the API's.

Everything it loads comes from this endpoint: system fonts, no analytics, no share links.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

import gradio as gr
from fastapi import FastAPI

from remora.adapters.adapter import short
from remora.adapters.examples import Examples
from remora.adapters.registry import PREVIOUS, AdapterRegistry
from remora.errors import RemoraError
from remora.server.access.admission import Admission
from remora.server.generation.answering import Answerer
from remora.server.generation.question import Question
from remora.server.ui import conversation
from remora.server.ui.conversation import Message
from remora.server.ui.turn import PageTurns
from remora.server.wire.page_file import HERE

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")

# AI Toolkit's defaults, so that the same adapter answers in the same way here.
MAX_TOKENS = 250
TEMPERATURE = 0.8
TOP_P = 0.95
TOP_K = 50
MOST_WITHOUT_SEARCH = 12
MOST_OFFERED = 6  # examples: on a phone each is a row
REFRESH_SECONDS = 2.0  # until a page shows what was pushed


def mount_chat_page(app: FastAPI, answerer: Answerer, admission: Admission, examples: Examples) -> None:
    """Put the page at `/`; mount it after all other routes, since it takes every path."""
    gr.mount_gradio_app(
        app,
        build_page(answerer, admission, examples),
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size="1kb",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=_theme(),
        css=HERE.joinpath("page.css").read_text("utf-8"),
        head=f"<script>{HERE.joinpath('page.js').read_text('utf-8')}</script>",
    )


def build_page(answerer: Answerer, admission: Admission, examples: Examples) -> gr.Blocks:
    """The page as Gradio sees it."""
    turns = PageTurns()

    async def respond(
        history: list[Message], model: str, request: gr.Request, *controls: Any
    ) -> AsyncGenerator[list[Message]]:
        if not history or history[-1]["role"] != "user":
            return
        session = str(request.session_hash)
        try:
            with admission.admitted(f"page {session}"):
                await answerer.bring(model)
                (question,) = await answerer.tokenized([_question(model, history, *controls)])
                turn = turns.start(session, answerer.ask(question))
                async for so_far in turn.updates():
                    yield [*history, conversation.assistant(so_far)]
        except RemoraError as error:
            yield [*history, conversation.problem(error)]
            return
        turns.finish(session, turn)
        shown = [*history, conversation.assistant(turn.text), conversation.facts(turn.facts)]
        if turn.error is not None:
            shown.append(conversation.problem(turn.error))
        yield shown

    async def stop(request: gr.Request) -> None:  # async: a plain function would run in another thread
        turns.stop(str(request.session_hash))

    with gr.Blocks(title="Remora", analytics_enabled=False, fill_height=True, fill_width=True) as page:
        model, settings = _sidebar(answerer.models, answerer.engine.context_length)
        chatbot = _chatbot()
        box = gr.Textbox(
            **_IDLE_BOX, label="Message", elem_id="question", show_label=False, container=False, max_lines=8
        )
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        # Three events, since a page draws only the last of several changes that reach a component at once.
        asked = box.submit(_take, [box, chatbot], [box, chatbot], queue=False, **quiet)
        answered = asked.then(respond, [chatbot, model, *settings], chatbot, concurrency_limit=None, **quiet)
        answered.then(_settle, [box, chatbot], box, queue=False, **quiet)
        box.stop(stop, queue=False, **quiet)
        served = gr.State(_choices(answerer.models))
        page.load(partial(_begin, answerer.models), served, [model, served], queue=False, **quiet)
        page.load(lambda: _offered(examples()), outputs=chatbot, queue=False, **quiet)
        chatbot.example_select(_take_example, outputs=box, queue=False, **quiet)
        timer = gr.Timer(REFRESH_SECONDS)
        timer.tick(partial(_follow, answerer.models), [model, served], [model, served], queue=False, **quiet)
        page.unload(stop)
    # Gradio looks at its queue a thousand times a second, which costs an idle replica 4 % of a core. There is
    # no setting for it. This page uses no progress of events.
    page._queue.sleep_when_free, page._queue.progress_update_sleep_when_free = _QUEUE_SECONDS
    return page


_QUEUE_SECONDS = (0.05, 1.0)
_IDLE_BOX: dict[str, Any] = {
    "placeholder": "Ask something…  (Enter sends, Shift+Enter starts a line)",
    "submit_btn": True,
    "stop_btn": False,
    "autofocus": True,
}


def _take(text: str, history: list[Message]) -> tuple[Any, list[Message]]:
    """The message moves from the box into the conversation."""
    if not text.strip():
        return gr.skip(), history
    return gr.update(value="", submit_btn=False, stop_btn=True), [*history, conversation.user(text)]


def _offered(examples: Sequence[str]) -> Any:
    """The golden prompts, which the page shows until something is asked."""
    return gr.update(examples=[{"text": prompt} for prompt in examples[:MOST_OFFERED]] or None)


def _take_example(chosen: gr.SelectData) -> str:
    """An example goes into the box, where it can be changed before it is sent."""
    return str(chosen.value["text"])


def _settle(draft: str, history: list[Message]) -> Any:
    """Ready for the next message; one that could not be answered comes back, unless another was begun."""
    refused = conversation.refused_text(history)
    return gr.update(value=draft or refused, submit_btn=True, stop_btn=False)


def _question(model: str, asked: list[Message], system: str, *sliders: float) -> Question:
    max_tokens, temperature, top_p, top_k = sliders
    return Question(
        model=model,
        turns=conversation.turns(asked, system),
        default_tokens=int(max_tokens),  # or what fits
        temperature=temperature,
        top_p=top_p,
        top_k=int(top_k),
    )


def _sidebar(
    models: AdapterRegistry, context_length: int
) -> tuple[gr.Dropdown, list[gr.components.Component]]:
    with gr.Sidebar(width=300, elem_id="sidebar"):
        gr.Markdown("# Remora", elem_id="brand")
        gr.Markdown("[Compare models side by side](side-by-side)")  # gr.HTML evaluates text as a script
        model = _picker(models)
        system = gr.Textbox(label="System prompt", lines=2, max_lines=6, placeholder="none")
        most = max(1, min(4096, context_length))
        sliders = [
            gr.Slider(1, most, value=min(MAX_TOKENS, most), step=1, label="Max tokens", elem_id="max-tokens"),
            gr.Slider(0, 2, value=TEMPERATURE, step=0.05, label="Temperature"),
            gr.Slider(0.05, 1, value=TOP_P, step=0.05, label="Top-p"),
            gr.Slider(0, 200, value=TOP_K, step=1, label="Top-k", info="0 switches it off"),
        ]
    return model, [system, *sliders]


def _picker(models: AdapterRegistry) -> gr.Dropdown:
    """What is served now. With many models one can type a part of a name; a phone shows its keyboard then."""
    choices = _choices(models)
    return gr.Dropdown(
        choices,
        value=(models.adapters[0].name if models.adapters else models.base_name),
        label="Model",
        info="The base, or an adapter on it",
        filterable=len(choices) > MOST_WITHOUT_SEARCH,
        elem_id="model",
    )


def _begin(models: AdapterRegistry, built: list[tuple[str, str]]) -> tuple[Any, Any]:
    """What is served now, if it has changed since the page was built.

    Else nothing is sent: a picker that is drawn again loses what somebody has begun to type there.
    """
    now = _choices(models)
    return (gr.skip(), gr.skip()) if now == [tuple(choice) for choice in built] else (_picker(models), now)


def _follow(models: AdapterRegistry, chosen: str, shown: list[tuple[str, str]]) -> tuple[Any, Any]:
    """What is served now, if the page shows something else.

    A model that is gone stays chosen: asking it says why.
    """
    now = _choices(models)
    if chosen not in {name for _, name in now}:
        now.append((f"{chosen} · not served", chosen))
    if now == [tuple(choice) for choice in shown]:
        return gr.skip(), gr.skip()
    return gr.update(choices=now, filterable=len(now) > MOST_WITHOUT_SEARCH), now


def _choices(models: AdapterRegistry) -> list[tuple[str, str]]:
    base = (f"{models.base_name} · base", models.base_name)
    current = [(f"{one.name} · {short(one.digest)}", one.name) for one in models.adapters]
    former = [
        (f"{name} · previous {short(digest)}", f"{name}@{PREVIOUS}")
        for name, digest in models.previous.items()
    ]
    return [base, *current, *former]


def _chatbot() -> gr.Chatbot:
    return gr.Chatbot(
        elem_id="chat",
        show_label=False,
        container=False,
        scale=1,
        height="calc(100dvh - 7.5rem)",
        layout="bubble",
        buttons=["copy"],
        feedback_options=None,
        placeholder="### Ask the base, then an adapter\nThe line under each answer says which one wrote it.",
    )


def _theme() -> gr.themes.Base:
    fonts = {
        "font": [gr.themes.Font(name) for name in SANS],
        "font_mono": [gr.themes.Font(name) for name in MONO],
    }
    theme: gr.themes.Base = gr.themes.Base(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", radius_size="lg", **fonts
    )
    # Gradio's own greys and links are too light to read on white (WCAG asks for 4.5 : 1).
    legible: gr.themes.Base = theme.set(
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        link_text_color="*primary_700",
        link_text_color_hover="*primary_800",
        link_text_color_visited="*primary_700",
    )
    return legible
