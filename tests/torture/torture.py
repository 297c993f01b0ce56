"""Kills, stops, locks, fills and tears the tracker under load; the accounts must come out exact. Prints TAP.

    tests/torture/torture.py [--quick] [--kills N] [--seed N] [SCENARIO…]

Only what it started is ended, all of it is on loopback, and it stops by itself. --keep leaves the directories of
scenarios that failed.
"""
import argparse
import concurrent.futures
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from places import LIBC, Daemon, Fault, Mariadb, Postgresql, Skip, Sqlite
from swarm import Load, Swarm
import away
import faults
import tears
import upkeep

SCENARIOS = {}
NOT_QUICK = "reloads", "database_locked"  # the rest takes two minutes
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


@contextlib.contextmanager
def stage(options, place, sizes=(150, 40, 2400), state=None, **settings):
    """A daemon that runs, users and torrents, and sessions whose baselines are in the database."""
    directory = options.directory
    database = place(directory)
    daemon = None
    try:
        daemon = Daemon(directory, database, state=state, **settings)
        daemon.start()
        daemon.stop()  # it has made its tables
        if options.quick:
            sizes = (60, 20, 600)
        swarm = Swarm(*sizes, options.seed)
        swarm.setup(database)
        daemon.start()
        swarm.settle(daemon)
        yield daemon, database, swarm
    finally:
        if daemon:
            daemon.close()
        database.close()


def hold_lock(database, seconds):
    """As another program would that keeps SQLite's write lock."""
    lock = database.lock()
    time.sleep(seconds)
    lock.execute("ROLLBACK")
    lock.close()


class Trouble:
    """What happens to the database beside the kills."""

    def __init__(self, database, dice):
        self.database, self.dice = database, dice
        self.count = 0
        # A server that a thread starts is ended with that thread: so it has to be the same one throughout.
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        self.running = None

    def maybe(self):
        if self.running and not self.running.done() or self.dice.random() > 0.2:
            return
        self.over()
        self.count += 1
        if isinstance(self.database, Sqlite):
            self.running = self.thread.submit(hold_lock, self.database, self.dice.uniform(0.2, 2))
        else:
            self.running = self.thread.submit(self.crash)

    def crash(self):
        time.sleep(self.dice.uniform(0, 0.5))
        if self.dice.random() < 0.5:
            self.database.kill_writers()
            return
        self.database.crash()
        time.sleep(self.dice.uniform(0, 0.5))
        self.database.start()

    def over(self):
        if self.running:
            self.running.result()


def kill_once(daemon, database, swarm, dice, figures):
    """One life of the daemon; it ends by SIGKILL, or by SIGTERM one time in six."""
    with Load(swarm, daemon):
        time.sleep(dice.uniform(0.05, 0.9))
        if dice.random() < 0.85:
            daemon.kill()
            figures["kills"] += 1
            how = "killed"
        else:
            figures["slowest stop"] = max(figures["slowest stop"], daemon.stop())
            figures["stops"] += 1
            how = "stopped"
    return how


def start_again(daemon, dice, figures):
    """With another number of workers, and sometimes killed on the way up."""
    workers = dice.randrange(1, 5)
    while dice.random() < 0.2:
        daemon.launch(workers=dice.randrange(1, 5))
        time.sleep(dice.uniform(0, 0.15))
        if daemon.is_running():
            daemon.kill()
            figures["kills"] += 1
            figures["kills while starting"] += 1
    figures["slowest start"] = max(figures["slowest start"], daemon.start(workers=workers))


