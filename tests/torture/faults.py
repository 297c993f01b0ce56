"""Faults injected between the daemon and the kernel by build/faults.so (tests/faults): at which call, and what becomes of it."""
import errno
import json
import mmap
import os
import random
import struct
import time

from places import BUILD, Fault, Skip
from swarm import Load

WRITE, SYNC, RENAME, TRUNCATE, OPEN, UNLINK, SEND = (1 << bit for bit in range(7))
KIND_NAMES = "write", "sync", "rename", "truncate", "open", "unlink", "send"
FILES = WRITE | SYNC | RENAME | TRUNCATE | OPEN | UNLINK
SHORT, KILL_BEFORE, KILL_AFTER, KILL_WITHIN = -1, -2, -3, -4
KILLS = KILL_BEFORE, KILL_WITHIN, KILL_AFTER
ERRORS = errno.ENOSPC, errno.EIO, SHORT, errno.EINTR
SEND_ERRORS = errno.EAGAIN, errno.ENOBUFS, errno.EINTR, SHORT, errno.EPIPE, errno.EHOSTUNREACH
NAMES = {SHORT: "short", KILL_BEFORE: "killed before", KILL_AFTER: "killed after", KILL_WITHIN: "killed within",
         **{number: errno.errorcode[number] for number in ERRORS + SEND_ERRORS if number > 0}}
# The words of struct fault_control, in tests/faults/control.h.
KINDS_AT, FIRST_AT, BURST_AT, PERIOD_AT, ACTION_AT, CLOCK_AT, CALLS_AT, HITS_AT, LAST_KIND_AT, COUNTS_AT = range(10)
WORDS = COUNTS_AT + len(KIND_NAMES)
FEW = 6


