"""The README's examples run, in order, in one interpreter; its commands exist."""

import re
from pathlib import Path

import jaxnuc

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"(<!-- needs runs/quickstart -->\n)?```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 3
    names: dict = {}
    for needs_run, code in blocks:
        if needs_run:
            monkeypatch.chdir(tmp_path)
            config = jaxnuc.config.default()
            config.model = {"name": "flexible_unet", "variant": "small", "layers": 2}
            config.data.source = {"name": "synthetic", "size": 32}
            config.data.transforms = ()
            config.batch_size, config.duration = 2, "2 steps"
            config.schedule = {"name": "constant"}
            jaxnuc.train_and_evaluate(config, "runs/quickstart")
        exec(compile(code, "README.md", "exec"), names)
    assert names["maps"]["mask"].shape == (1, 64, 64, 1)
    assert int(names["current"].step) == 3
    assert names["result"].instances.shape == names["image"].shape[:2]
    assert capsys.readouterr().out.startswith("1.0 1.0 1.0")


def test_commands_name_files_that_exist():
    for name in set(re.findall(r"(?:configs/|jaxnuc/)?\w+\.py", TEXT)) - {"predict.py"}:
        assert (ROOT / name).exists(), name
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    for target in re.findall(r"^make (\w+)", TEXT, re.M):
        assert target in targets
