"""The database is away when the tracker starts, as docs/accounting.md says what happens then."""
import os
import signal
import time

from places import Fault, Mariadb
from swarm import Load


def refused(daemon, url, *words):
    """The start must end at once with a reason that holds the words, cache or not."""
    before = os.path.getsize(daemon.log_path)
    daemon.launch(url=url)
    status = daemon.process.wait(20)
    with open(daemon.log_path, encoding="utf-8", errors="replace") as log:
        log.seek(before)
        said = log.read()
    if status == 0 or not all(word in said for word in words):
        raise Fault(f"the start on {url} ended with {status} and said: {said}")


def wait_for_log(daemon, text, seconds):
    end = time.monotonic() + seconds
    while True:
        with open(daemon.log_path, encoding="utf-8", errors="replace") as log:
            if text in log.read():
                return
        if time.monotonic() > end:
            raise Fault(f"the log does not say within {seconds} s: {text}; {daemon.log_end()}")
        time.sleep(0.1)


def load_while_away(daemon, swarm, seconds, lives):
    """Several lives without the database; returns the slowest start."""
    slowest = 0
    for life in range(lives):
        slowest = max(slowest, daemon.start(workers=1 + life % 4))
        before = swarm.refused
        with Load(swarm, daemon):
            time.sleep(seconds)
        if swarm.refused != before:
            raise Fault(f"{swarm.refused - before} announces were refused without the database: {daemon.log_end()}")
        if life % 2:
            daemon.stop()
        else:
            daemon.kill()
            swarm.forget()
    return slowest


def without_database(daemon, swarm, database, quick):
    """The server is killed before the tracker starts, more than once, and comes back while it runs."""
    wait_for_log(daemon, "lists read whole=true", 10)
    time.sleep(1.5)  # the cache is written a second after the start
    with Load(swarm, daemon):
        time.sleep(0.5)
    daemon.kill()
    swarm.forget()
    database.crash()
    slowest = load_while_away(daemon, swarm, 0.7 if quick else 5, 2 if quick else 6)
    daemon.start()
    wait_for_log(daemon, "the database is away, going on with the lists", 5)
    with Load(swarm, daemon):
        database.start()
        wait_for_log(daemon, "the database answers again", 45)
        time.sleep(0.5)
    daemon.flush()
    swarm.churn(daemon, len(swarm.sessions) // 20)
    return slowest


def silent_database(daemon, swarm, database):
    """The server takes connections and says nothing: the start gives up on it after ten seconds."""
    daemon.stop()
    database.server.send_signal(signal.SIGSTOP)
    try:
        took = daemon.start()
        wait_for_log(daemon, "the server does not answer", 5)
        with Load(swarm, daemon):
            time.sleep(1)
    finally:
        database.server.send_signal(signal.SIGCONT)
    daemon.flush()
    return took


def refusals(daemon, database):
    """What waiting does not mend."""
    daemon.stop()
    if isinstance(database, Mariadb):
        wrong_names_mariadb(daemon, database.url)
        wrong_passwords_mariadb(daemon, database)
    else:
        wrong_names_postgresql(daemon, database.url)
        wrong_passwords_postgresql(daemon, database)
    database.crash()
    refused(daemon, database.url.replace("/torture", "/elsewhere"), "the database is away", "of another database")
    os.remove(os.path.join(daemon.state, "lists.cache"))
    refused(daemon, database.url, "the database is away", "lists.cache: No such file")
    database.start()
    daemon.start(url=database.url)


def wrong_names_postgresql(daemon, url):
    refused(daemon, url.replace("/torture", "/elsewhere"), 'database "elsewhere" does not exist')
    refused(daemon, url.replace("privtrak@", "nobody-such@"), 'role "nobody-such" does not exist')


def wrong_passwords_postgresql(daemon, database):
    database.ask("torture", "ALTER ROLE privtrak PASSWORD 'right'")
    rules = os.path.join(database.directory, "data", "pg_hba.conf")
    with open(rules, encoding="ascii") as file:
        kept = file.read()
    try:
        with open(rules, "w", encoding="ascii") as file:
            file.write("local all all scram-sha-256\n")
        database.server.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        refused(daemon, database.url.replace("privtrak@", "privtrak:wrong@"), "password authentication failed")
        refused(daemon, database.url, "no password supplied")
    finally:
        with open(rules, "w", encoding="ascii") as file:
            file.write(kept)
        database.server.send_signal(signal.SIGHUP)


def wrong_names_mariadb(daemon, url):
    refused(daemon, url.replace("/torture", "/elsewhere"), "Unknown database 'elsewhere'")
    refused(daemon, url.replace("root@", "nobody-such@"), "Access denied for user 'nobody-such'")


def wrong_passwords_mariadb(daemon, database):
    database.ask("", "CREATE USER tracker@localhost IDENTIFIED BY 'right'; GRANT ALL ON torture.* TO tracker@localhost")
    refused(daemon, database.url.replace("root@", "tracker:wrong@"), "Access denied for user 'tracker'")
    refused(daemon, database.url.replace("root@", "tracker@"), "Access denied for user 'tracker'")
