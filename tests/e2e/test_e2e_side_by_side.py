"""The page that asks several models at once, in headless Chromium, on a wide screen and on a phone."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.api.endpoint_builder import ADAPTERS, KEY, RunningEndpoint, adapter
from tests.e2e.axe import serious_findings
from tests.e2e.writing_systems import ARABIC, HINDI, starts_right

from remora.adapters.adapter import Digest

pytestmark = [
    pytest.mark.browser,
    # Gradio uses what pandas 3 calls deprecated.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


WIDE, PHONE = (1280, 800, "light"), (390, 844, "dark")
both = pytest.mark.parametrize("columns", [WIDE, PHONE], indirect=True, ids=str)


@pytest.fixture
def columns(request: pytest.FixtureRequest, browser: Browser, endpoint: RunningEndpoint) -> Iterator[Page]:
    """The page, signed in."""
    seen_as: Any = getattr(request, "param", WIDE)
    width, height, scheme = seen_as
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{endpoint.url}/side-by-side")
    assert "remora secrets" in page.inner_text("main")  # the sign-in page says where the key is
    page.request.post(f"{endpoint.url}/login", form={"key": KEY}, max_redirects=0)
    page.goto(f"{endpoint.url}/side-by-side")
    expect(page.locator("#columns section")).to_have_count(2)
    yield page
    context.close()
    assert faults == []


def ask(page: Page, text: str) -> None:
    expect(page.locator("#send")).to_be_visible()
    page.fill("#message", text)
    page.press("#message", "Enter")


@both
def test_both_answer_at_once_and_each_knows_its_own_conversation(
    columns: Page, endpoint: RunningEndpoint
) -> None:
    endpoint.hold()
    ask(columns, "hello there")
    endpoint.until(lambda stats: stats.running_requests == 2)
    endpoint.release()
    base, tone = columns.locator(".talk").nth(0), columns.locator(".talk").nth(1)
    expect(base.locator(".answer p")).to_have_text("hello there")
    expect(tone.locator(".answer p")).to_have_text("3f9a12cd3f9a:hello there")
    expect(tone.locator(".facts").first).to_contain_text("tone@3f9a12cd3f9a · ")
    assert tone.locator("mark").all_inner_texts() == ["3f9a12cd3f9a", ":"]
    ask(columns, "again")
    expect(columns.locator(".answer")).to_have_count(4)
    expect(columns.locator("#send")).to_be_visible()
    assert sorted(endpoint.engine.prompts[-2:]) == [
        "user: hello there\nassistant: 3f9a12cd3f9a:hello there\nuser: again",
        "user: hello there\nassistant: hello there\nuser: again",
    ]
    assert columns.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_strength_and_settings_are_sent(columns: Page, endpoint: RunningEndpoint) -> None:
    expect(columns.locator(".strength").nth(0)).to_be_hidden()  # the base has none
    columns.locator(".scale").nth(1).fill("0.5")
    columns.click("#settings summary")
    columns.fill("#system", "Be kind.")
    columns.fill("#max_tokens", "16")
    ask(columns, "hi")
    expect(columns.locator(".talk").nth(1).locator(".answer p")).to_have_text("3f9a12cd3f9a*0.5")
    expect(columns.locator(".talk").nth(1).locator(".facts").first).to_contain_text("· length")
    assert endpoint.engine.prompts[-1] == "system: Be kind.\nuser: hi"


def test_an_answer_can_be_had_again_and_a_question_edited(columns: Page, endpoint: RunningEndpoint) -> None:
    ask(columns, "one")
    columns.get_by_role("button", name="Regenerate").click()
    expect(columns.locator("#send")).to_be_visible()
    expect(columns.locator(".answer")).to_have_count(2)
    columns.get_by_role("button", name="Edit and resend").click()
    expect(columns.locator(".answer")).to_have_count(0)
    expect(columns.locator("#message")).to_have_value("one")
    ask(columns, "two")
    expect(columns.locator(".answer")).to_have_count(2)
    expect(columns.locator("#send")).to_be_visible()
    assert endpoint.engine.prompts[-1] == "user: two"


def test_stop_stops_all_and_a_problem_names_its_request(columns: Page, endpoint: RunningEndpoint) -> None:
    before = endpoint.stats().cancelled_requests
    endpoint.hold()
    ask(columns, "a long answer")
    endpoint.until(lambda stats: stats.running_requests == 2)
    expect(columns.locator("#saved")).to_be_disabled()
    columns.keyboard.press("Escape")
    endpoint.until(lambda stats: stats.cancelled_requests == before + 2)
    endpoint.release()
    expect(columns.locator(".talk").nth(0).locator(".facts").first).to_contain_text("stopped")
    ask(columns, "x" * 5000)
    expect(columns.locator(".problem").first).to_contain_text("maximum context length is 4096")
    expect(columns.locator(".problem .facts").first).to_contain_text("Request ")


def test_conversations_stay_in_the_browser_and_can_be_renamed_and_deleted(columns: Page) -> None:
    columns.select_option("#count", "3")
    columns.locator(".scale").nth(1).fill("0.5")
    ask(columns, "keep me")
    expect(columns.locator("#send")).to_be_visible()
    columns.once("dialog", lambda dialog: dialog.accept("My name"))
    columns.click("#rename")
    columns.reload()
    expect(columns.locator("#saved option")).to_have_text(["New", "My name"])
    expect(columns.locator(".answer")).to_have_count(0)
    columns.select_option("#saved", label="My name")
    expect(columns.locator(".answer p")).to_have_text(
        ["keep me", "3f9a12cd3f9a*0.5:keep me", "0badcafe0bad:keep me"]
    )
    with columns.expect_download() as saved:
        columns.click("#export")
    told = json.loads(saved.value.path().read_text())
    assert told[0] == {
        "model": "tone-base",
        "messages": [{"role": "user", "content": "keep me"}, {"role": "assistant", "content": "keep me"}],
    }
    with columns.expect_download() as saved:
        columns.click("#export-markdown")
    assert saved.value.path().read_text().startswith("# tone-base\n\n**user**\n\nkeep me\n\n**assistant**")
    columns.click("#delete")
    expect(columns.locator("#saved option")).to_have_text(["New"])
    expect(columns.locator(".answer")).to_have_count(0)


def test_a_turn_can_be_deleted(columns: Page, endpoint: RunningEndpoint) -> None:
    ask(columns, "one")
    expect(columns.locator(".answer")).to_have_count(2)
    expect(columns.get_by_role("button", name="Delete turn")).to_be_visible()
    endpoint.hold()
    ask(columns, "two")
    endpoint.until(lambda stats: stats.running_requests == 2)
    expect(columns.get_by_role("button", name="Delete turn")).to_have_count(0)  # until both have answered
    endpoint.release()
    expect(columns.locator(".answer")).to_have_count(4)
    columns.get_by_role("button", name="Delete turn").click()
    expect(columns.locator(".answer p")).to_have_text(["one", "3f9a12cd3f9a:one"])
    columns.reload()
    columns.select_option("#saved", label="one")
    expect(columns.locator(".answer")).to_have_count(2)
    ask(columns, "three")
    expect(columns.locator("#send")).to_be_visible()
    assert "user: one\nassistant: one\nuser: three" in endpoint.engine.prompts[-2:]
    for _ in range(2):
        columns.get_by_role("button", name="Delete turn").click()
    expect(columns.locator("#saved option")).to_have_text(["New"])


def test_the_picker_follows_what_is_served(columns: Page, endpoint: RunningEndpoint) -> None:
    picker = columns.locator(".model").nth(1)
    expect(picker.locator("option")).to_have_count(3)
    try:
        endpoint.models.replace(ADAPTERS[1:])
        expect(picker.locator("option")).to_have_text(
            ["tone-base · base", "pirate · 0badcafe0bad", "tone · not served"]
        )
        expect(picker).to_have_value("tone")
        ask(columns, "who is there?")
        expect(columns.locator(".problem")).to_contain_text("the model 'tone' does not exist")
    finally:
        endpoint.models.replace(ADAPTERS)
    expect(picker.locator("option")).to_have_text(
        ["tone-base · base", "tone · 3f9a12cd3f9a", "pirate · 0badcafe0bad"]
    )


def test_a_former_version_is_asked_beside_the_current_one(columns: Page, endpoint: RunningEndpoint) -> None:
    former = adapter("tone", Digest("feedf00d" * 8))
    picker = columns.locator(".model").nth(0)
    try:
        endpoint.engine.load_adapter(former)
        endpoint.models.replace(ADAPTERS, previous={"tone": former.digest}, loaded_previous=[former])
        expect(picker.locator("option").last).to_have_text("tone@previous · feedf00dfeed")
        picker.select_option("tone@previous")
        expect(columns.locator(".strength").nth(0)).to_be_visible()
        ask(columns, "hello")
        expect(columns.locator(".answer p")).to_have_text(["feedf00dfeed:hello", "3f9a12cd3f9a:hello"])
        expect(columns.locator(".facts span").first).to_contain_text("tone@previous@feedf00dfeed")
    finally:
        endpoint.models.replace(ADAPTERS)


@both
def test_the_golden_prompts_are_offered_until_something_is_asked(
    columns: Page, endpoint: RunningEndpoint, tmp_path: Path
) -> None:
    endpoint.examples = ["I got the job!", "<b>ahoy</b> " + "o" * 100]
    try:
        columns.reload()
        offered = columns.get_by_role("group", name="Example prompts").get_by_role("button")
        expect(offered).to_have_text(["I got the job!", "<b>ahoy</b> " + "o" * 48 + "…"])
        assert serious_findings(columns) == []
        columns.screenshot(path=tmp_path / "examples.png")
        offered.last.click()
        expect(columns.locator("#message")).to_have_value("<b>ahoy</b> " + "o" * 100)
        offered.first.click()
        expect(columns.locator("#message")).to_have_value("I got the job!")
        columns.press("#message", "Enter")
        expect(columns.locator(".answer p").first).to_have_text("I got the job!")
        expect(offered).to_have_count(0)
        columns.get_by_role("button", name="Delete turn").click()
        expect(offered).to_have_count(2)
    finally:
        endpoint.examples = ()


def test_an_answer_is_as_long_as_fits_and_says_how_much_that_is(columns: Page) -> None:
    columns.click("#settings summary")
    columns.fill("#max_tokens", "4096")
    ask(columns, "hi")
    expect(columns.locator(".answer p").first).to_have_text("hi")
    # "user: hi", "hi" and the end
    expect(columns.locator(".facts").first).to_contain_text("11 of 4096 tokens")


@both
def test_token_colours_tell_the_likeliest_of_both_models(columns: Page) -> None:
    ask(columns, "hi ü")
    expect(columns.locator("#send")).to_be_visible()
    button = columns.get_by_role("button", name="Token colours")
    expect(button).to_have_count(1)  # the base has nothing to be compared with
    button.click()
    tokens = columns.locator(".token")
    expect(tokens).to_have_text(list("3f9a12cd3f9a:hi ü"))
    columns.locator(".colours [role=group]").press("ArrowRight")
    expect(tokens.nth(1)).to_have_class("token chosen")
    likeliest = columns.locator(".likeliest")
    expect(likeliest).to_contain_text('"f": KL 0.00 nats')
    expect(likeliest).to_contain_text('base "f" 78 %, "g" 14 %')
    tokens.nth(0).hover()
    expect(likeliest).to_contain_text('"3": KL 0.00 nats')
    assert serious_findings(columns) == []
    button.click()
    expect(tokens).to_have_count(0)
    expect(columns.locator(".answer p").nth(1)).to_be_visible()


@both
def test_every_script_runs_in_its_own_direction(columns: Page) -> None:
    ask(columns, ARABIC)
    expect(columns.locator(".answer p").first).to_have_text(ARABIC)
    assert starts_right(columns, ".answer p")
    assert starts_right(columns, ".user")
    ask(columns, HINDI)
    expect(columns.locator(".answer p").nth(1)).to_have_text(HINDI)
    assert not starts_right(columns, ".answer:last-of-type p")
    assert columns.locator("#saved option").nth(1).inner_text() == ARABIC


def test_copy_takes_the_text_alone(columns: Page) -> None:
    ask(columns, "only this")
    columns.get_by_role("button", name="Copy", exact=True).first.click()
    expect(columns.locator("#send")).to_be_visible()
    assert columns.evaluate("navigator.clipboard.readText()") == "only this"


def test_the_code_is_the_same_request(columns: Page, endpoint: RunningEndpoint, tmp_path: Path) -> None:
    columns.locator(".scale").nth(1).fill("0.5")
    ask(columns, "it's code")
    expect(columns.locator(".answer")).to_have_count(2)
    expect(columns.locator("#send")).to_be_visible()
    columns.click("#code-button")
    columns.select_option("#code-model", index=1)
    environment = {"PATH": "/usr/bin:/bin", "OPENAI_API_KEY": KEY}
    columns.select_option("#code-kind", "curl")
    shown = columns.inner_text("#code-text")
    ran = subprocess.run(["bash", "-c", shown], env=environment, capture_output=True, check=True, text=True)
    assert json.loads(ran.stdout)["choices"][0]["message"]["content"] == "3f9a12cd3f9a*0.5:it's code"
    columns.select_option("#code-kind", "python")
    program = columns.inner_text("#code-text")
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
    )
    assert ran.stdout == "3f9a12cd3f9a*0.5:it's code\n"
    columns.select_option("#code-kind", "langchain")
    program = columns.inner_text("#code-text")
    assert ast.parse(program)
    assert f'base_url="{endpoint.url}/v1"' in program
    assert '("user", "it\'s code")' in program
    columns.select_option("#code-kind", "js")
    assert f'fetch("{endpoint.url}/v1/chat/completions"' in columns.inner_text("#code-text")


@both
def test_axe_finds_nothing_serious(columns: Page) -> None:
    columns.click("#settings summary")
    ask(columns, "hello")
    expect(columns.locator(".answer")).to_have_count(2)
    assert serious_findings(columns) == []
    columns.click("#code-button")
    assert serious_findings(columns, "document.getElementById('code')") == []
