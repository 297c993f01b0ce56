"""Thousands of sessions that announce, and the ledger of what each (user, torrent) must have been credited.

A session's counters only grow once its baseline is certainly in the database: until then it repeats the same ones, so
that it does not matter which of its announces the tracker remembers as the first.
"""
import hashlib
import os
import random
import socket
import struct
import threading
import time

from places import Fault

EVENTS = {"": 0, "completed": 1, "started": 2, "stopped": 3}
BURST = 24


class Session:
    def __init__(self, user, torrent):
        self.user, self.torrent = user, torrent
        self.peer_id = b"-TO0100-" + os.urandom(6).hex().encode()
        self.key = random.randrange(1, 2**32)
        self.port = random.randrange(1024, 65536)
        self.first = [random.randrange(0, 2**40), random.randrange(0, 2**40)]
        self.sent = list(self.first)  # the highest counters that were ever sent
        self.acked = list(self.first)  # the highest that were answered by a daemon that has not been killed since
        self.safe = list(self.first)  # the highest that no kill may take back
        self.is_certain = False  # the baseline is in the database
        self.is_answered = False
        self.is_stopped = False
        self.left = random.choice((0, 0, 1 << 30))

    def grow(self):
        if self.is_certain and not self.is_stopped:
            self.sent = [self.sent[0] + random.randrange(0, 1 << 20), self.sent[1] + random.randrange(0, 1 << 18)]

    def event(self):
        return "stopped" if self.is_stopped else "" if self.is_answered else "started"


class Http:
    """One connection; requests are pipelined."""

    def __init__(self, host, port):
        self.address = host, port
        self.socket = None
        self.buffer = b""

    def exchange(self, asks):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, 2)
            self.socket.settimeout(3)
            self.buffer = b""
        self.socket.sendall(b"".join(self.request(*ask) for ask in asks))
        for number in range(len(asks)):
            yield number, b"14:failure reason" not in self.reply()

    @staticmethod
    def request(swarm, session, counters, event):
        info_hash = swarm.info_hashes[session.torrent].hex()
        escaped = "".join("%" + info_hash[i:i + 2] for i in range(0, 40, 2))
        tail = f"&event={event}" if event else ""
        return (f"GET /announce?passkey={swarm.passkeys[session.user]}&info_hash={escaped}&peer_id={session.peer_id.decode()}"
                f"&port={session.port}&uploaded={counters[0]}&downloaded={counters[1]}&left={session.left}"
                f"&key={session.key:08x}&compact=1&numwant=2{tail} HTTP/1.1\r\nHost: tracker\r\n\r\n").encode()

    def reply(self):
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        at = head.lower().index(b"content-length:")
        length = int(head[at + 15:].split(b"\r\n")[0])
        self.buffer = rest
        while len(self.buffer) < length:
            self.more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Udp:
    """One socket; packets are sent in bursts, and some of them twice."""

    def __init__(self, host, port, twice=0.05):
        self.address = host, port
        self.socket = None
        self.until = 0
        self.connection = b""
        self.twice = twice

    def open(self):
        self.socket = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.address)
        self.socket.settimeout(0.5)

    def exchange(self, asks):
        if self.socket is None:
            self.open()
        if time.monotonic() > self.until:
            self.socket.send(struct.pack(">QII", 0x41727101980, 0, 7))
            while True:
                reply = self.socket.recv(2048)
                if reply[:8] == struct.pack(">II", 0, 7):
                    break
            self.connection = reply[8:16]
            self.until = time.monotonic() + 60
        mark = random.randrange(1 << 24) << 8
        for number, ask in enumerate(asks):
            packet = self.request(mark + number, *ask)
            self.socket.send(packet)
            if random.random() < self.twice:
                self.socket.send(packet)
        waiting = set(range(len(asks)))
        while waiting:
            reply = self.socket.recv(2048)
            action, transaction = struct.unpack(">II", reply[:8])
            number = transaction - mark
            if number in waiting:
                waiting.discard(number)
                yield number, action == 1

    def request(self, transaction, swarm, session, counters, event):
        url = f"/announce?passkey={swarm.passkeys[session.user]}".encode()
        return (self.connection + struct.pack(">II", 1, transaction) + swarm.info_hashes[session.torrent] +
                session.peer_id + struct.pack(">QQQIIIiH", counters[1], session.left, counters[0], EVENTS[event], 0,
                                              session.key, 2, session.port) + bytes((2, len(url))) + url)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.until = 0


