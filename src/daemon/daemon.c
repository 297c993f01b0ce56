/* daemon: see daemon.h. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu.h>

#include "admin/admin.h"
#include "base/background_thread.h"
#include "base/log.h"
#include "base/privileges.h"
#include "daemon/announce_urls.h"
#include "daemon/lists_cache.h"
#include "daemon/state.h"
#include "database/registry.h"
#include "deltas/ledger.h"
#include "http/http.h"
#include "tracker/tracker.h"
#include "udp/udp.h"

enum {
    STOP_DELIVERY_MS = 4000, /* of the 10 s that a graceful stop may take */
    WORKERS_MAX = 256,       /* as the configuration allows */
};

struct daemon {
    struct config *config;
    pthread_mutex_t reloading;
    int state_lock;              /* the file state_dir/lock, held as long as we run */
    bool config_is_out_of_reach; /* outside of the directory that privileges.chroot locks us into */
    struct users *users;
    struct clients *clients;
    struct multipliers multipliers;
    struct tracker *tracker;
    struct registry *registry;
    struct ring *rings[WORKERS_MAX]; /* the workers', for the ledger */
    struct ledger *ledger;
    struct lists_cache *cache;
    struct state *state;
    struct http_listeners *http;
    struct udp_listeners *udp;
    struct admin *admin;
    char owner_passkey[DATABASE_PASSKEY_BYTES];
};

/* --- start --- */

/* One tracker a state directory: two would write one journal. */
static int lock_state(struct daemon *daemon, struct error *error)
{
    const char *directory = daemon->config->tracker.state_dir;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return error_set(error, "tracker.state_dir: cannot make %s: %s", directory, strerror(errno));
    char path[4096];
    if (snprintf(path, sizeof path, "%s/lock", directory) >= (int)sizeof path)
        return error_set(error, "tracker.state_dir: %s is too long", directory);
    daemon->state_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (daemon->state_lock < 0)
        return error_set(error, "tracker.state_dir: cannot write in %s: %s", directory, strerror(errno));
    if (flock(daemon->state_lock, LOCK_EX | LOCK_NB) != 0)
        return error_set(error, "tracker.state_dir: another tracker is running on %s", directory);
    return 0;
}

static int make_tracker(struct daemon *daemon, struct error *error)
{
    daemon->users = users_new();
    daemon->clients = clients_new();
    if (daemon->users == NULL || daemon->clients == NULL)
        return error_set(error, "out of memory");
    const struct tracker_parts parts = {
        .users = daemon->users, .clients = daemon->clients, .multipliers = &daemon->multipliers};
    daemon->tracker = tracker_new(daemon->config, &parts, error);
    return daemon->tracker == NULL ? -1 : 0;
}

static int load_lists(struct daemon *daemon, struct error *error)
{
    const struct registry_parts parts = {
        .users = daemon->users,
        .clients = daemon->clients,
        .multipliers = &daemon->multipliers,
        .tracker = daemon->tracker,
    };
    daemon->registry = registry_new(daemon->config, &parts, error);
    if (daemon->registry == NULL)
        return -1;
    daemon->cache = lists_cache_open(daemon->config, &parts, daemon->registry, error);
    if (daemon->cache == NULL)
        return -1;
    if (registry_load(daemon->registry, daemon->owner_passkey, error) == 0)
        return 0;
    const struct error reason = *error;
    return registry_is_away(daemon->registry) ? lists_cache_load(daemon->cache, &reason, error) : -1;
}

static int open_sockets(struct daemon *daemon, struct error *error)
{
    const struct config *config = daemon->config;
    daemon->http = http_listen(config, config->tracker.workers, error);
    if (daemon->http == NULL)
        return -1;
    daemon->udp = udp_listen(config, config->tracker.workers, error);
    if (daemon->udp == NULL)
        return -1;
    http_add_to(daemon->tracker, daemon->http);
    udp_add_to(daemon->tracker, daemon->udp);
    return 0;
}

