"""CMake and ninja."""
import os

from . import arrow, say


def build(layout, preset="release", targets=()):
    folder = layout.build(preset)
    jobs = os.environ.get("MILLRACE_DEV_JOBS")
    made = folder / "build.ninja"
    arrow.offer(layout)
    if not made.exists() or arrow.newer_than(layout, made):
        say.run(["cmake", "--preset", preset, f"-DMILLRACE_ARROW={arrow.folder(layout)}"],
                layout.install_logs / f"cmake-{preset}.log", f"cmake --preset {preset}", cwd=layout.root)
    command = ["ninja", "-C", folder] + (["-j", jobs] if jobs else []) + list(targets)
    say.run(command, layout.install_logs / f"ninja-{preset}.log", f"build ({preset})", tail=60)
