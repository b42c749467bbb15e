"""CMake and ninja."""
import os

from . import say


def build(layout, preset="release", targets=()):
    folder = layout.build(preset)
    jobs = os.environ.get("MILLRACE_DEV_JOBS")
    if not (folder / "build.ninja").exists():
        say.run(["cmake", "--preset", preset], layout.install_logs / f"cmake-{preset}.log", f"cmake --preset {preset}",
                cwd=layout.root)
    command = ["ninja", "-C", folder] + (["-j", jobs] if jobs else []) + list(targets)
    say.run(command, layout.install_logs / f"ninja-{preset}.log", f"build ({preset})", tail=60)