class Control:
    """The page that the library in the daemon watches."""

    def __init__(self, directory, below):
        library = os.path.join(BUILD, "faults.so")
        if not os.path.exists(library):
            raise Skip("build/faults.so is not built")
        path = os.path.join(directory, "faults.control")
        with open(path, "wb") as file:
            file.write(bytes(8 * WORDS))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 8 * WORDS)
        self.environment = {"LD_PRELOAD": library, "FAULTS_CONTROL": path, "FAULTS_DIRECTORY": below,
                            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def get(self, word):
        return struct.unpack_from("q", self.page, 8 * word)[0]

    def set(self, word, value):
        struct.pack_into("q", self.page, 8 * word, value)

    def arm(self, kinds, first=0, action=0, burst=1, period=0):
        """From now on; `first` counts from here."""
        self.set(FIRST_AT, 0)
        for word, value in ((KINDS_AT, kinds), (ACTION_AT, action), (BURST_AT, burst), (PERIOD_AT, period), (CALLS_AT, 0),
                            (HITS_AT, 0), (FIRST_AT, first)):
            self.set(word, value)

    def disarm(self):
        self.set(FIRST_AT, 0)

    def set_clock(self, seconds):
        self.set(CLOCK_AT, int(seconds * 1e9))

    def calls(self):
        return self.get(CALLS_AT)

    def hits(self):
        return self.get(HITS_AT)

    def last_kind(self):
        return KIND_NAMES[self.get(LAST_KIND_AT)]


def live(daemon, swarm, seconds, is_kill, **settings):
    """One life under whatever is armed: "stopped", "killed", or "not started", which are all as it should be."""
    daemon.launch(**settings)
    if not daemon.wait_until_listening():
        status = daemon.process.returncode
        if is_kill and status == -9:
            return "killed"
        if status != 1:
            raise Fault(f"the daemon ended at its start with {status}: {daemon.log_end()}")
        return "not started"
    with Load(swarm, daemon):
        time.sleep(seconds)
    try:
        daemon.stop()
    except Fault:
        status = daemon.process.poll()
        if is_kill and status == -9:
            return "killed"
        if status == 1 and not daemon.was_ready():
            return "not started"
        raise
    return "stopped"


def settle(daemon, swarm, database, keeps_answered, what, **settings):
    """A life without faults: what had to be kept is there, and the next announces bring the rest."""
    daemon.start(**settings)
    daemon.flush()
    if keeps_answered:
        swarm.compare(database, "acked", f"what was answered: {what}")
    else:
        swarm.forget()
        swarm.compare(database, None, what)
    swarm.announce_all(daemon, swarm.sessions)
    daemon.flush()
    swarm.compare(database, "sent", f"after another announce of each: {what}")
    swarm.secure()
    daemon.stop()


def one_fault(daemon, swarm, database, control, fault, figures):
    """One life with the fault, one without. `fault`: kinds, number of the call, action, how many."""
    kinds, number, action, burst = fault
    strict = number % 2 == 0
    durability = "strict" if strict else "relaxed"
    control.arm(kinds, number, action, burst)
    how = live(daemon, swarm, 0.25, action in KILLS, workers=1 + number % 3, durability=durability)
    control.disarm()
    if not control.hits():
        figures["not reached"] = figures.get("not reached", 0) + 1
    else:
        name = f"{NAMES[action]} {control.last_kind()}"
        figures[name] = figures.get(name, 0) + 1
        figures[how] = figures.get(how, 0) + 1
    what = f"{NAMES[action]} at call {number} ({control.last_kind()}, {burst} of them), {durability}, {how}"
    # A relaxed daemon that was killed may forget what it had answered last.
    settle(daemon, swarm, database, strict or how == "stopped", what, durability=durability)


def count_calls(daemon, swarm, control):
    """How many calls of each kind of FILES a life without faults makes."""
    before = [control.get(COUNTS_AT + kind) for kind in range(len(KIND_NAMES))]
    live(daemon, swarm, 0.25, False)
    return {1 << kind: control.get(COUNTS_AT + kind) - before[kind] for kind in range(len(KIND_NAMES)) if 1 << kind & FILES}


def walk(daemon, swarm, database, control, lives, seed):
    """
    Every call of a life, counted by kinds: those of which there are few fail in each way, the others in one way after the
    other. As many of these as `lives` allows.
    """
    calls = count_calls(daemon, swarm, control)
    faults = []
    for kind, count in calls.items():
        for number in range(1, count + 1):
            if count <= FEW:
                faults += [(kind, number, action, 1) for action in KILLS + ERRORS]
            else:
                faults += [(kind, number, KILLS[(number + seed) % len(KILLS)], 1),
                           (kind, number, ERRORS[(number + seed) % len(ERRORS)], (1, 1, 8)[number % 3])]
    # The few of each kind first, then what is left by chance.
    random.Random(seed).shuffle(faults)
    if lives < len(faults):
        rare = {kind: [fault for fault in faults if fault[0] == kind][:max(1, lives // 12)] for kind in calls}
        first = [fault for some in rare.values() for fault in some]
        faults = first + [fault for fault in faults if fault not in first]
    figures = {}
    for fault in faults[:lives]:
        one_fault(daemon, swarm, database, control, fault, figures)
    return sum(calls.values()), len(faults[:lives]), figures


def compare_lines(swarm, path):
    """The file of the sink `ndjson`: each record is there, and what is there twice is the same; so it has every byte once."""
    records = {}
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise Fault(f"line {number} of {path} is no record: {line[:200]!r}") from error
            if records.setdefault(record["seq"], line) != line:
                raise Fault(f"seq {record['seq']} was given to two records: {records[record['seq']]!r} and {line!r}")
    users = {key: i for i, key in enumerate(swarm.passkeys)}
    hashes = {h.hex(): i for i, h in enumerate(swarm.info_hashes)}
    found = {}
    for line in records.values():
        record = json.loads(line)
        total = found.setdefault((users[record["user"]], hashes[record["info_hash"]]), [0, 0])
        total[0] += record["credited_uploaded"]
        total[1] += record["credited_downloaded"]
    wanted = swarm.expected("sent")
    wrong = [pair for pair in wanted if found.get(pair, [0, 0]) != wanted[pair]]
    if wrong:
        raise Fault(f"{len(wrong)} of {len(wanted)} pairs differ in {path}: {wrong[0]} has {found.get(wrong[0])}, must have "
                    f"{wanted[wrong[0]]}")
    return len(records)


def say(figures):
    return ", ".join(f"{count} {name}" for name, count in sorted(figures.items()))


def drop_sends(daemon, swarm, database, control, lives):
    """Every few sends fail: replies to clients, answers of the admin side, what goes to the database."""
    figures = {}
    for number in range(lives):
        action = SEND_ERRORS[number % len(SEND_ERRORS)]
        period = (7, 40, 200)[number % 3]
        control.arm(SEND, 1 + number % period, action, 1, period)
        how = live(daemon, swarm, 1, False, workers=1 + number % 3)
        name = f"{NAMES[action]} every {period}"
        figures[name] = figures.get(name, 0) + control.hits()
        control.disarm()
        settle(daemon, swarm, database, True, f"{name}, {how}")
    return figures


def kill_at_sends(daemon, swarm, database, control, lives, seed):
    dice = random.Random(seed)
    figures = {}
    for number in range(lives):
        first = int(10 ** dice.uniform(0, 3.3))
        one_fault(daemon, swarm, database, control, (SEND, first, KILLS[number % 3], 1), figures)
    return figures


def step_clock(daemon, swarm, database, control, rounds):
    """The wall clock jumps by an hour, back and forth, while the daemon runs and while it does not."""
    daemon.start()
    steps = 0
    for number in range(rounds):
        with Load(swarm, daemon):
            for hours in (-1, 1, 0, -1):
                time.sleep(0.4)
                control.set_clock(3600 * hours)
                steps += 1
            time.sleep(0.4)
        if number % 2:
            daemon.kill()
            swarm.forget()
        else:
            daemon.stop()
        control.set_clock(3600 * (number % 3 - 1))
        steps += 1
        daemon.start(workers=1 + number % 3)
        swarm.announce_all(daemon, swarm.sessions)
        daemon.flush()
        swarm.compare(database, "sent", f"after {steps} steps of the clock")
        swarm.secure()
        active = int(database.rows("SELECT count(*) FROM sessions")[0][0])
        if active != len(swarm.sessions):
            raise Fault(f"{active} of {len(swarm.sessions)} sessions are in the swarms after {steps} steps of the clock")
        cut = int(database.rows("SELECT coalesce(sum(quarantined), 0) FROM users")[0][0])
        if cut:
            raise Fault(f"{cut} bytes are quarantined after {steps} steps of the clock")
    daemon.stop()
    return steps