def make_ways(daemon):
    hosts = ["127.0.0.1", "::1"] if daemon.ipv6 else ["127.0.0.1"]
    return [kind(host, daemon.port) for host in hosts for kind in (Http, Udp)]


class Swarm:
    def __init__(self, users, torrents, sessions, seed):
        self.random = random.Random(seed)
        self.passkeys = [hashlib.sha256(b"user%d" % i).hexdigest()[:32] for i in range(users)]
        self.info_hashes = [hashlib.sha1(b"torrent%d" % i).digest() for i in range(torrents)]
        # Whole factors, so that nothing is rounded.
        self.user_percent = [200 if i % 10 == 9 else 100 for i in range(users)]
        self.torrent_percent = [0 if i % 5 == 4 else 100 for i in range(torrents)]
        pairs = [(u, t) for u in range(users) for t in range(torrents)]
        self.random.shuffle(pairs)
        # Every eighth pair has two sessions, that is two clients of one user.
        self.sessions = [Session(*pairs[i % (sessions * 7 // 8)]) for i in range(sessions)]
        self.retired = []
        self.announces = self.answers = self.late = self.refused = self.broken = 0
        self.lock = threading.Lock()

    def setup(self, database):
        """What a site would write. Torrents at 100 percent are left for the tracker to register."""
        database.write([f"INSERT INTO users (name, passkey, upload_percent) VALUES ('u{i}', '{key}', {self.user_percent[i]})"
                        for i, key in enumerate(self.passkeys)] +
                       [f"INSERT INTO torrents (info_hash, download_percent) VALUES ('{h.hex()}', {self.torrent_percent[i]})"
                        for i, h in enumerate(self.info_hashes) if self.torrent_percent[i] != 100])

    # ------------------------------------------------------------ announcing

    def send(self, way, sessions, counts, late=False):
        """One burst; `late`: with counters that lie behind, as if overtaken."""
        asks = []
        for session in sessions:
            if late:
                back = session.first[0] + (session.sent[0] - session.first[0]) // 2, \
                       session.first[1] + (session.sent[1] - session.first[1]) // 2
                asks.append((self, session, back, ""))
            else:
                session.grow()
                asks.append((self, session, list(session.sent), session.event()))
        counts["late" if late else "announces"] += len(asks)
        for number, is_good in way.exchange(asks):
            counts["answers" if is_good else "refused"] += 1
            if is_good and not late:
                session = sessions[number]
                session.acked = asks[number][2]
                session.is_answered = True

    def work(self, daemon, sessions, stop):
        ways = make_ways(daemon)
        counts = dict.fromkeys(("announces", "answers", "late", "refused", "broken"), 0)
        while not stop.is_set():
            way = random.choice(ways)
            burst = random.sample(sessions, min(BURST, len(sessions)))
            try:
                self.send(way, burst, counts)
                if random.random() < 0.2:
                    other = random.choice(ways)
                    grown = [s for s in burst if s.is_certain and not s.is_stopped]
                    self.send(other, grown, counts, late=True)
            except (OSError, ValueError):
                counts["broken"] += 1
                way.close()
                for each in ways:
                    each.close()
                time.sleep(0.01)
        for way in ways:
            way.close()
        with self.lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def announce_all(self, daemon, sessions, seconds=60):
        """Each of them once, until each is answered."""
        ways = make_ways(daemon)
        counts = dict.fromkeys(("announces", "answers", "late", "refused"), 0)
        end = time.monotonic() + seconds
        todo = list(sessions)
        while todo:
            if time.monotonic() > end:
                raise Fault(f"{len(todo)} sessions were not answered within {seconds} s; {daemon.log_end()}")
            left = []
            for i in range(0, len(todo), BURST):
                burst = todo[i:i + BURST]
                answered = set()
                asks = [(self, s, list(s.sent), s.event()) for s in burst]
                try:
                    way = random.choice(ways)
                    for number, is_good in way.exchange(asks):
                        if is_good:
                            answered.add(number)
                            burst[number].acked = list(burst[number].sent)
                            burst[number].is_answered = True
                except OSError:
                    way.close()
                left += [s for n, s in enumerate(burst) if n not in answered]
                counts["announces"] += len(asks)
                counts["answers"] += len(answered)
            todo = left
            if todo:
                time.sleep(0.05)
        for way in ways:
            way.close()
        self.announces += counts["announces"]
        self.answers += counts["answers"]

    def settle(self, daemon):
        """Baselines of all new sessions into the database; from then on they count."""
        new = [s for s in self.sessions if not s.is_certain]
        self.announce_all(daemon, new)
        daemon.flush()
        for session in new:
            session.is_certain = True
        self.secure()

    def churn(self, daemon, count):
        """Some clients stop, and come again as new sessions with other counters."""
        for session in random.sample([s for s in self.sessions if s.is_certain], count):
            session.is_stopped = True
            self.sessions.remove(session)
            self.retired.append(session)
            self.sessions.append(Session(session.user, session.torrent))
        self.announce_all(daemon, self.retired[-count:])
        self.settle(daemon)

    # ------------------------------------------------------------ the ledger

    def secure(self):
        """What was answered has been seen in the database."""
        for session in self.sessions + self.retired:
            session.safe = list(session.acked)

    def forget(self):
        """A kill: what was answered may have been in memory only, and the next announce brings it again."""
        for session in self.sessions + self.retired:
            session.acked = list(session.safe)

    def expected(self, which):
        """What each pair must have by the counters that were "sent" or "acked"."""
        totals = {}
        for session in self.sessions + self.retired:
            counters = getattr(session, which)
            pair = totals.setdefault((session.user, session.torrent), [0, 0])
            pair[0] += (counters[0] - session.first[0]) * self.user_percent[session.user] // 100
            pair[1] += (counters[1] - session.first[1]) * self.torrent_percent[session.torrent] // 100
        return totals

    def found(self, database):
        users = {key: i for i, key in enumerate(self.passkeys)}
        hashes = {h.hex(): i for i, h in enumerate(self.info_hashes)}
        totals = {}
        for key, info_hash, up, down in database.rows(
                "SELECT u.passkey, t.info_hash, x.uploaded, x.downloaded FROM user_torrents x"
                " JOIN users u ON u.id = x.user_id JOIN torrents t ON t.id = x.torrent_id"):
            totals[(users[key], hashes[info_hash])] = [int(up), int(down)]
        return totals

    def compare(self, database, least, what):
        """No pair may have more than was sent, nor less than by `least` ("sent", "acked", or None)."""
        found, most = self.found(database), self.expected("sent")
        floor = self.expected(least) if least else {}
        wrong = lost = doubled = 0
        examples = []
        for pair in most.keys() | found.keys():
            has, high, low = found.get(pair, [0, 0]), most.get(pair, [0, 0]), floor.get(pair, [0, 0])
            if has[0] > high[0] or has[1] > high[1] or has[0] < low[0] or has[1] < low[1]:
                wrong += 1
                doubled += sum(max(0, has[i] - high[i]) for i in (0, 1))
                lost += sum(max(0, low[i] - has[i]) for i in (0, 1))
                examples.append(f"user {pair[0]} torrent {pair[1]}: has {has}, must have {low} to {high}")
        if wrong:
            raise Fault(f"{what}: {wrong} of {len(most)} pairs differ, {lost} bytes lost, {doubled} bytes too many: " +
                        "; ".join(examples[:5]))
        return len(most)

    def finish(self, daemon, database):
        """Every session's last announce, then not a byte may be missing or too many."""
        self.announce_all(daemon, self.sessions + self.retired)
        daemon.flush()
        pairs = self.compare(database, "sent", "at the end")
        odd = database.rows("SELECT count(*) FROM users u WHERE u.uploaded <> (SELECT coalesce(sum(x.uploaded), 0)"
                            " FROM user_torrents x WHERE x.user_id = u.id) OR u.downloaded <> (SELECT"
                            " coalesce(sum(x.downloaded), 0) FROM user_torrents x WHERE x.user_id = u.id)")[0][0]
        parked = database.rows("SELECT count(*) FROM parked_deltas")[0][0]
        cut = database.rows("SELECT coalesce(sum(quarantined), 0) FROM users")[0][0]
        if int(odd) or int(parked) or int(cut):
            raise Fault(f"{odd} users' totals are not the sum of their torrents', {parked} parked, {cut} quarantined")
        up, down = (sum(pair[i] for pair in self.expected("sent").values()) for i in (0, 1))
        return f"{pairs} pairs, {up + down} bytes, 0 lost, 0 doubled"


class Load:
    """Announces from threads, from entering to leaving."""

    def __init__(self, swarm, daemon, threads=2):
        self.stop = threading.Event()
        parts = [swarm.sessions[i::threads] for i in range(threads)]
        self.threads = [threading.Thread(target=swarm.work, args=(daemon, part, self.stop), daemon=True) for part in parts]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