def kill_often(options, place, kills, **settings):
    dice = random.Random(options.seed)
    figures = dict.fromkeys(("kills", "kills while starting", "stops", "slowest stop", "slowest start"), 0)
    strict = settings.get("durability") == "strict"
    with stage(options, place, **settings) as (daemon, database, swarm):
        trouble = Trouble(database, dice)
        lives = 0
        while figures["kills"] < kills:
            trouble.maybe()
            how = kill_once(daemon, database, swarm, dice, figures)
            lives += 1
            if how == "killed" and not strict:
                swarm.forget()
            start_again(daemon, dice, figures)
            if strict or how == "stopped":
                # What was answered must be there although nobody announced it again.
                trouble.over()
                daemon.flush()
                swarm.compare(database, "acked", f"what was answered before life {lives} was {how}")
                swarm.secure()
            elif lives % 4 == 0:
                trouble.over()
                swarm.compare(database, None, f"after {how} in life {lives}")
            if lives % 10 == 0:
                trouble.over()
                swarm.churn(daemon, len(swarm.sessions) // 20)
        trouble.over()
        result = swarm.finish(daemon, database)
        daemon.stop()
    trouble_name = "locks" if place is Sqlite else "crashes of the server"
    return (f"{place.name}{', strict' if strict else ''}: {figures['kills']} kills ({figures['kills while starting']} while "
            f"starting), {figures['stops']} stops, {trouble.count} {trouble_name}, {figures_of(swarm)}; slowest start "
            f"{figures['slowest start']:.1f} s, slowest stop {figures['slowest stop']:.1f} s; {result}")


def figures_of(swarm):
    return (f"{swarm.announces} announces of {len(swarm.sessions) + len(swarm.retired)} sessions, {swarm.answers} answered, "
            f"{swarm.late} late copies, {swarm.refused} refused")


@scenario
def kills_sqlite(options):
    return kill_often(options, Sqlite, options.kills)


@scenario
def kills_sqlite_strict(options):
    return kill_often(options, Sqlite, max(3, options.kills // 3), durability="strict")


@scenario
def kills_postgresql(options):
    return kill_often(options, Postgresql, options.kills)


@scenario
def kills_mariadb(options):
    return kill_often(options, Mariadb, options.kills)


@scenario
def reloads(options):
    """SIGHUP a hundred times under load: no connection breaks, nothing is refused, no peer is forgotten."""
    with stage(options, Sqlite) as (daemon, database, swarm):
        process = daemon.process
        with Load(swarm, daemon):
            for number in range(100):
                daemon.configure(max_numwant=50 + number)
                process.send_signal(1)
                time.sleep(0.03 if options.quick else 0.1)
        if daemon.process.poll() is not None:
            raise Fault("the daemon ended: " + daemon.log_end())
        if swarm.broken or swarm.refused:
            raise Fault(f"{swarm.broken} connections broke, {swarm.refused} announces were refused")
        active = int(database.rows("SELECT count(*) FROM sessions")[0][0])
        if active != len(swarm.sessions):
            raise Fault(f"{active} of {len(swarm.sessions)} sessions are still in the swarms")
        result = swarm.finish(daemon, database)
        daemon.stop()
    return f"100 reloads, {figures_of(swarm)}; {result}"


@scenario
def journal_full(options):
    """The database is locked until the journal holds no more: announces are refused, and it recovers by itself."""
    with stage(options, Sqlite, journal_size="1MiB") as (daemon, database, swarm):
        with Load(swarm, daemon):
            hold_lock(database, 4 if options.quick else 12)
            time.sleep(1)
        refused = swarm.refused
        if not refused:
            raise Fault(f"nothing was refused with a journal of 1 MiB and {swarm.announces} announces")
        result = swarm.finish(daemon, database)
        daemon.stop()
    return f"{figures_of(swarm)}; {result}"


def mount_tmpfs(path, size):
    """In a mount namespace of this process, so that nothing is left whatever happens."""
    uid, gid = os.getuid(), os.getgid()
    if LIBC.unshare(CLONE_NEWNS) != 0:
        if LIBC.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
            raise Skip("no right to mount, neither as root nor in a user namespace")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    os.makedirs(path)
    for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise Skip("no right to mount: " + result.stderr.strip())


@scenario
def disk_full(options):
    """State directory and database on a tmpfs that fills up, with a kill while it is full."""
    state = os.path.join(options.directory, "small")
    mount_tmpfs(state, "48m")
    return fill_disk(options, state)


def fill_disk(options, state):
    figures = {"full starts": 0}
    with stage(options, lambda _: Sqlite(state), sizes=(100, 30, 1000), state=state) as (daemon, database, swarm):
        for kills in range(2 if options.quick else 6):
            ballast = os.path.join(state, "ballast")
            with Load(swarm, daemon):
                with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
                time.sleep(1.5 if options.quick else 4)
                if daemon.process.poll() is not None:
                    raise Fault("the daemon ended on a full disk: " + daemon.log_end())
                if kills % 2 == 1:
                    daemon.kill()
                else:
                    os.remove(ballast)
                    time.sleep(1)
            if kills % 2 == 1:
                try:
                    daemon.start()
                    figures["full starts"] += 1
                except Fault as fault:
                    print("# on a full disk:", str(fault).splitlines()[-1], flush=True)
                os.remove(ballast)
                if not daemon.is_running():
                    daemon.start()
                swarm.compare(database, None, "after a kill on the full disk")
        if not swarm.refused:
            raise Fault(f"nothing was refused on a full disk: {figures_of(swarm)}")
        result = swarm.finish(daemon, database)
        daemon.stop()
    return f"{figures_of(swarm)}, {figures['full starts']} starts on the full disk; {result}"


@scenario
def torn_tail(options):
    """The journal is cut at every byte of its last frames; what is whole counts, and the next announces bring the rest."""
    return tears.every_offset(options, stage)


@scenario
def database_restored(options):
    """An older database beside the newest state_dir."""
    with stage(options, Sqlite) as (daemon, database, swarm):
        result = upkeep.restore(daemon, swarm, database, options.directory)
    return f"{figures_of(swarm)}; {result}"


@scenario
def state_lost(options):
    """The database beside an empty state_dir."""
    with stage(options, Sqlite) as (daemon, database, swarm):
        result = upkeep.forget_state(daemon, swarm, database)
    return f"{figures_of(swarm)}; {result}"


@scenario
def database_locked(options):
    """No write gets into SQLite for a minute: no announce is refused, and everything is delivered afterwards."""
    seconds = 3 if options.quick else 60
    with stage(options, Sqlite) as (daemon, database, swarm):
        with Load(swarm, daemon):
            hold_lock(database, seconds)
        if swarm.refused or swarm.broken:
            raise Fault(f"{swarm.refused} announces were refused, {swarm.broken} connections broke")
        began = time.monotonic()
        daemon.flush()
        took = time.monotonic() - began
        result = swarm.finish(daemon, database)
        daemon.stop()
    return f"locked for {seconds} s, all delivered {took:.0f} s later, {figures_of(swarm)}; {result}"


def be_away(options, place):
    with stage(options, place) as (daemon, database, swarm):
        slowest = away.without_database(daemon, swarm, database, options.quick)
        silent = 0 if options.quick else away.silent_database(daemon, swarm, database)
        away.refusals(daemon, database)
        result = swarm.finish(daemon, database)
        daemon.stop()
    return f"slowest start without the database {slowest:.1f} s, before a silent one {silent:.1f} s, {figures_of(swarm)}; {result}"


@scenario
def database_away(options):
    """PostgreSQL does not run when the tracker starts; what is its last word on a password refuses the start."""
    return be_away(options, Postgresql)


@scenario
def database_away_mariadb(options):
    """The same for MariaDB."""
    return be_away(options, Mariadb)


@contextlib.contextmanager
def stage_with_faults(options, place, below, **settings):
    """A stage whose daemon is not running, and runs under the library of faults from now on."""
    with stage(options, place, sizes=(60, 20, 600), **settings) as (daemon, database, swarm):
        daemon.stop()
        control = faults.Control(options.directory, below)
        daemon.environment = control.environment
        yield daemon, database, swarm, control
        control.set_clock(0)
        daemon.start()
        swarm.finish(daemon, database)
        daemon.stop()


@scenario
def faults_state(options):
    """Every write, sync, rename, cut, open and removal in the state directory fails, or is the daemon's last."""
    state = os.path.join(options.directory, "state")
    lines = ", {type: ndjson, path: deltas.ndjson, rotate: 10GiB}"
    with stage_with_faults(options, Sqlite, state, more_sinks=lines) as (daemon, database, swarm, control):
        calls, lives, figures = faults.walk(daemon, swarm, database, control, 8 if options.quick else 4 * options.kills,
                                            options.seed)
    records = faults.compare_lines(swarm, os.path.join(state, "deltas.ndjson"))
    return (f"{lives} lives, {calls} calls in each: {faults.say(figures)}; {figures_of(swarm)}; {records} records in ndjson; "
            "0 lost, 0 doubled")


@scenario
def faults_sqlite(options):
    """The same for the files of SQLite."""
    below = os.path.join(options.directory, "database")
    os.makedirs(below)
    with stage_with_faults(options, lambda _: Sqlite(below), below) as (daemon, database, swarm, control):
        calls, lives, figures = faults.walk(daemon, swarm, database, control, 5 if options.quick else 2 * options.kills,
                                            options.seed)
    return f"{lives} lives, {calls} calls in each: {faults.say(figures)}; {figures_of(swarm)}; 0 lost, 0 doubled"


@scenario
def faults_sends(options):
    """Sends fail now and then, to clients, to the admin side, to PostgreSQL; or are the daemon's last."""
    state = os.path.join(options.directory, "state")
    with stage_with_faults(options, Postgresql, state) as (daemon, database, swarm, control):
        figures = faults.drop_sends(daemon, swarm, database, control, 2 if options.quick else 18)
        killed = faults.kill_at_sends(daemon, swarm, database, control, 3 if options.quick else options.kills // 2,
                                      options.seed)
    return f"sends that failed: {faults.say(figures)}; lives: {faults.say(killed)}; {figures_of(swarm)}; 0 lost, 0 doubled"


@scenario
def clock_steps(options):
    """The wall clock jumps back and forth by an hour."""
    state = os.path.join(options.directory, "state")
    with stage_with_faults(options, Sqlite, state) as (daemon, database, swarm, control):
        steps = faults.step_clock(daemon, swarm, database, control, 1 if options.quick else 8)
    return f"{steps} steps, no session lost its place; {figures_of(swarm)}; 0 lost, 0 doubled"


@scenario
def database_moved(options):
    """From SQLite to PostgreSQL, as docs/accounting.md says."""
    with stage(options, Sqlite) as (daemon, database, swarm):
        result = upkeep.move(daemon, swarm, database, options.directory)
    return f"{figures_of(swarm)}; {result}"


def run_one(number, name, options):
    began = time.monotonic()
    good = True
    try:
        print(f"ok {number} - {name}: {SCENARIOS[name](options)}; {time.monotonic() - began:.0f} s", flush=True)
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {reason}", flush=True)
    except Exception as error:  # pylint: disable=broad-except
        good = False
        print(f"not ok {number} - {name}: {error}", flush=True)
        if not isinstance(error, Fault):
            traceback.print_exc()
        if options.keep:
            print(f"# kept: {options.directory}", flush=True)
    return good


def run_apart(number, name, options):
    """In a process of its own: what a scenario does to itself (namespaces, threads) ends with it."""
    options.directory = tempfile.mkdtemp(prefix="privtrak-torture-")
    child = os.fork()
    if child == 0:
        good = run_one(number, name, options)
        sys.stdout.flush()
        os._exit(0 if good else 1)
    good = os.waitpid(child, 0)[1] == 0
    if good or not options.keep:
        shutil.rmtree(options.directory, ignore_errors=True)  # only now: what was mounted there has gone with the child
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("scenarios", nargs="*")
    options = parser.parse_args()
    options.kills = options.kills or (4 if options.quick else 100)
    names = options.scenarios or [name for name in SCENARIOS if not options.quick or name not in NOT_QUICK]
    print(f"# seed {options.seed}", flush=True)
    print(f"1..{len(names)}", flush=True)
    good = [run_apart(number, name, options) for number, name in enumerate(names, 1)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
