"""What the tracker stands on: a temporary directory, a database (SQLite, or a server of its own), the daemon.

Everything is on loopback or Unix sockets, and nothing outlives the program: children get a signal when it dies.
"""
import ctypes
import glob
import os
import pwd
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
LIBC = ctypes.CDLL(None)
START_SECONDS, STOP_SECONDS = 20, 10

CONFIG = """\
tracker: {{workers: {workers}, state_dir: {state}, min_announce_interval: 0s, max_numwant: {max_numwant}}}
http: {{listen: ["127.0.0.1:{port}"{http6}], idle_timeout: 600s}}
udp: {{listen: ["127.0.0.1:{port}"{http6}]}}
middleware: {{limits: {{new_torrents_per_user: 1000000/d}}}}
database: {{url: "{url}", refresh_interval: 1s}}
deltas:
  batch_size: {batch_size}
  flush_interval: 1s
  durability: {durability}
  journal: {{max_size: {journal_size}, sync_interval: 50ms}}
  sinks: [{{type: database}}{more_sinks}]
admin: {{listen: [], socket: admin.sock}}
log: {{level: info}}
"""


class Fault(Exception):
    """The tracker did something wrong."""


class Skip(Exception):
    """This machine cannot run it."""


def have_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HELD = []  # names of ports that are in use by this run


def reserve(port):
    """Raises OSError where another test has picked the port; tests/e2e/harness/daemon.c goes by the same names."""
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0privtrak-test-port-{port}")
    except OSError:
        holder.close()
        raise
    HELD.append(holder)


def free_port():
    """One that both protocols and families have free, below those that the kernel gives to clients."""
    for _ in range(200):
        port = random.randrange(20000, 32000)
        try:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))[:2 if have_ipv6() else 1]:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(family, kind) as probe:
                        probe.bind((host, port))
            reserve(port)
            return port
        except OSError:
            continue
    raise Skip("no free port")


def end_with_parent():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Sqlite:
    name = "SQLite"

    def __init__(self, directory):
        self.path = os.path.join(directory, "privtrak.db")
        self.url = "sqlite:" + self.path

    def rows(self, sql):
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def write(self, statements):
        connection = sqlite3.connect(self.path, timeout=30)
        with connection:
            for sql in statements:
                connection.execute(sql)
        connection.close()

    def lock(self):
        """Keeps all others from writing; the caller closes what this returns."""
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def close(self):
        pass


class Server:
    """A database server in a directory of its own, as an unprivileged user where this runs as root."""
    name = None
    death = signal.SIGKILL  # what ends it as a crash would

    def __init__(self, directory):
        self.directory = os.path.join(directory, self.name.lower())
        os.makedirs(self.directory)
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.user:
            os.chmod(directory, 0o755)
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        self.server = None

    def run(self, *command):
        options = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        with open(os.path.join(self.directory, "log"), "a", encoding="utf-8") as log:
            return subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log,
                                    preexec_fn=lambda: LIBC.prctl(1, self.death), **options)

    def make(self, *command):
        if self.run(*command).wait() != 0:
            raise Fault(f"{self.name} cannot be made: " + os.path.join(self.directory, "log"))

    def start_server(self, *command):
        self.server = self.run(*command)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.ask("", "SELECT 1")
                return
            except Fault:
                time.sleep(0.05)
        raise Fault(f"{self.name} does not start: " + os.path.join(self.directory, "log"))

    def crash(self):
        """No transaction is finished, no checkpoint made."""
        self.server.send_signal(self.death)
        self.server.wait()

    def ask(self, database, sql):
        """Runs statements in a database ("": the server's own) and returns all rows, as texts."""
        raise NotImplementedError

    @staticmethod
    def client(name, command, sql, separator):
        result = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60, check=False)
        if result.returncode != 0:
            raise Fault(f"{name}: " + result.stderr.strip())
        return [tuple(line.split(separator)) for line in result.stdout.splitlines()]

    def rows(self, sql):
        end = time.monotonic() + 30
        while True:
            try:
                return self.ask("torture", sql)
            except Fault:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def write(self, statements):
        self.ask("torture", "BEGIN;" + ";".join(statements) + ";COMMIT;")

    def close(self):
        if self.server and self.server.poll() is None:
            self.crash()


