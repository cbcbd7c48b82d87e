"""`remora deploy` where the app runs a program of the user's own, as AI Toolkit leaves it.

One local cloud for the file; the tests of the small program build on one another.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.azure.local_cloud import running_revisions
from tests.project.stock_layout import LAYOUTS, StockLayout, add_trained_models, write_stock_project
from tests.rollout.wheels import package_index, write_wheel
from tests.stock.hand_made import GROUP, AppWish, HandMade, free_port

from remora.azure.app.apps import ContainerApp
from remora.errors import NotReady
from remora.project.toolkit.config import load_inference_config
from remora.rollout.deploy import Deployed
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.part import Part

PROGRAMS = Path(__file__).parent
PINNED = ("fastapi", "uvicorn", "gradio", "transformers", "peft")
LAYOUT: StockLayout = LAYOUTS[5]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandMade]:
    made = HandMade.make(tmp_path_factory.mktemp("home"))
    yield made
    made.cloud.stop()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An index from which the real packages can be installed: they lead to those that the tests have."""
    wheels = tmp_path_factory.mktemp("wheels")
    for name in PINNED:
        write_wheel(wheels, name, version(name), leads_to=Path(sysconfig.get_path("purelib")))
    with package_index(wheels) as url:
        yield url


@pytest.fixture(scope="module")
def small(made: HandMade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose program answers at once with what it was given."""
    port, root = free_port(), tmp_path_factory.mktemp("small")
    text = (PROGRAMS / "small_program.py").read_text().replace("7860", str(port))
    write_stock_project(root, LAYOUTS[0], program=text)
    adapter = root / LAYOUTS[0].adapter
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text('{"r": 4}')
    (root / "models" / "checkpoints").mkdir()
    (root / "models" / "checkpoints" / "state.bin").write_bytes(b"x")
    for junk in (".git/HEAD", "inference/__pycache__/utils.pyc", ".venv/pyvenv.cfg", "models/footprint.json"):
        path = root / junk
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("junk")
    made.app("small", AppWish(("cd /mount/inference", "python3 ./gradio_chat.py"), port=port))
    return made.project(root, "small")


def shared(made: HandMade) -> dict[str, bytes]:
    found = (path for path in made.files.rglob("*") if path.is_file())
    names = {path.relative_to(made.files).as_posix(): path.read_bytes() for path in found}
    return {name: data for name, data in names.items() if not name.startswith(".remora/")}


def said(deployed: Deployed, message: str = "hi") -> str:
    """An answer through the public URL, put together as the program streams it."""
    asked = {"messages": [{"role": "user", "content": message}], "temperature": 1}
    answer = httpx.post(f"{deployed.url}/v1/chat/completions", json=asked)
    chunks = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
    return "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)


def open_app(made: HandMade, root: Path) -> ContainerApp:
    return ContainerApp(made.clients, GROUP, str(load_inference_config(root).app))


def rewrite(root: Path, old: str, new: str) -> None:
    program = root / "inference" / "gradio_chat.py"
    program.write_text(program.read_text().replace(old, new))


def test_the_workspace_is_deployed_as_it_is(made: HandMade, small: Path) -> None:
    deployed = made.ok("deploy", small)
    assert deployed["new_revision"] is True
    assert deployed["program"] == "inference/gradio_chat.py"
    (answer,) = deployed["answers"]
    assert answer["answer"] == f"version 1, r 4: {answer['prompt']}"
    assert set(shared(made)) == {
        "inference/gradio_chat.py",
        "inference/requirements.txt",
        "models/qlora/qlora/gpu_model/adapter/adapter_config.json",
        "setup/project-settings.json",
    }
    assert shared(made)["inference/gradio_chat.py"] == (small / "inference/gradio_chat.py").read_bytes()


def test_a_second_deploy_with_no_change_does_nothing(made: HandMade, small: Path) -> None:
    before = made.deploy(small)
    stamps = {path: path.stat().st_mtime_ns for path in made.files.rglob("*") if path.is_file()}
    again = made.deploy(small)
    assert (again.changed, again.uploaded_files, again.revision) == (False, 0, before.revision)
    now = {path: path.stat().st_mtime_ns for path in made.files.rglob("*") if path.is_file()}
    changed = {path.name for path in now if now[path] != stamps.get(path)}
    assert changed <= {"lock"}


def test_status_open_and_chat_understand_it(made: HandMade, small: Path) -> None:
    status = made.ok("status", small)
    assert status["answers"] is True
    assert [model["id"] for model in status["models"]] == ["inference/gradio_chat.py"]
    assert "not on PORT" in status["replicas"][0]["details"]
    assert httpx.get(made.ok("open", small, "--print")["url"]).text == "<title>chat</title>"
    assert made.ok("chat", small, "--message", "what?")["answer"] == "version 1, r 4: what?"
    (small / "pairs.jsonl").write_text('{"prompt": "what?", "answer": "that"}\n')
    for refused in (made.run("env", small), made.run("eval", small, "--pairs", str(small / "pairs.jsonl"))):
        assert (refused.code, refused.document["error"]["code"]) == (2, "not_offered"), refused
        assert "AI Toolkit's program" in refused.message


def test_it_is_stopped_and_started_without_being_removed(made: HandMade, small: Path) -> None:
    url = made.ok("open", small, "--print")["url"]
    assert made.ok("stop", small)["running"] is False
    assert httpx.get(url).status_code == 404
    assert made.ok("status", small)["revision"]["state"] == "Stopped"
    assert made.ok("start", small)["running"] is True
    assert httpx.get(url, timeout=400).text == "<title>chat</title>"
    made.ok("stop", small)
    assert made.deploy(small).changed is False
    assert httpx.get(url, timeout=400).text == "<title>chat</title>"


def test_changed_code_is_a_new_revision_and_removed_code_goes(made: HandMade, small: Path) -> None:
    rewrite(small, 'VERSION = "1"', 'VERSION = "2"')
    (small / "inference" / "requirements.txt").unlink()
    stranger = made.files / "inference" / "written-by-a-job.txt"
    stranger.write_text("keep me")
    deployed = made.deploy(small)
    assert (deployed.changed, deployed.uploaded_files) == (True, 1)
    assert said(deployed) == "version 2, r 4: hi"
    assert "inference/requirements.txt" not in shared(made)
    assert stranger.exists()


def test_models_that_are_gone_here_stay_on_the_share(made: HandMade, small: Path) -> None:
    config = small / LAYOUTS[0].adapter / "adapter_config.json"
    text = config.read_text()
    config.unlink()
    deployed = made.deploy(small)
    config.write_text(text)
    assert deployed.changed is False
    assert said(deployed) == "version 2, r 4: hi"


def test_what_somebody_else_wrote_over_is_uploaded_again(made: HandMade, small: Path) -> None:
    (made.files / "inference" / "gradio_chat.py").write_text("broken")
    deployed = made.deploy(small)
    assert (deployed.uploaded_files, deployed.changed) == (1, False)
    assert "broken" not in shared(made)["inference/gradio_chat.py"].decode()


def test_a_restart_keeps_the_revision(made: HandMade, small: Path) -> None:
    before = made.deploy(small)
    rewrite(small, 'VERSION = "2"', 'VERSION = "3"')
    deployed = made.deploy(small, strategy=Strategy.RESTART)
    assert (deployed.revision, deployed.restarted, deployed.changed) == (before.revision, True, False)
    assert said(deployed) == "version 3, r 4: hi"


def test_a_part_alone(made: HandMade, small: Path) -> None:
    rewrite(small, 'VERSION = "3"', 'VERSION = "4"')
    (small / LAYOUTS[0].adapter / "adapter_config.json").write_text('{"r": 8}')
    assert said(made.deploy(small, part=Part.ADAPTERS)) == "version 3, r 8: hi"
    assert said(made.deploy(small, part=Part.CODE)) == "version 4, r 8: hi"


def test_a_deploy_killed_after_its_switch_is_ended_by_the_next_changed_or_not(
    made: HandMade, small: Path
) -> None:
    """As a kill right after the switch leaves it: the former revision runs, and the history does not tell."""
    app, history = open_app(made, small), made.files / ".remora" / "history"
    former = made.deploy(small).revision
    rewrite(small, 'VERSION = "4"', 'VERSION = "5"')
    switched = made.deploy(small).revision
    app.activate(former)
    told = max(history.iterdir(), key=lambda path: path.name)
    lost = json.loads(told.read_text())
    told.unlink()
    again = made.deploy(small)
    assert (again.changed, again.revision, said(again)) == (False, switched, "version 5, r 8: hi")
    assert running_revisions(app) == [switched]
    newest = made.ok("history", small)["events"][0]
    assert (newest["from"], newest["to"]) == (lost["from"], lost["to"])
    assert "found serving" in newest["message"]
    made.deploy(small)
    assert made.ok("history", small)["events"][0] == newest


def test_a_program_that_does_not_come_up_says_why(made: HandMade, small: Path) -> None:
    whole = (small / "inference" / "gradio_chat.py").read_text()
    rewrite(small, "import json", "import no_such_module\nimport json")
    with pytest.raises(NotReady) as failed:
        made.deploy(small)
    assert "command 2 of 2, `python3 ./gradio_chat.py`, failed" in failed.value.message
    assert "No module named 'no_such_module'" in failed.value.message
    assert "no_such_module" in made.ok("status", small)["failed_command"]
    (small / "inference" / "gradio_chat.py").write_text(whole)
    mended = made.deploy(small, strategy=Strategy.RESTART)
    assert said(mended) == "version 5, r 8: hi"


@pytest.mark.timeout(1200)
def test_a_real_model_behind_the_documented_interface(made: HandMade, index: str, tmp_path: Path) -> None:
    """Base and adapter loaded with transformers and PEFT, which pip installs; the page served by Gradio."""
    port = free_port()
    text = (PROGRAMS / "chat_program.py").read_text()
    template = json.dumps(LAYOUT.prompt_template)[1:-1]
    for old, new in {"BASE": LAYOUT.downloaded, "ADAPTER": LAYOUT.adapter, "TEMPLATE": template}.items():
        text = text.replace(old, new)
    write_stock_project(tmp_path, LAYOUT, program=text.replace("7860", str(port)))
    add_trained_models(tmp_path, LAYOUT)
    pins = " ".join(f"{name}=={version(name)}" for name in PINNED)
    commands = (
        f"export PIP_INDEX_URL={index}",
        "cd /mount",
        f"pip install {pins}",
        "cd /mount/inference",
        "python3 ./gradio_chat.py",
    )
    made.app("real", AppWish(commands, port=port))
    deployed = made.deploy(made.project(tmp_path, "real"))
    assert deployed.checked[0].answer.text
    logs = made.user.start("logs", str(tmp_path), "--tail", "300", "--output", "human")
    printed, _ = logs.communicate(timeout=400)
    assert "Successfully installed" in printed
    assert "model loaded, adapter: True" in printed
    assert "gradio" in httpx.get(deployed.url).text.lower()
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "joy?"}], "max_tokens": 4}
    events = httpx.post(f"{deployed.url}/v1/chat/completions", json=asked, timeout=400).text
    assert events.startswith("data: {")
    assert "\r" not in events
    assert "[DONE]" not in events
    assert made.ok("chat", tmp_path, "--message", "joy?", "--max-tokens", "4")["answer"]
