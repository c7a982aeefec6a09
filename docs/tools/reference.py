"""The pages of the site that are made of the code: commands, configurations, the Python interface.

Each function gives the Markdown of pages by their addresses in the site. Nothing here imports JAX.
"""

import argparse
import ast
import io
import re
import textwrap
import tokenize
from pathlib import Path

import jaxnuc.config
from jaxnuc.cli.main import COMMANDS, command_parser

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "jaxnuc"

# What people do, and the packages with which they do it. Every package has one place.
PYTHON = {
    "Find nuclei": ("prediction", "outputs", "outputs.formats", "reports"),
    "Score": ("metrics", "metrics.definitions", "metrics.protocols", "evaluation"),
    "Read": (
        *("io", "io.annotations", "data", "data.sources", "data.transforms", "data.synthetic"),
        "labels",
    ),
    "Train": ("training", "optim", "losses", "config", "build", "run", "pretrained", "studies"),
    "Make methods": (
        *("models", "representations", "representations.targets", "postprocess"),
        *("registry", "durations", "traced"),
    ),
    "Command line": ("cli",),
}


# --- the Python interface


def modules() -> list[str]:
    """Every public module, such as `jaxnuc.metrics.scores`; packages are modules too."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts):
            found.append(".".join(parts))
    return found


def _summary(module: str) -> str:
    """The first sentence of its docstring."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _own_names(package: str) -> list[str]:
    """What is described with a package, since no other public module defines it."""
    path = ROOT.joinpath(*package.split("."), "__init__.py")
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom) and "._" in (node.module or ""):
            names += [each.name for each in node.names]
    return [name for name in names if name[0] != "_"]


def _exports(package: str) -> list[str]:
    """The names of `__all__`."""
    path = ROOT.joinpath(*package.split("."), "__init__.py")
    for node in ast.parse(path.read_text()).body if path.exists() else ():
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def python_pages() -> dict[str, str]:
    """A page for each package with all of its modules, and one that leads to them.

    Raises:
      ValueError: a package is missing in `PYTHON`, or a package there does not exist.
    """
    packages = [package for group in PYTHON.values() for package in group]
    pages: dict[str, list[str]] = {package: [] for package in packages}
    for module in modules():
        name = module.removeprefix("jaxnuc").lstrip(".")
        if name in ("", "__main__"):
            continue
        owner = name if name in pages else name.rpartition(".")[0]
        if owner not in pages:
            raise ValueError(f"{__file__}: PYTHON has no place for the package {owner!r}")
        pages[owner].append(module)
    texts = {"python/index.md": _python_index()}
    for package, members in pages.items():
        if not members:
            raise ValueError(
                f"{__file__}: PYTHON names the package {package!r}, which is not there"
            )
        texts[f"python/{package}.md"] = _package_page(package, members)
    return texts


def _python_index() -> str:
    lines = [
        "# From Python",
        "",
        "These functions do what the commands do. `import jaxnuc` is cheap: a package is imported",
        "when it is first used.",
        "",
    ]
    for name in jaxnuc._FUNCTIONS:
        lines.append(f"- [`jaxnuc.{name}`][{jaxnuc._FUNCTIONS[name]}.{name}]")
    for group, packages in PYTHON.items():
        lines += ["", f"## {group}", "", "| package | |", "| --- | --- |"]
        lines += [f"| [`{each}`]({each}.md) | {_summary('jaxnuc.' + each)} |" for each in packages]
    return "\n".join(lines) + "\n"


def _package_page(package: str, members: list[str]) -> str:
    # Guides come before the reference in the results of a search.
    lines = ["---", "search:", "  boost: 0.2", "---", f"# {package}", ""]
    names = [name for name in _exports(f"jaxnuc.{package}") if not name.isupper()]
    if names:
        links = [f"[`{name}`][jaxnuc.{package}.{name}]" for name in names]
        lines += [f"Short names, `from jaxnuc.{package} import ...`: {', '.join(links)}.", ""]
    for module in members:
        lines += [f"::: {module}"]
        if (PACKAGE.parent / module.replace(".", "/")).is_dir():
            lines += ["    options:", f"      members: {_own_names(module) or 'false'}"]
        lines += [""]
    return "\n".join(lines)


# --- configurations


def config_keys() -> list[tuple[str, str, str, str]]:
    """Every key of a configuration: what stands above it, key, default and meaning.

    They are the statements of `jaxnuc.config.default` and the comments behind them.
    """
    source = Path(jaxnuc.config.__file__).read_text()
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (function,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "default"
    )
    found = []
    for node in function.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Attribute):
            continue
        key = ast.unparse(node.targets[0]).removeprefix("config.")
        value = node.value
        if isinstance(value, ast.Call):  # ConfigDict(...)
            value = value.args[0] if value.args else value
        above = comments.get(node.lineno - 1, "") if _alone(source, node.lineno - 1) else ""
        meaning = " ".join(
            comments[line] for line in range(node.lineno, node.end_lineno + 1) if line in comments
        )
        found.append(
            (above, key, "{}" if isinstance(value, ast.Call) else ast.unparse(value), meaning)
        )
    return found


