"""The chat page in a real browser: signing in, picking an adapter, streaming, stopping."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.api.endpoint_builder import ADAPTERS, KEY, KEYS, RunningEndpoint, adapter
from tests.e2e.axe import serious_findings
from tests.e2e.writing_systems import ARABIC, HINDI, starts_right

from remora.adapters.adapter import Digest
from remora.server.settings import ServerSettings

pytestmark = [
    pytest.mark.browser,
    # Gradio uses what pandas 3 calls deprecated.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]

BOX = "#question textarea"


def send(page: Page, text: str) -> None:
    expect(page.locator("#question .submit-button")).to_be_visible()  # the last answer is quite through
    page.fill(BOX, text)
    page.press(BOX, "Enter")


def pick(page: Page, model: str) -> None:
    page.click("#model input")
    page.get_by_role("option", name=model).click()


def test_a_wrong_key_is_refused_and_the_right_one_opens_the_chat(page: Page) -> None:
    assert urlsplit(page.url).path == "/login"
    page.fill("#key", "wrong")
    page.click("button")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.fill("#key", KEY)
    page.click("button")
    expect(page.locator(BOX)).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    assert KEY not in page.content()
    assert KEY not in page.url


def test_an_adapter_answers_and_the_page_says_so(chat: Page, tmp_path: Path) -> None:
    pick(chat, "pirate")
    send(chat, "hello")
    expect(chat.locator(".answer-facts")).to_contain_text("pirate@0badcafe0bad · 19 tokens ·")
    expect(chat.locator(".answer-facts")).to_contain_text("· stop")
    expect(chat.locator("#chat")).to_contain_text("0badcafe0bad:hello")
    expect(chat.locator(BOX)).to_have_value("")
    pick(chat, "base")
    send(chat, "again")
    expect(chat.locator(".answer-facts").nth(1)).to_contain_text("base · 6 tokens ·")
    screenshot = tmp_path / "chat.png"
    chat.screenshot(path=screenshot)
    assert screenshot.stat().st_size > 10_000


def test_the_model_sees_the_conversation_and_not_the_notes_on_it(
    chat: Page, endpoint: RunningEndpoint
) -> None:
    pick(chat, "base")
    send(chat, "first")
    expect(chat.locator(".answer-facts")).to_have_count(1)
    send(chat, "x" * 5000)
    expect(chat.locator(".problem")).to_contain_text("maximum context length is 4096")
    expect(chat.locator(BOX)).to_have_value("x" * 5000)
    send(chat, "second")
    expect(chat.locator(".answer-facts")).to_have_count(2)
    assert endpoint.engine.prompts[-1] == "user: first\nassistant: first\nuser: second"


def test_text_appears_while_it_is_written(chat: Page, endpoint: RunningEndpoint) -> None:
    pick(chat, "base")
    send(chat, "abcdefgh" * 3)
    expect(chat.locator(".answer-facts")).to_have_count(1)
    before = endpoint.stats().generated_tokens
    endpoint.hold_after(steps=5)
    send(chat, "ijklmnop")
    endpoint.until(lambda stats: stats.generated_tokens == before + 5)
    answer = chat.locator("#chat .bot").last
    expect(answer).to_have_text("ijklm")
    endpoint.release()
    expect(chat.locator(".answer-facts")).to_have_count(2)
    expect(chat.locator("#chat")).to_contain_text("ijklmnop")


def test_the_page_leads_to_the_one_with_several_models(chat: Page) -> None:
    expect(chat.locator("body")).not_to_contain_text("Error rendering")
    with chat.context.expect_page() as opened:
        chat.get_by_role("link", name="Compare models side by side").click()
    expect(opened.value.get_by_role("heading", name="Side by side")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=str)
def test_a_screen_reader_finds_its_way(
    browser: Browser, endpoint: RunningEndpoint, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    endpoint.examples = ["I got the job!"]
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page = context.new_page()
    try:
        page.request.post(f"{endpoint.url}/login", form={"key": KEY}, max_redirects=0)
        page.goto(endpoint.url)
        offered = page.get_by_role("group", name="Example prompts").get_by_role("button")
        expect(offered).to_have_count(1)
        assert serious_findings(page) == []
        offered.click()
        expect(page.locator(BOX)).to_have_value("I got the job!")
        page.press(BOX, "Enter")
        expect(page.locator(".answer-facts")).to_have_count(1)
        expect(page.locator("#question .submit-button")).to_be_visible()
        assert serious_findings(page) == []
    finally:
        endpoint.examples = ()
        context.close()


def test_every_script_runs_in_its_own_direction(chat: Page) -> None:
    pick(chat, "base")
    for number, text in enumerate([ARABIC, HINDI], start=1):
        send(chat, text)
        expect(chat.locator(".answer-facts")).to_have_count(number)
    answers = chat.locator("#chat .bot")
    expect(answers.first).to_contain_text(ARABIC)
    expect(answers.last).to_contain_text(HINDI)
    assert starts_right(chat, "#chat .user .prose p")


def test_copy_takes_the_text_alone(chat: Page) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    send(chat, "only this\nand <b>that</b>")
    expect(chat.locator(".answer-facts")).to_have_count(1)
    expect(chat.locator("#question .submit-button")).to_be_visible()
    for number, copied in enumerate(["only this\nand <b>that</b>", "3f9a12cd3f9a:and <b>that</b>"]):
        chat.get_by_role("button", name="Copy message").nth(number).click()
        chat.wait_for_function(
            "(copied) => navigator.clipboard.readText().then((text) => text === copied)", arg=copied
        )


def test_a_golden_prompt_goes_into_the_box(chat: Page, endpoint: RunningEndpoint) -> None:
    endpoint.examples = ["I got the job!"]
    try:
        chat.reload()
        chat.get_by_role("button", name="I got the job!").click()
        expect(chat.locator(BOX)).to_have_value("I got the job!")
        pick(chat, "base")
        chat.press(BOX, "Enter")
        expect(chat.locator("#chat .bot").first).to_contain_text("I got the job!")
        expect(chat.locator(".answer-facts")).to_have_count(1)
    finally:
        endpoint.examples = ()


def test_a_former_version_is_in_the_picker(chat: Page, endpoint: RunningEndpoint) -> None:
    former = adapter("tone", Digest("feedf00d" * 8))
    try:
        endpoint.engine.load_adapter(former)
        endpoint.models.replace(ADAPTERS, previous={"tone": former.digest}, loaded_previous=[former])
        chat.click("#model input")
        expect(chat.get_by_role("option").last).to_contain_text("tone · previous feedf00dfeed")
        chat.get_by_role("option").last.click()
        send(chat, "hello")
        expect(chat.locator(".answer-facts")).to_contain_text("tone@feedf00dfeed")
    finally:
        endpoint.models.replace(ADAPTERS)


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_stops_the_engine_within_one_step(chat: Page, endpoint: RunningEndpoint, how: str) -> None:
    before = endpoint.stats()
    endpoint.hold_after(steps=3)
    send(chat, "a long answer")
    endpoint.until(lambda stats: stats.generated_tokens == before.generated_tokens + 3)
    expect(chat.locator("#question .stop-button")).to_be_visible()
    if how == "button":
        chat.click("#question .stop-button")
    else:
        chat.press(BOX, "Escape")
    stopped = endpoint.until(lambda stats: stats.cancelled_requests == before.cancelled_requests + 1)
    assert stopped.running_requests == 0
    endpoint.release()
    expect(chat.locator(".answer-facts")).to_contain_text("· stopped")
    expect(chat.locator("#question .submit-button")).to_be_visible()
    assert endpoint.stats().generated_tokens == stopped.generated_tokens == before.generated_tokens + 3


def test_the_picker_follows_what_is_served(chat: Page, endpoint: RunningEndpoint) -> None:
    pick(chat, "pirate")
    newer = adapter("newer", Digest("ab12" * 16))
    try:
        endpoint.models.replace((*ADAPTERS, newer))
        chat.click("#model input")
        expect(chat.get_by_role("option", name="newer · ab12ab12ab12")).to_be_visible()
        expect(chat.locator("#model input")).to_have_value("pirate · 0badcafe0bad")
        endpoint.models.replace(ADAPTERS[:1])
        expect(chat.get_by_role("option", name="pirate · not served")).to_be_visible()
        chat.keyboard.press("Escape")
        send(chat, "who is there?")
        expect(chat.locator(".problem")).to_contain_text("the model 'pirate' does not exist")
    finally:
        endpoint.models.replace(ADAPTERS)


def test_closing_the_tab_stops_the_engine(chat: Page, endpoint: RunningEndpoint) -> None:
    before = endpoint.stats()
    endpoint.hold()
    send(chat, "nobody will read this")
    endpoint.until(lambda stats: stats.running_requests == 1)
    chat.close()
    endpoint.until(lambda stats: stats.cancelled_requests == before.cancelled_requests + 1)


def test_nothing_is_asked_of_any_other_machine(chat: Page, requested_urls: list[str]) -> None:
    """Not even for a picture in an answer: the browser refuses it before it asks."""
    failures: dict[str, str | None] = {}
    chat.on("requestfailed", lambda request: failures.update({request.url: request.failure}))
    send(chat, "![picture](https://example.com/picture.png)")
    expect(chat.locator(".answer-facts")).to_have_count(1)
    expect(chat.locator("#chat img[src='https://example.com/picture.png']").first).to_be_attached()
    asked = {urlsplit(url) for url in requested_urls if failures.get(url) != "csp"}
    assert {url.hostname for url in asked if url.scheme.startswith("http")} == {"127.0.0.1"}


def test_on_a_phone_the_conversation_is_in_front(browser: Browser, endpoint: RunningEndpoint) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(endpoint.url)
    page.fill("#key", KEY)
    page.click("button")
    page.wait_for_selector("#sidebar:not(.open)", state="attached")
    send(page, "hello")
    expect(page.locator(".answer-facts")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_among_many_models_one_types_a_part_of_the_name(browser: Browser) -> None:
    many = tuple(adapter(f"run-{number}", Digest(f"{number:064x}")) for number in range(200))
    with RunningEndpoint(ServerSettings(api_keys=KEYS), adapters=many) as endpoint:
        page = browser.new_page()
        page.goto(endpoint.url)
        page.fill("#key", KEY)
        page.click("button")
        page.click("#model input")
        page.keyboard.press("Control+A")
        page.keyboard.type("run-137")
        expect(page.get_by_role("option")).to_have_count(1)
        page.get_by_role("option", name="run-137").click()
        expect(page.locator("#model input")).to_have_value(re.compile("^run-137 "))
        page.close()