static int reload_for_admin(void *context, struct error *error)
{
    return daemon_reload(context, error);
}

static int snapshot_for_admin(void *context, uint64_t *seq, struct error *error)
{
    struct daemon *daemon = context;
    return state_save(daemon->state, seq, error);
}

static void shutdown_for_admin(void *context)
{
    (void)context;
    kill(getpid(), SIGTERM); /* taken by main, as from anybody else */
}

static int open_admin(struct daemon *daemon, struct error *error)
{
    const struct admin_parts parts = {
        .tracker = daemon->tracker,
        .ledger = daemon->ledger,
        .users = daemon->users,
        .registry = daemon->registry,
        .context = daemon,
        .reload = reload_for_admin,
        .snapshot = snapshot_for_admin,
        .shutdown = shutdown_for_admin,
    };
    daemon->admin = admin_open(daemon->config, &parts, error);
    return daemon->admin == NULL ? -1 : 0;
}

static bool ledger_gate(void *context)
{
    return ledger_is_full(context);
}

static uint64_t ledger_synced_for_tracker(void *context, unsigned worker)
{
    return ledger_synced(context, worker);
}

static void release_held(void *context)
{
    tracker_release_held(context);
}

static int start_threads(struct daemon *daemon, struct error *error)
{
    unsigned count = tracker_workers(daemon->tracker);
    for (unsigned i = 0; i < count; i++)
        daemon->rings[i] = tracker_ring(daemon->tracker, i);
    tracker_set_gate(daemon->tracker, ledger_gate, daemon->ledger);
    if (daemon->config->deltas.durability == DURABILITY_STRICT) {
        tracker_set_synced(daemon->tracker, ledger_synced_for_tracker, daemon->ledger);
        ledger_on_sync(daemon->ledger, release_held, daemon->tracker);
    }
    if (ledger_start(daemon->ledger, daemon->rings, count, error) != 0 || tracker_start(daemon->tracker, error) != 0 ||
        registry_start(daemon->registry, error) != 0 || state_start(daemon->state, error) != 0 ||
        admin_start(daemon->admin, error) != 0)
        return -1;
    return 0;
}

static int give_up_root(struct daemon *daemon, struct error *error)
{
    const struct config *config = daemon->config;
    if (!config->privileges.chroot)
        return privileges_drop(config->privileges.user, config->tracker.state_dir, error);
    struct stat before, after;
    bool seen = stat(config->file, &before) == 0;
    if (privileges_confine(config->privileges.user, config->tracker.state_dir, error) != 0)
        return -1;
    daemon->config_is_out_of_reach =
        !seen || stat(config->file, &after) != 0 || before.st_dev != after.st_dev || before.st_ino != after.st_ino;
    if (daemon->config_is_out_of_reach)
        log_warning("main",
                    "%s is outside of tracker.state_dir, into which privileges.chroot locks the tracker: a "
                    "reload reads the lists and certificates anew, but not this file",
                    config->file);
    return 0;
}

static int start(struct daemon *daemon, struct error *error)
{
    const struct config *config = daemon->config;
    /* The log file may stand in a state_dir that is made only now. */
    if (lock_state(daemon, error) != 0 ||
        log_configure(config->log.level, config->log.format, config->log.file, error) != 0)
        return -1;
    if (make_tracker(daemon, error) != 0 || load_lists(daemon, error) != 0)
        return -1;
    daemon->ledger = ledger_open(config, error);
    if (daemon->ledger == NULL)
        return -1;
    daemon->state = state_open(config, daemon->tracker, daemon->ledger, daemon->cache, error);
    if (daemon->state == NULL || state_restore(daemon->state, error) != 0)
        return -1;
    if (open_sockets(daemon, error) != 0 || open_admin(daemon, error) != 0)
        return -1;
    background_allow_return();
    if (give_up_root(daemon, error) != 0)
        return -1;
    return start_threads(daemon, error);
}

