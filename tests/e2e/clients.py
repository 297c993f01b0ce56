"""Real clients share a file by way of the real tracker, and the database has to hold exactly what they reported.

What they report is taken off the wire, from the packets that arrive at the tracker, and added up here by itself.
Prints TAP. Without --namespaces (where the machine allows none) what needs them is skipped, and said so.
"""
import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
PYTHON = "/usr/bin/python3"
FILE_BYTES = 6 * 1024 * 1024 + 4321  # no whole number of pieces
SEED, LEECH = "5eed" * 8, "1eec" * 8  # passkeys


class Skip(Exception):
    pass


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def run(*command, **options):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {result.stdout}")
    return result.stdout


# ---------------------------------------------------------------- what the clients report

Report = collections.namedtuple("Report", "protocol family passkey peer_id event uploaded downloaded left")
EVENTS = ["", "completed", "started", "stopped", "paused"]


class Wire(threading.Thread):
    """Reads the announces out of the packets that arrive at the tracker's port."""

    def __init__(self, port, interfaces):
        super().__init__(daemon=True)
        self.port = port
        self.interfaces = interfaces
        self.reports = []
        self.segments = set()
        try:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        except PermissionError as error:
            raise Skip("no right to look at packets (neither root nor a user namespace)") from error
        self.socket.settimeout(0.2)
        self.going = True
        self.start()

    def run(self):
        while self.going:
            try:
                packet, source = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            interface, protocol, direction = source[:3]
            if interface not in self.interfaces or direction == socket.PACKET_OUTGOING:
                continue
            if protocol == 0x0800 and packet[0] >> 4 == 4:
                self.take(4, packet[9], packet[12:16], packet[(packet[0] & 15) * 4:struct.unpack(">H", packet[2:4])[0]])
            elif protocol == 0x86dd:
                self.take(6, packet[6], packet[8:24], packet[40:40 + struct.unpack(">H", packet[4:6])[0]])

    def take(self, family, protocol, source, body):
        if protocol not in (6, 17) or len(body) < 8 or struct.unpack(">H", body[2:4])[0] != self.port:
            return
        if protocol == 17:
            self.take_udp(family, body[8:])
            return
        data = body[(body[12] >> 4) * 4:]
        segment = (source, body[0:2], body[4:8])
        if data.startswith(b"GET /") and segment not in self.segments:
            self.segments.add(segment)  # sent again, it is still one request
            self.take_http(family, data)

    def take_http(self, family, data):
        target = data.split(b" ")[1].decode("latin-1")
        path, _, query = target.partition("?")
        if "announce" not in path:
            return
        values = {}
        for piece in query.split("&"):
            name, _, value = piece.partition("=")
            values.setdefault(name, urllib.parse.unquote_to_bytes(value))
        passkey = values["passkey"].decode() if "passkey" in values else path.strip("/").replace("announce", "").strip("/")
        self.reports.append(Report("http", family, passkey, values["peer_id"], values.get("event", b"").decode(),
                                   int(values["uploaded"]), int(values["downloaded"]), int(values["left"])))

    def take_udp(self, family, data):
        if len(data) < 98 or struct.unpack(">I", data[8:12])[0] != 1:
            return
        downloaded, left, uploaded, event = struct.unpack(">QQQI", data[56:84])
        url, at = b"", 98
        while at + 1 < len(data) and data[at] == 2:
            url += data[at + 2:at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
        passkey = url.decode().replace("announce", "").replace("?passkey=", "").strip("/")
        if passkey:  # one that sends no URL data is refused, and reports the same over HTTP
            self.reports.append(Report("udp", family, passkey, data[36:56], EVENTS[event], uploaded, downloaded, left))

    def close(self):
        self.going = False
        self.join()
        self.socket.close()

    def totals(self, passkey):
        """What a user's sessions reported: the difference from the first to the highest counters of each."""
        sessions = {}
        for report in self.reports:
            if report.passkey == passkey:
                sessions.setdefault(report.peer_id, []).append(report)
        return tuple(sum(max(getattr(r, what) for r in reports) - getattr(reports[0], what) for reports in sessions.values())
                     for what in ("uploaded", "downloaded"))


# ---------------------------------------------------------------------------- the tracker

class Tracker:
    def __init__(self, folder, listen, port):
        self.folder = folder
        self.port = port
        self.log = open(f"{folder}/tracker.log", "w+")
        addresses = ", ".join(f'"{address}:{port}"' for address in listen)
        with open(f"{folder}/tracker.yaml", "w") as file:
            file.write(f"""tracker: {{workers: 2, state_dir: state, announce_interval: 4s, min_announce_interval: 0s, announce_jitter: 0s}}
http: {{listen: [{addresses}]}}
udp: {{listen: [{addresses}]}}
database: {{refresh_interval: 1s}}
deltas: {{flush_interval: 1s}}
admin: {{listen: ["127.0.0.1:{port + 1}"]}}
""")
        self.process = subprocess.Popen([f"{BUILD}/privtrakd", "-c", "tracker.yaml"], cwd=folder, stderr=self.log,
                                        stdin=subprocess.DEVNULL)
        wait_for("the tracker is ready", 20, lambda: "ready workers" in self.read_log())
        with self.database() as database:
            for name, passkey in (("seed", SEED), ("leech", LEECH)):
                database.execute("INSERT INTO users (name, passkey) VALUES (?, ?)", (name, passkey))
        time.sleep(1.5)  # refresh_interval

    def read_log(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the tracker ended with {self.process.returncode}")
        with open(f"{self.folder}/tracker.log") as file:
            return file.read()

    @contextlib.contextmanager
    def database(self):
        database = sqlite3.connect(f"{self.folder}/state/privtrak.db", timeout=10)
        try:
            with database:
                yield database
        finally:
            database.close()

    def rows(self, query, *values):
        with self.database() as database:
            return database.execute(query, values).fetchall()

    def account(self, passkey):
        return self.rows("SELECT coalesce(sum(t.uploaded), 0), coalesce(sum(t.downloaded), 0) FROM user_torrents t "
                         "JOIN users ON users.id = t.user_id WHERE passkey = ?", passkey)[0]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(15)
        assert status == 0, f"the tracker ended with {status} after SIGTERM"


# ---------------------------------------------------------------------------- the clients

class Client:
    """A client as a child, in the network namespace of process `network` where that is given."""

    def __init__(self, folder, name, command, network=None):
        self.name = name
        self.log = f"{folder}/{name}.log"
        if network is not None:
            command = ["nsenter", f"--net=/proc/{network}/ns/net", "--"] + command
        environment = dict(os.environ, HOME=folder)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, env=environment)

    def said(self, text):
        with open(self.log) as file:
            return text in file.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def libtorrent_client(folder, name, torrent, where, listen, *more, network=None):
    return Client(folder, name, [PYTHON, "-B", f"{HERE}/libtorrent_client.py", torrent, where, "--listen", listen, *more], network)


def aria2(folder, name, torrent, where, address):
    return Client(folder, name, ["aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
                                 "--enable-peer-exchange=false", "--bt-hash-check-seed=true", "--seed-time=0.1", "--listen-port=6893",
                                 f"--interface={address}", "--file-allocation=none", "--summary-interval=0", f"--dir={where}", torrent])


class Transmission(Client):
    def __init__(self, folder, name, torrent, where, network):
        home = f"{folder}/{name}"
        os.makedirs(home)
        with open(f"{home}/settings.json", "w") as file:
            json.dump({"dht-enabled": False, "lpd-enabled": False, "pex-enabled": False, "utp-enabled": False,
                       "port-forwarding-enabled": False, "rpc-authentication-required": False, "rpc-bind-address": "127.0.0.1",
                       "rpc-port": 9091, "download-dir": where, "incomplete-dir-enabled": False, "peer-port": 51413,
                       "blocklist-enabled": False, "trash-original-torrent-files": False, "message-level": 3}, file)
        super().__init__(folder, name, ["transmission-daemon", "--foreground", "--config-dir", home], network)
        self.network = network
        wait_for("transmission answers", 15, lambda: self.remote("--session-info"))
        assert self.remote("--add", torrent, "--download-dir", where)

    def remote(self, *arguments):
        command = ["nsenter", f"--net=/proc/{self.network}/ns/net", "--", "transmission-remote", "127.0.0.1:9091", *arguments]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        return result.stdout if result.returncode == 0 else ""

    def leave(self):
        assert self.remote("--torrent", "1", "--stop")


# ------------------------------------------------------------------------------ a transfer

def make_file(folder):
    os.makedirs(folder)
    path = f"{folder}/shared.bin"
    with open(path, "wb") as file:
        file.write(random.randbytes(FILE_BYTES))
    return path


def make_torrent(path, name, content, tiers):
    import libtorrent
    storage = libtorrent.file_storage()
    libtorrent.add_files(storage, content)
    torrent = libtorrent.create_torrent(storage, 65536, libtorrent.create_torrent.v1_only)
    torrent.set_priv(True)
    for tier, url in enumerate(tiers):
        torrent.add_tracker(url, tier)
    libtorrent.set_piece_hashes(torrent, os.path.dirname(content))
    file_name = f"{path}/{name}.torrent"
    with open(file_name, "wb") as file:
        file.write(libtorrent.bencode(torrent.generate()))
    return file_name


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def has_file(path):
    return os.path.exists(path) and os.path.getsize(path) == FILE_BYTES and not os.path.exists(path + ".aria2")


def check_accounts(tracker, wire):
    """The database against the wire, for both users; and that a file's worth was moved at all."""
    for name, passkey, what, least in (("seed", SEED, 0, FILE_BYTES), ("leech", LEECH, 1, FILE_BYTES)):
        reported = wire.totals(passkey)
        assert reported[what] >= least, f"{name} reported {reported}, the file has {least} bytes"
        wait_for(f"{name}'s account {tracker.account(passkey)} is what was reported, {reported}", 10,
                 lambda: tracker.account(passkey) == wire.totals(passkey))
    snatches = tracker.rows("SELECT snatches FROM torrents")
    assert snatches == [(1,)], f"snatches: {snatches}"
    wait_for("all sessions have left", 10, lambda: tracker.rows("SELECT count(*) FROM sessions") == [(0,)])


@contextlib.contextmanager
def setting(listen, interfaces, port):
    """A folder with a tracker in it and the wire watched; what a failed test leaves is ended and shown."""
    folder = tempfile.mkdtemp(prefix="privtrak-clients-")
    clients = []
    wire = tracker = None
    try:
        wire = Wire(port, interfaces)
        tracker = Tracker(folder, listen, port)
        yield folder, tracker, wire, clients
        tracker.stop()
    except BaseException:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".log"):
                with open(f"{folder}/{name}") as file:
                    print(f"--- {name} ---\n{file.read()[-3000:]}", file=sys.stderr)
        if wire is not None:
            print("--- announces ---", *wire.reports, sep="\n", file=sys.stderr)
        raise
    finally:
        for client in clients:
            client.kill()
        if tracker is not None and tracker.process.poll() is None:
            tracker.process.kill()
            tracker.process.wait()
        if wire is not None:
            wire.close()
        shutil.rmtree(folder, ignore_errors=True)


