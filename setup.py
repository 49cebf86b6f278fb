"""What is installed: `hrm_scale` alone, with `tools/` and `shards/` inside it as subpackages.

Both folders lie at the top of a clone. There, and in an editable install, they are plain packages;
in a wheel they are `hrm_scale.tools` and `hrm_scale.shards`, because names as common as these must
not land in site-packages.
"""

import sys

from setuptools import find_packages, setup

INSIDE = ("shards", "tools")


def packages_of(top: str) -> list[str]:
    return find_packages(include=[top, f"{top}.*"])


if "editable_wheel" in sys.argv:
    # A plain path entry, which type checkers and editors follow.
    tops = ("hrm_scale", *INSIDE, "benchmarks", "tests")
    setup(packages=[name for top in tops for name in packages_of(top)], package_dir={"": "."})
else:
    inside = [f"hrm_scale.{name}" for top in INSIDE for name in packages_of(top)]
    setup(
        packages=packages_of("hrm_scale") + inside,
        package_dir={f"hrm_scale.{top}": top for top in INSIDE},
    )
