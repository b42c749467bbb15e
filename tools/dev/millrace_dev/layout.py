"""Where things are. One Layout belongs to one clone."""
import os
from pathlib import Path


def private_folder(path, passable=False):
    """Makes the folder if need be, for its user alone. `passable`: where that is root, PostgreSQL's own user passes through
    it to a folder whose name it knows, and reads nothing of it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711 if passable and os.geteuid() == 0 else 0o700)
    return path


class Layout:
    def __init__(self, root=None, state=None):
        self.root = Path(root) if root else Path(__file__).resolve().parents[3]
        self.state = Path(state or os.environ.get("MILLRACE_DEV_STATE") or self.root / ".dev").absolute()
        self.tools = self.state / "tools"
        self.kafka_jars = self.state / "kafka" / "jars"
        self.kafka_archive = self.state / "kafka" / "classes.jsa"
        self.install_logs = self.state / "install"
        self.stack = self.state / "up"
        self.test = self.state / "test"
        self.bench = self.state / "bench"
        self.soak = self.state / "soak"
        self.deploy = self.root / "deploy"

    def build(self, preset="release"):
        return self.root / "build" / preset

    @property
    def binaries(self):
        """The folder of the programs; MILLRACE_BIN runs others, for example a sanitizer build."""
        return Path(os.environ.get("MILLRACE_BIN") or self.build() / "bin")

    def data(self):
        """The folder of recorded data sets: MILLRACE_DATA, or a folder `data` in the clone or in a neighbour of it."""
        named = os.environ.get("MILLRACE_DATA")
        if named:
            return Path(named)
        candidates = [self.root / "data"] + sorted(self.root.parent.glob("*/data"))
        return next((folder for folder in candidates if (folder / "ett").is_dir()), None)
