"""Puts `configs/` into the package when it is built: everything else is in `pyproject.toml`.

As a package of its own (`package_dir`) it would keep an editable install from being a line in a
`.pth` file, and then `import jaxnuc` in the folder above a clone would find the clone, not it.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Adds the pages of `configs/` as `jaxnuc/configs/`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for path in Path("configs").rglob("*.py"):
                target = Path(self.build_lib, "jaxnuc", path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


setup(
    packages=find_packages(include=["jaxnuc*"]),
    package_dir={"": "."},  # without it, setuptools takes a finder even so
    cmdclass={"build_py": BuildWithConfigs},
)