struct daemon *daemon_start(struct config *config, struct error *error)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);
    if (daemon == NULL) {
        config_free(config);
        error_set(error, "out of memory");
        return NULL;
    }
    daemon->config = config;
    daemon->state_lock = -1;
    daemon->multipliers = (struct multipliers){.upload_percent = 100, .download_percent = 100};
    pthread_mutex_init(&daemon->reloading, NULL);
    users_thread_register();
    (void)pthread_setname_np(get_call_rcu_thread(get_default_call_rcu_data()), "rcu");
    if (start(daemon, error) != 0) {
        daemon_stop(daemon);
        return NULL;
    }
    announce_urls_log(daemon->http, daemon->udp, daemon->owner_passkey);
    explicit_bzero(daemon->owner_passkey, sizeof daemon->owner_passkey);
    log_info("main", "ready workers=%u", tracker_workers(daemon->tracker));
    return daemon;
}

/* --- reload --- */

static void first_fault(void *context, const char *message)
{
    struct error *error = context;
    if (error->text[0] == '\0')
        error_set(error, "%s", message);
}

/* All that can be read from within a chroot. */
static int reload_what_is_in_reach(struct daemon *daemon, struct error *error)
{
    tracker_reload(daemon->tracker, daemon->config);
    if (registry_reload(daemon->registry, daemon->config, error) != 0)
        return -1;
    return error_set(error,
                     "lists and certificates were read anew, but %s is outside of the directory that privileges.chroot "
                     "locks the tracker into",
                     daemon->config->file);
}

static int reload(struct daemon *daemon, struct error *error)
{
    error->text[0] = '\0';
    if (daemon->config_is_out_of_reach)
        return reload_what_is_in_reach(daemon, error);
    struct config *next = config_load(daemon->config->file, first_fault, error);
    if (next == NULL)
        return -1;
    if (config_check_reload(daemon->config, next, error) != 0 ||
        log_configure(next->log.level, next->log.format, next->log.file, error) != 0) {
        config_free(next);
        return -1;
    }
    tracker_reload(daemon->tracker, next);
    ledger_reload(daemon->ledger, next);
    admin_reload(daemon->admin, next);
    struct config *old = daemon->config;
    daemon->config = next;
    config_free(old);
    /* The lists may be unreachable just now; the new settings are in force all the same. */
    if (registry_reload(daemon->registry, next, error) != 0)
        log_warning("main", "reloaded, but the lists stay as they were: %s", error->text);
    return 0;
}

int daemon_reload(struct daemon *daemon, struct error *error)
{
    pthread_mutex_lock(&daemon->reloading);
    int result = reload(daemon, error);
    if (result == 0)
        log_info("main", "reloaded file=%s", daemon->config->file);
    else
        log_error("main", "not reloaded, the old configuration stays: %s", error->text);
    pthread_mutex_unlock(&daemon->reloading);
    return result;
}

/* --- stop --- */

void daemon_stop(struct daemon *daemon)
{
    if (daemon->admin != NULL)
        admin_drain(daemon->admin);
    if (daemon->registry != NULL)
        registry_stop(daemon->registry);
    if (daemon->state != NULL)
        state_stop(daemon->state);
    if (daemon->tracker != NULL)
        tracker_stop(daemon->tracker);
    if (daemon->ledger != NULL)
        ledger_stop(daemon->ledger, STOP_DELIVERY_MS);
    if (daemon->state != NULL)
        state_save_last(daemon->state);
    admin_stop(daemon->admin);
    http_listeners_free(daemon->http);
    udp_close(daemon->udp);
    state_free(daemon->state);
    lists_cache_free(daemon->cache);
    ledger_free(daemon->ledger);
    registry_free(daemon->registry);
    tracker_free(daemon->tracker);
    clients_free(daemon->clients);
    users_free(daemon->users);
    users_thread_unregister();
    if (daemon->state_lock >= 0)
        close(daemon->state_lock);
    pthread_mutex_destroy(&daemon->reloading);
    config_free(daemon->config);
    free(daemon);
}
