"""The table of refusals of docs/protocols.md: rows that tests saw, written and compared."""
import os
import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocols.md"
BEGIN, END = "<!-- refusals: begin -->", "<!-- refusals: end -->"
PROTOCOLS = ["HTTP", "CoAP", "MQTT 5", "MQTT 3.1.1"]


def steady(text):
    """Without what differs from run to run: times to wait."""
    text = re.sub(r'("retry_after(?:_m)?s":\s*)\d+', r"\1…", text)
    text = re.sub(r"try again in \d+ ms", "try again in … ms", text)
    return text


def table(rows):
    """Markdown of {what was refused: {protocol: what the client was told}}."""
    lines = ["| what | " + " | ".join(PROTOCOLS) + " |", "|---|" + "---|" * len(PROTOCOLS)]
    for what, told in rows.items():
        lines.append(f"| {what} | " + " | ".join(steady(told.get(protocol, "–")) for protocol in PROTOCOLS) + " |")
    return "\n".join(lines) + "\n"


def compare(rows):
    """Fails where the document says something else; with MILLRACE_WRITE_DOCS=1 the document is written instead."""
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN)
    written, after = rest.split(END)
    found = "\n" + table(rows)
    if os.environ.get("MILLRACE_WRITE_DOCS"):
        DOCUMENT.write_text(before + BEGIN + found + END + after)
        return
    assert written == found, "docs/protocols.md does not say what was seen; write it with MILLRACE_WRITE_DOCS=1"
