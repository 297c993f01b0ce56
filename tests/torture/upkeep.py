"""What docs/accounting.md tells an operator to do: restoring a database, and moving from SQLite to PostgreSQL."""
import csv
import os
import shutil
import sqlite3
import time

from places import Daemon, Fault, Postgresql
from swarm import Load

TABLES = "users", "torrents", "user_torrents", "sessions", "clients", "parked_deltas"
KEPT_KEYS = "key LIKE 'applied.%' OR key IN ('upload_percent', 'download_percent', 'until')"


def write_csv(path, rows, names):
    """As sqlite3 -csv does: a NULL is nothing, an empty text is quoted."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(names)
        for row in rows:
            file.write(",".join("" if v is None else '"' + str(v).replace('"', '""') + '"' for v in row) + "\n")


def copy_tables(old_path, new, directory):
    old = sqlite3.connect(old_path)
    for table, condition in [(t, "1") for t in TABLES] + [("privtrak", KEPT_KEYS)]:
        cursor = old.execute(f"SELECT * FROM {table} WHERE {condition}")
        path = os.path.join(directory, table + ".csv")
        write_csv(path, cursor.fetchall(), [column[0] for column in cursor.description])
        new.ask("torture", f"\\copy {table} FROM '{path}' CSV HEADER\n")
    old.close()
    for table in ("users", "torrents"):
        new.ask("torture", f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 1) FROM {table}))")


def move(daemon, swarm, old, directory):
    with Load(swarm, daemon):
        time.sleep(1)
    daemon.flush()
    if daemon.ctl("shutdown").returncode != 0:
        raise Fault("privtrakctl shutdown failed")
    daemon.process.wait(10)
    new = Postgresql(directory)
    try:
        maker = Daemon(directory, new, state=os.path.join(directory, "made"))
        maker.start()
        maker.stop()
        new.write(["DELETE FROM users", "DELETE FROM changes"])
        copy_tables(old.path, new, directory)
        swarm.compare(new, "acked", "after the move")
        daemon.start(url=new.url, workers=3)
        swarm.compare(new, "acked", "after the start on the new database")
        with Load(swarm, daemon):
            time.sleep(1)
        swarm.churn(daemon, len(swarm.sessions) // 20)
        result = swarm.finish(daemon, new)
        daemon.stop()
        return result
    finally:
        daemon.close()
        new.close()


def restore(daemon, swarm, database, directory):
    """The database comes from an older backup, state_dir is the newest: the journal brings what is behind."""
    with Load(swarm, daemon):
        time.sleep(0.5)
    daemon.flush()
    backup = os.path.join(directory, "backup.db")
    with sqlite3.connect(database.path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    with Load(swarm, daemon):
        time.sleep(1)
    daemon.kill()
    for end in ("", "-wal", "-shm"):
        if os.path.exists(database.path + end):
            os.remove(database.path + end)
    shutil.copy(backup, database.path)
    daemon.start()
    return swarm.finish(daemon, database)


def forget_state(daemon, swarm, database):
    """state_dir is lost: what was delivered stays, and every session begins anew."""
    with Load(swarm, daemon):
        time.sleep(0.5)
    swarm.announce_all(daemon, swarm.sessions)
    daemon.flush()
    daemon.kill()
    shutil.rmtree(daemon.state)
    daemon.start()
    for session in swarm.sessions:
        session.is_certain = session.is_answered = False
    swarm.settle(daemon)
    swarm.compare(database, "sent", "after the loss of state_dir")
    with Load(swarm, daemon):
        time.sleep(0.5)
    return swarm.finish(daemon, database)
