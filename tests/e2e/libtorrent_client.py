"""One BitTorrent client on libtorrent, as qBittorrent and Deluge are: shares one torrent until SIGTERM.

Prints a line with its progress a second. On SIGTERM it leaves the swarm, says so to the trackers, and ends.
DHT, LPD, PEX, UPnP and uTP are off, so that only the tracker brings peers together.
"""
import argparse
import signal
import sys
import time

import libtorrent


def session_of(options):
    return libtorrent.session({
        "listen_interfaces": options.listen,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True,
        "announce_to_all_trackers": options.all_trackers,
        "announce_to_all_tiers": options.all_trackers,
        "upload_rate_limit": options.upload_limit,
        "rate_limit_ip_overhead": False,
        "stop_tracker_timeout": 5,
        "alert_mask": libtorrent.alert.category_t.all_categories,
    })


def log_alerts(session):
    for alert in session.pop_alerts():
        if "tracker" in alert.what() or "error" in alert.what():
            print(f"{alert.what()}: {alert.message()}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("torrent")
    parser.add_argument("folder")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--all-trackers", action="store_true")
    parser.add_argument("--upload-limit", type=int, default=0)
    options = parser.parse_args()

    stopped = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    session = session_of(options)
    session.set_peer_class_filter(libtorrent.ip_filter())  # else the rate limit leaves out peers on loopback
    handle = session.add_torrent({"ti": libtorrent.torrent_info(options.torrent), "save_path": options.folder})
    last = 0.0
    while not stopped:
        log_alerts(session)
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            status = handle.status()
            print(f"{status.state} progress={status.progress:.3f} peers={status.num_peers} "
                  f"seeding={int(status.is_seeding)}", flush=True)
        time.sleep(0.1)
    session.remove_torrent(handle)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        log_alerts(session)
        time.sleep(0.1)


main()