class Postgresql(Server):
    name = "PostgreSQL"
    death = signal.SIGQUIT

    def __init__(self, directory):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        if not programs or not shutil.which("psql"):
            raise Skip("PostgreSQL is not installed")
        self.program = programs[-1]
        super().__init__(directory)
        self.make(os.path.join(os.path.dirname(self.program), "initdb"), "-D", "data", "-A", "trust", "-U", "privtrak",
                  "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self.ask("", "CREATE DATABASE torture")
        self.url = f"postgresql://privtrak@/torture?host={self.directory}"

    def start(self):
        self.start_server(self.program, "-D", "data", "-k", self.directory, "-c", "listen_addresses=",
                          "-c", "fsync=off")  # processes are killed here, not the machine

    def kill_writers(self):
        """SIGKILL for whatever works for the tracker; the server then restarts by itself, with recovery."""
        for (pid,) in self.rows("SELECT pid FROM pg_stat_activity WHERE datname = 'torture' AND state <> 'idle'"
                                " AND pid <> pg_backend_pid()"):
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def ask(self, database, sql):
        return self.client("psql", ["psql", "-XAtq", "-F", "|", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-U",
                                    "privtrak", database or "postgres"], sql, "|")


class Mariadb(Server):
    name = "MariaDB"

    def __init__(self, directory):
        self.program, maker = shutil.which("mariadbd", path="/usr/sbin"), shutil.which("mariadb-install-db", path="/usr/bin")
        if not self.program or not maker or not shutil.which("mariadb"):
            raise Skip("MariaDB is not installed")
        super().__init__(directory)
        self.socket = os.path.join(self.directory, "socket")
        self.make(maker, "--no-defaults", f"--datadir={self.directory}/data", "--auth-root-authentication-method=normal",
                  "--skip-test-db", "--skip-name-resolve")
        self.start()
        self.ask("", "CREATE DATABASE torture")
        self.url = f"mariadb://root@/torture?socket={self.socket}"

    def start(self):
        self.start_server(self.program, "--no-defaults", f"--datadir={self.directory}/data", f"--socket={self.socket}",
                          f"--pid-file={self.directory}/pid", "--skip-networking", "--skip-name-resolve",
                          "--innodb-buffer-pool-size=32M",
                          "--innodb-flush-method=nosync")  # processes are killed here, not the machine

    def kill_writers(self):
        """Breaks whatever connection works for the tracker, in the middle of what it does."""
        for (number,) in self.rows("SELECT id FROM information_schema.processlist WHERE db = 'torture'"
                                   " AND command NOT IN ('Sleep', 'Killed') AND id <> connection_id()"):
            try:
                self.ask("", f"KILL CONNECTION {number}")
            except Fault:  # it has ended by itself
                pass

    def ask(self, database, sql):
        return self.client("mariadb", ["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-NB",
                                       *([database] if database else [])], sql, "\t")


class Daemon:
    def __init__(self, directory, database, state=None, **settings):
        self.directory = directory
        self.state = state or os.path.join(directory, "state")
        self.config = os.path.join(directory, "tracker.yaml")
        self.log_path = os.path.join(directory, "tracker.log")
        self.port = free_port()
        self.ipv6 = have_ipv6()
        self.settings = {"workers": 2, "state": self.state, "port": self.port, "url": database.url, "max_numwant": 100,
                         "http6": f', "[::1]:{self.port}"' if self.ipv6 else "", "durability": "relaxed",
                         "journal_size": "1GiB", "batch_size": 1024, "more_sinks": "", **settings}
        self.log_begin = 0  # of the last start
        self.environment = {}  # beside this program's own
        self.process = None

    def configure(self, **settings):
        self.settings.update(settings)
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write(CONFIG.format(**self.settings))
        os.rename(self.config + ".new", self.config)

    def launch(self, **settings):
        self.configure(**settings)
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.log_begin = log.tell()
            self.process = subprocess.Popen([os.path.join(BUILD, "privtrakd"), "-c", self.config], stdout=log, stderr=log,
                                            preexec_fn=end_with_parent, env={**os.environ, **self.environment})

    def start(self, **settings):
        """Returns how many seconds it took until an announce could be answered."""
        self.launch(**settings)
        began = time.monotonic()
        if not self.wait_until_listening():
            raise Fault(f"the daemon ended at its start with {self.process.returncode}: {self.log_end()}")
        return time.monotonic() - began

    def wait_until_listening(self):
        """False where it has ended instead."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.01)
        raise Fault(f"the daemon does not listen within {START_SECONDS} s: {self.log_end()}")

    def kill(self):
        if self.process.poll() is not None:
            raise Fault(f"the daemon had ended by itself with {self.process.returncode}: {self.log_end()}")
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; returns how long it took."""
        if self.process.poll() is not None:
            raise Fault(f"the daemon had ended by itself with {self.process.returncode}: {self.log_end()}")
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS + 1)
        except subprocess.TimeoutExpired as slow:
            self.process.kill()
            self.process.wait()
            raise Fault(f"SIGTERM was not heeded within {STOP_SECONDS} s: {self.log_end()}") from slow
        if status != 0:
            raise Fault(f"SIGTERM ended in status {status}: {self.log_end()}")
        return time.monotonic() - began

    def was_ready(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self.log_begin)
            return "ready workers" in log.read()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def ctl(self, *arguments):
        return subprocess.run([os.path.join(BUILD, "privtrakctl"), "-c", self.config, *arguments], capture_output=True,
                              text=True, timeout=60)

    def flush(self, seconds=180):
        """Until every sink has everything."""
        end = time.monotonic() + seconds
        while True:
            result = self.ctl("flush")
            if result.returncode == 0:
                return
            if time.monotonic() > end:
                raise Fault(f"flush within {seconds} s: {result.stdout}{result.stderr}; {self.log_end()}")
            time.sleep(0.1)

    def log_end(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "\n".join(log.read().splitlines()[-12:])

    def close(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()