def announced(wire, passkey, event):
    return any(report.passkey == passkey and report.event == event for report in wire.reports)


def test_http_between_libtorrent_and_aria2(_):
    port = 17301
    with setting(["127.0.0.1"], ["lo"], port) as (folder, tracker, wire, clients):
        content = make_file(f"{folder}/seed")
        torrents = {key: make_torrent(folder, key, content, [f"http://127.0.0.1:{port}/announce?passkey={key}"])
                    for key in (SEED, LEECH)}
        clients.append(libtorrent_client(folder, "libtorrent", torrents[SEED], f"{folder}/seed", "127.0.0.2:6891",
                                         "--upload-limit", "1000000"))
        wait_for("the seeder announces", 20, lambda: announced(wire, SEED, "started"))
        clients.append(aria2(folder, "aria2", torrents[LEECH], f"{folder}/leech", "127.0.0.3"))
        wait_for("aria2 has the file", 60, lambda: has_file(f"{folder}/leech/shared.bin"))
        assert digest(f"{folder}/leech/shared.bin") == digest(content)
        wait_for("aria2 stops", 30, lambda: announced(wire, LEECH, "stopped"))
        clients[1].stop()
        clients[0].stop()
        wait_for("the seeder stops", 10, lambda: announced(wire, SEED, "stopped"))
        assert all(report.protocol == "http" for report in wire.reports)
        assert announced(wire, LEECH, "completed")
        check_accounts(tracker, wire)


