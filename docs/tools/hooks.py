"""What the site has besides the files of docs/: pages made of the code, and links to them.

Links in docs/ hold in the repository, where a page of `configs/` is a file; here they lead to
what the site says of it.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_spec = importlib.util.spec_from_file_location("reference", HERE / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

# Files of the repository that are pages here, and the page that says what the README says.
BESIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages that are made of the code into the navigation."""
    python: list[Any] = ["python/index.md"]
    for group, packages in reference.PYTHON.items():
        python.append({group: [{name: f"python/{name}.md"} for name in packages]})
    names = {"commands": "Commands", "configuration": "Keys", "configurations": "Configurations"}
    at = next(k for k, entry in enumerate(config.nav) if "Project" in entry)
    config.nav[at:at] = [
        {"Reference": [{title: f"reference/{name}.md"} for name, title in names.items()]},
        {"Python": python},
    ]
    project = next(entry for entry in config.nav if "Project" in entry)["Project"]
    project += [{"Contributing": "contributing.md"}, {"Changes": "changelog.md"}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    for address, text in reference.pages().items():
        files.append(File.generated(config, address, content=text))
    for name, address in BESIDE.items():
        if address == "index.md":
            continue
        text = (ROOT / name).read_text().replace("](docs/", "](")
        for other, page in BESIDE.items():
            text = text.replace(f"]({other}", f"]({page}")
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Leads links to files of the repository to their pages."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(
        r"\]\((?:\.\./)*configs/(?:studies/)?(\w+)\.py\)",
        rf"]({up}reference/configurations.md#\1)",
        markdown,
    )
    for name, address in BESIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{name}", f"]({up}{address}", markdown)
    return reference_links(markdown)


def reference_links(markdown: str) -> str:
    """Names of the library in backticks lead to their description, which has to be there.

    Not in blocks of code, nor in headings, nor where there is a link already.
    """
    lines, inside = [], False
    for line in markdown.splitlines():
        inside ^= line.lstrip().startswith("```")
        if not inside and not line.startswith("#"):
            line = re.sub(r"(?<!\[)`(jaxnuc(?:\.[^\W_]\w*)+)(\(\))?`(?!\])", r"[`\1\2`][\1]", line)
        lines.append(line)
    return "\n".join(lines)
