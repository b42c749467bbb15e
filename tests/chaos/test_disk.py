"""PostgreSQL runs out of disk under load, for its tables and its log at once."""
import time

from fleet_run import written
from load import Since
from millrace_dev.say import DevError
from millrace_lab import eventually
from small_disk import MIB, SmallDisk

FULL_FOR = 15  # seconds


def _written_or_none(lab):
    """None while the database does not answer."""
    try:
        return written(lab)
    except DevError:
        return None


def _stands_still(lab, disk):
    """Whether the disk is full and nothing has been written for two seconds."""
    if disk.free() > 16 * MIB:
        return False
    before = _written_or_none(lab)
    time.sleep(2)
    return _written_or_none(lab) == before


def test_full_disk_for_the_database(load):
    """What is acknowledged meanwhile waits in Kafka. When there is room again everything is stored, once; a PostgreSQL that
    gave up is started again, as its supervisor would."""
    lab = load.lab
    lab.allowed_errors |= {"database", "PostgreSQL", "connection", "transaction", "space", "No space left", "recovery"}
    with SmallDisk(lab, 1024 * MIB) as disk:
        log = lab.member("postgres").process.log
        mark = log.stat().st_size
        load.start(60 + FULL_FOR)
        disk.fill(leave=24 * MIB)
        eventually(lambda: _stands_still(lab, disk), 120, "the disk to be full")
        acknowledged = load.run.acknowledged()
        time.sleep(FULL_FOR)
        meanwhile = load.run.acknowledged() - acknowledged
        disk.make_room()
        since = Since()
        died = not lab.member("postgres").alive()
        if died:
            lab.restart("postgres")
        before = eventually(lambda: _written_or_none(lab), 120, "PostgreSQL to answer")
        eventually(lambda: (_written_or_none(lab) or 0) > before, 120, "the writer to get on")
        load.note(victim="postgres", fault=f"disk full {FULL_FOR} s", back_s=round(float(since), 1), postgres_died=died,
                  acknowledged_meanwhile=meanwhile)
        load.finish()
        assert meanwhile > 0, "the gateway needs Kafka, not the database"
        assert b"No space left on device" in log.read_bytes()[mark:], "the disk was not full"
        lab.wait_all_ready()
    lab.wait_all_ready()
    load.wait_for_registry()