def test_udp_between_two_libtorrents(_):
    port = 17311
    with setting(["127.0.0.1"], ["lo"], port) as (folder, tracker, wire, clients):
        content = make_file(f"{folder}/seed")
        forms = {SEED: f"udp://127.0.0.1:{port}/announce/{SEED}", LEECH: f"udp://127.0.0.1:{port}/{LEECH}/announce"}
        torrents = {key: make_torrent(folder, key, content, [url]) for key, url in forms.items()}
        clients.append(libtorrent_client(folder, "seeder", torrents[SEED], f"{folder}/seed", "127.0.0.2:6891",
                                         "--upload-limit", "1000000"))
        wait_for("the seeder announces", 20, lambda: announced(wire, SEED, "started"))
        clients.append(libtorrent_client(folder, "leecher", torrents[LEECH], f"{folder}/leech", "127.0.0.3:6892"))
        wait_for("the leecher has the file", 60, lambda: announced(wire, LEECH, "completed"))
        for client, key in ((clients[1], LEECH), (clients[0], SEED)):
            client.stop()
            wait_for("it stops", 10, lambda: announced(wire, key, "stopped"))
        assert digest(f"{folder}/leech/shared.bin") == digest(content)
        assert all(report.protocol == "udp" for report in wire.reports)
        check_accounts(tracker, wire)


# ------------------------------------------------------- a network of documentation addresses

