"""The journal's tail, torn at every byte: reads the frames by itself, to know what has to be left."""
import os
import shutil
import struct
import time

from places import Daemon, Fault
from swarm import Http

HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC = 96, 48, 0x666a7470  # see src/deltas/segment.h


def frames(path):
    """(begin, end, records) of each."""
    with open(path, "rb") as file:
        data = file.read()
    at, found = HEADER_BYTES, []
    while at + FRAME_HEADER_BYTES <= len(data):
        magic, length, count = struct.unpack_from("<III", data, at + 8)
        if magic != FRAME_MAGIC:
            break
        found.append((at, at + FRAME_HEADER_BYTES + length, count))
        at = found[-1][1]
    return found


def journal_file(state):
    folder = os.path.join(state, "journal")
    return os.path.join(folder, max(name for name in os.listdir(folder) if name.endswith(".journal")))


def announce(daemon, swarm, session):
    way = Http("127.0.0.1", daemon.port)
    results = [good for _, good in way.exchange([(swarm, session, list(session.sent), "")])]
    way.close()
    if results != [True]:
        raise Fault("an announce was refused")


def prepare(daemon, database, swarm, count):
    """Frames of one record each that no sink has: the database is locked. Returns the session of each record."""
    lock = database.lock()
    sessions = swarm.sessions[:count]
    for session in sessions:
        session.grow()
        session.sent[0] += 1
        announce(daemon, swarm, session)
        time.sleep(0.08)  # a frame of its own
    time.sleep(0.3)
    daemon.kill()
    lock.execute("ROLLBACK")
    lock.close()
    return sessions


def copy(options, daemon, number):
    """All of it under another path: the state and, beside it, the database."""
    directory = os.path.join(options.directory, f"cut{number}")
    os.makedirs(directory)
    shutil.copytree(daemon.state, os.path.join(directory, "state"), ignore=shutil.ignore_patterns("admin.sock"))
    for name in os.listdir(options.directory):
        if name.startswith("privtrak.db"):
            shutil.copy(os.path.join(options.directory, name), directory)
    return directory


def check(options, daemon, place, swarm, sessions, offset, records):
    """Starts on a journal that ends at `offset`, with `records` of the sessions' records whole."""
    directory = copy(options, daemon, offset)
    state = os.path.join(directory, "state")
    os.truncate(journal_file(state), offset)
    database = place(directory)
    torn = Daemon(directory, database, state=state, workers=1 + offset % 3)
    before = {s: list(s.sent) for s in sessions}
    try:
        torn.start()
        torn.flush()
        for session in sessions[records:]:
            session.sent = list(session.acked)
        swarm.compare(database, "sent", f"cut at byte {offset}, {records} records whole")
        for session, counters in before.items():
            session.sent = counters
        for session in sessions:
            announce(torn, swarm, session)
        torn.flush()
        swarm.compare(database, "sent", f"cut at byte {offset}, after another announce of each")
    finally:
        for session, counters in before.items():
            session.sent = counters
        torn.close()
    shutil.rmtree(directory)


def every_offset(options, stage):
    from places import Sqlite  # pylint: disable=import-outside-toplevel
    with stage(options, Sqlite, sizes=(10, 4, 30)) as (daemon, database, swarm):
        daemon.stop()
        daemon.start()
        sessions = prepare(daemon, database, swarm, 4)
        found = frames(journal_file(daemon.state))
        whole = sum(count for _, _, count in found)
        if whole != len(sessions):
            raise Fault(f"the journal holds {whole} records where {len(sessions)} were expected")
        holding = [frame for frame in found if frame[2] > 0]
        first = holding[-1 if options.quick else -3][0]
        offsets = list(range(first, found[-1][1] + 1))
        if options.quick:
            offsets = offsets[::12]
        for offset in offsets:
            check(options, daemon, Sqlite, swarm, sessions, offset,
                  sum(count for _, end, count in found if end <= offset))
    return f"{len(offsets)} places in the last {len(found)} frames, each exact"