def _alone(source: str, line: int) -> bool:
    return source.splitlines()[line - 1].lstrip().startswith("#")


def configuration_page() -> str:
    """All keys by section."""
    doc = ast.get_docstring(ast.parse(Path(jaxnuc.config.__file__).read_text()))
    lines = [
        "# Every key of a configuration",
        "",
        doc.partition("\n\n")[2].replace("`default()`", "these defaults"),
        "",
        "Each can be set on the command line: `--config.batch_size=8`,",
        "`--config.model.variant=full`, `--config.data.source='folder(images=\"photos\")'`.",
    ]
    keys = config_keys()
    sections = {key.partition(".")[0] for _, key, _, _ in keys if "." in key}
    without_section = iter(("The method", "Training", "Checkpoints and the log"))
    current = None
    for above, key, default, meaning in keys:
        section = key.partition(".")[0] if key.partition(".")[0] in sections else ""
        if section != current:
            about = f"{above} {meaning}".strip() if key in sections else ""
            lines += ["", f"## {section or next(without_section)}", "", about]
            lines += ["", "| key | default | meaning |", "| --- | --- | --- |"]
            current = section
        if key not in sections:
            names = re.sub(r"(?<![`\w])(jaxnuc(?:\.\w+)+)", r"`\1`", meaning)
            cells = f"`{key}`", f"`{default}`", names
            lines.append("| " + " | ".join(each.replace("|", r"\|") for each in cells) + " |")
    return _with_links("\n".join(lines) + "\n")


def _with_links(text: str) -> str:
    """Leads what the code says of a page of docs/ to that page."""
    text = re.sub(r"`?docs/(\w+)\.md`?", r"[\1](../\1.md)", text)
    return text.replace("jaxnuc/config/__init__.py documents", "[Keys](configuration.md) documents")


def pages_page() -> str:
    """What each page of `configs/` says at its top."""
    lines = [
        "# The configurations that come with it",
        "",
        "`jaxnuc train --config=NAME` takes each by its name; its arguments follow a colon,",
        "`--config=harunet_dsb2018:small`. Copy one to begin your own.",
    ]
    for folder, title, prefix in (
        ("configs", "For `jaxnuc train`", ""),
        ("configs/models", "For `jaxnuc train`: the models that come with it", "models/"),
        ("configs/studies", "For `jaxnuc study`", ""),
    ):
        lines += ["", f"## {title}"]
        for path in sorted((ROOT / folder).glob("*.py")):
            doc = ast.get_docstring(ast.parse(path.read_text())) or ""
            lines += ["", f"### {prefix}{path.stem}", "", doc]
    return _with_links("\n".join(lines) + "\n")


# --- commands


def commands_page() -> str:
    """Every flag of every command."""
    lines = ["# The commands", ""]
    lines += [
        "`jaxnuc COMMAND --help` shows the same. A wrong flag is an error that names the nearest."
    ]
    for name in COMMANDS:
        parser = command_parser(name)
        summary, _, rest = (parser.description or "").strip().partition("\n")
        lines += ["", f"## jaxnuc {name}", "", summary]
        lines += ["", "```", parser.format_usage().removeprefix("usage: ").strip(), "```"]
        if rest.strip():
            lines += ["", _paragraphs(rest)]
        options = [each for each in parser._actions if not isinstance(each, argparse._HelpAction)]
        lines += ["", "| option | |", "| --- | --- |"]
        lines += [f"| {_flag(each)} | {_help(each)} |" for each in options]
        if parser.epilog:
            lines += ["", parser.epilog]
    return _with_links("\n".join(lines) + "\n")


def _paragraphs(text: str) -> str:
    """What a help says: indented lines are commands."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        indented = all(line.startswith("  ") for line in block.splitlines())
        blocks.append(
            f"```\n{textwrap.dedent(block)}\n```" if indented else block.replace("\n", " ")
        )
    return "\n\n".join(blocks)


def _flag(action: argparse.Action) -> str:
    names = action.option_strings or [action.dest]
    values = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    takes = "" if action.nargs == 0 or not action.option_strings else f"={values}"
    return ", ".join(f"`{name}{takes}`".replace("|", r"\|") for name in names)


def _help(action: argparse.Action) -> str:
    if action.help == argparse.SUPPRESS:
        return "see [Images and slides](../prediction.md)"
    return (action.help or "").replace("%%", "%").replace("|", r"\|") % {}


def pages() -> dict[str, str]:
    """All of them: the Markdown by the address in the site."""
    return {
        "reference/commands.md": commands_page(),
        "reference/configuration.md": configuration_page(),
        "reference/configurations.md": pages_page(),
        **python_pages(),
    }
