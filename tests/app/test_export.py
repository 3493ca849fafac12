"""The standalone page: the player's own modules, the run as data, a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

import backend
from backend.__main__ import main
from backend.store import load_run, save_run
from components import wire
from components.export_view import ASSETS, HOME, export_page, import_map, modules, rewritten
from components.html import script, style
from tests.app.fakes import NASTY, recorded

ROOT = Path(__file__).resolve().parents[2]
PAGE = export_page(recorded())


def held(page: str) -> dict[str, object]:
    """Return the run that a page carries."""
    return json.loads(re.search(r'<script type="application/json" id="unmask-run">(.*?)</script>', page, re.S)[1])


def test_every_module_that_the_player_imports_is_inlined_under_its_name() -> None:
    inlined = json.loads(import_map())["imports"]
    for name, source in modules().items():
        assert base64.b64decode(inlined[f"unmask/{name}"].partition(",")[2]).decode() == source
        assert not re.search(r"""["']\./[\w/-]+\.js["']""", source) and "import.meta" not in source
        assert {f"unmask/{item}" for item in re.findall(r'from "unmask/([^"]+)"', source)} <= set(inlined)
    assert {"app.js", "trace.js", "grid.js"} <= set(modules())


@pytest.mark.parametrize(("written", "read"), [
    ('import { el } from "./dom.js";', 'import { el } from "unmask/dom.js";'),
    ("import * as grid from './grid.js'", "import * as grid from 'unmask/grid.js'"),
    ('import "./page.js";', 'import "unmask/page.js";'),
    ('kit ??= await import("./chart.js");', 'kit ??= await import("unmask/chart.js");'),
    ('export { a } from "./a/b.js";', 'export { a } from "unmask/a/b.js";'),
    ("new URL('../', import.meta.url)", f"new URL('../', \"{HOME}x.js\")"),
    ('const text = "from ./dom.js";', 'const text = "from ./dom.js";'),
])
def test_relative_imports_become_names_of_the_map(written: str, read: str) -> None:
    assert rewritten(written, "x.js") == read


def test_the_page_carries_the_wire_events_and_every_candidate() -> None:
    run = held(PAGE)
    assert run["events"] == json.loads(wire.dumps(wire.Encoder("example").encode(recorded())))
    assert [item[0] for item in run["steps"]["1"]] == [2, 3, 4] and run["texts"]["6"] == NASTY


def test_text_of_a_run_can_neither_end_the_data_nor_begin_an_element() -> None:
    start, *rest = recorded()
    texts = {4: "</script><script>window.ran=1</script><!--", 5: "half \ud800", 9: "]]>"}
    named = replace(start, texts=texts, model=replace(start.model, name="</title><script>alert(1)</script>"))
    page = export_page((named, *rest))
    assert held(page)["events"][0]["texts"]["4"] == texts[4]
    assert page.count("<script") == 4 and "<img" not in page and "</title><script>" not in page
    page.encode()


def test_the_policy_allows_the_scripts_of_the_page_by_their_hashes_and_no_address() -> None:
    policy = unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', PAGE)[1])
    scripts = re.findall(r'<script type="(?:importmap|text/javascript|module)">(.*?)</script>', PAGE, re.S)
    wanted = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in scripts]
    assert len(scripts) == 3 and all(f"'sha256-{item}'" in policy for item in wanted)
    assert "default-src 'none'" in policy and "http" not in policy and "connect-src" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert not re.search(r'(?:src|href)="(?!https?://www\.w3\.org)', re.sub(r'<script.*?</script>', "", PAGE, flags=re.S))


def test_without_scripts_the_page_is_a_table() -> None:
    inside = PAGE.split("<noscript>")[1].split("</noscript>")[0]
    assert "Canvas after step 2 of 2" in inside


def test_a_script_or_sheet_that_would_end_its_element_is_refused() -> None:
    for source in ("x = '</script>'", "<!-- x", "</SCRIPT"):
        with pytest.raises(ValueError, match="end its own element"):
            script(source, "module")
    with pytest.raises(ValueError, match="end its own element"):
        style("</style>")


def test_a_notebook_gets_the_page_in_a_frame_that_reaches_nothing_around_it() -> None:
    shown = backend.show(recorded(), height=500)._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts"') and 'height="500"' in shown and shown.count("<") == 2
    assert unescape(re.search(r'srcdoc="([^"]*)"', shown)[1]) == PAGE == backend.show(iter(recorded())).html


def test_showing_a_run_does_not_load_the_ui_library() -> None:
    code = ("import sys, backend; from pathlib import Path\n"
            "run = backend.load_run('assets/examples/first.unmask')\n"
            "sys.exit(not backend.show(run).html or 'gradio' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=240).returncode == 0


def test_the_command_writes_the_page_of_a_saved_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, page = save_run(recorded(), tmp_path / "a.unmask"), tmp_path / "a.html"
    assert main(["export", str(saved), "--html", str(page)]) == 0
    assert held(page.read_text()) == held(PAGE) and str(page) in capsys.readouterr().out
    assert main(["export", str(tmp_path / "none"), "--html", str(page)]) == 2
    assert main(["export", str(saved), "--html", str(tmp_path / "no" / "a.html")]) == 2
    said = capsys.readouterr().err
    assert "cannot be read" in said and "cannot be written" in said and "Traceback" not in said


def test_the_assets_of_the_page_of_its_own_are_in_place() -> None:
    assert (ASSETS / "standalone.js").is_file() and load_run(ASSETS / "examples" / "first.unmask")