HUB4, HUB6 = "192.0.2.1", "2001:db8::1"


def make_hub():
    """The tracker's side: a bridge that the clients' networks are plugged into, and a name for the tracker."""
    run("ip", "link", "set", "lo", "up")
    try:
        run("ip", "link", "add", "hub", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    except AssertionError as error:
        raise Skip(f"the kernel makes no bridge: {error}") from error
    run("ip", "address", "add", f"{HUB4}/24", "dev", "hub")
    run("ip", "-6", "address", "add", f"{HUB6}/64", "dev", "hub", "nodad")
    run("ip", "link", "set", "hub", "up")


@contextlib.contextmanager
def host(number):
    """Another machine: a network namespace held by a sleeping process, 192.0.2.number and 2001:db8::number."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        wait_for("the namespace is there", 5, lambda: os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        inside = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "--", "ip"]
        run("ip", "link", "add", f"host{number}", "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        run("ip", "link", "set", f"host{number}", "master", "hub", "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"192.0.2.{number}/24", "dev", "eth0")
        run(*inside, "-6", "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "route", "add", "default", "via", HUB4)
        run(*inside, "-6", "route", "add", "default", "via", HUB6)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def name_tracker(folder):
    hosts = f"{folder}/hosts"
    with open(hosts, "w") as file:
        file.write(f"127.0.0.1 localhost\n{HUB4} tracker.example\n{HUB6} tracker.example\n")
    run("mount", "--bind", hosts, "/etc/hosts")


def test_both_urls_between_dual_stack_libtorrent_and_transmission(namespaces):
    if not namespaces:
        raise Skip("network namespaces are impossible here (they need root or user namespaces)")
    port = 17321
    make_hub()
    with setting(["0.0.0.0", "[::]"], ["hub"], port) as (folder, tracker, wire, clients), host(10) as one, host(20) as two:
        name_tracker(folder)
        content = make_file(f"{folder}/seed")
        torrents = {key: make_torrent(folder, key, content, [f"udp://tracker.example:{port}/announce/{key}",
                                                             f"http://tracker.example:{port}/announce/{key}"])
                    for key in (SEED, LEECH)}
        clients.append(libtorrent_client(folder, "libtorrent", torrents[SEED], f"{folder}/seed", "0.0.0.0:6891,[::]:6891",
                                         "--all-trackers", "--upload-limit", "1000000", network=one))
        wait_for("the seeder announces", 20, lambda: announced(wire, SEED, "started"))
        clients.append(Transmission(folder, "transmission", torrents[LEECH], f"{folder}/leech", two))
        wait_for("transmission has the file", 90, lambda: announced(wire, LEECH, "completed"))
        wait_for("the file is in place", 10, lambda: has_file(f"{folder}/leech/shared.bin"))
        assert digest(f"{folder}/leech/shared.bin") == digest(content)
        clients[1].leave()
        wait_for("transmission stops", 20, lambda: announced(wire, LEECH, "stopped"))
        clients[1].stop()
        clients[0].stop()
        ways = {(report.protocol, report.family) for report in wire.reports if report.passkey == SEED}
        assert ways == {("http", 4), ("http", 6), ("udp", 4), ("udp", 6)}, f"libtorrent came over {ways}"
        check_accounts(tracker, wire)


TESTS = [test_http_between_libtorrent_and_aria2, test_udp_between_two_libtorrents,
         test_both_urls_between_dual_stack_libtorrent_and_transmission]


def missing():
    lacking = [program for program in ("aria2c", "transmission-daemon", "transmission-remote", "ip", "nsenter")
               if shutil.which(program) is None]
    try:
        import libtorrent  # noqa: F401
    except ImportError:
        lacking.append("python3-libtorrent")
    return lacking


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespaces", action="store_true")
    parser.add_argument("tests", nargs="*", help="numbers, from 1")
    options = parser.parse_args()
    if options.namespaces:
        run("mount", "--make-rprivate", "/")
        run("ip", "link", "set", "lo", "up")
    failed = 0
    lacking = missing()
    print(f"1..{len(TESTS)}", flush=True)
    for number, test in enumerate(TESTS, 1):
        if options.tests and str(number) not in options.tests:
            continue
        name = f"{number} - clients::{test.__name__.removeprefix('test_')}"
        try:
            assert not lacking, f"not installed: {', '.join(lacking)} (make deps-test)"
            test(options.namespaces)
            print(f"ok {name}", flush=True)
        except Skip as reason:
            print(f"ok {name} # SKIP {reason}", flush=True)
        except Exception:  # a test may fail for whatever reason; the others go on
            failed += 1
            traceback.print_exc()
            print(f"not ok {name}", flush=True)
    return 1 if failed else 0


sys.exit(main())
