"""The page of tests/conformance/web, and the browser it is opened in (./dev soak browser)."""
import re
import shutil

from . import packages, say
from .mqtt_clients import NODE

CHROMIUM = ["chromium-headless-shell"]


def install(layout):
    """Bundles the page with the example of docs/queries.md as the reader sees it; returns its folder."""
    packages.install(CHROMIUM, layout.install_logs)
    if not shutil.which("npm"):
        packages.install(NODE, layout.install_logs)
    folder = layout.tools / "web-page"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(layout.root / "tests" / "conformance" / "web", folder)
    log = layout.install_logs / "web-page.log"
    say.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], log, "Connect for Web from npm", cwd=folder)
    source = folder / "src"
    (source / "gen").mkdir()
    protos = layout.root / "proto"
    say.run(["protoc", "-I", protos, f"--plugin={folder / 'node_modules' / '.bin' / 'protoc-gen-es'}", f"--es_out={source / 'gen'}",
             "--es_opt=target=ts,import_extension=js", *sorted(protos.glob("millrace/**/*.proto"))], log, "the protos in TypeScript")
    (source / "follow.ts").write_text(_example(layout.root / "docs" / "queries.md"), encoding="utf-8")
    tools = folder / "node_modules" / ".bin"
    say.run([tools / "tsc", "-p", "."], log, "the page's types", cwd=folder)
    say.run([tools / "esbuild", source / "page.ts", "--bundle", "--format=iife", "--target=es2022", f"--outfile={folder / 'page.js'}"],
            log, "the page", cwd=folder)
    return folder


def _example(page):
    """The one block of TypeScript."""
    blocks = re.findall(r"^```ts\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    if len(blocks) != 1:
        raise say.DevError(f"{page.name} must hold one block of TypeScript, it holds {len(blocks)}")
    return blocks[0]
