/*
 * registry: see registry.h. One thread of its own does all the reading; whoever asks
 * for a refresh waits for it by number.
 */
#include "database/registry.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/log.h"
#include "database/lists.h"

enum { RETRY_FIRST_MS = 500, RETRY_LAST_MS = 30000 };

struct registry {
    struct registry_parts parts;
    struct database *database;
    struct lists lists;
    int wake_fd;
    pthread_t thread;
    bool has_thread;

    bool is_away; /* registry_load failed because nobody answered */

    /* Written by the registry's thread only (and registry_load before it is started), under the lock. */
    struct client_row *table_rules;
    size_t table_rule_count;

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t looked;
    uint64_t asked; /* number of the last request */
    uint64_t done;  /* the last request that a look has answered */
    bool stopping;
    bool rules_changed;
    int64_t interval_ms;
    struct client_rule *file_rules;
    size_t file_rule_count;
    struct registry_status status;
};

/* The rules of tracker.yaml; a prefix there says what the mode says: allow or deny. */
static int take_config(struct registry *registry, const struct config *config)
{
    const struct string_list *prefixes = &config->middleware.client_prefixes;
    struct client_rule *rules = reallocarray(NULL, prefixes->count + 1, sizeof(*rules));
    if (!rules)
        return -ENOMEM;
    size_t count = 0;
    for (size_t i = 0; i < prefixes->count; i++) {
        size_t length = strlen(prefixes->strings[i]);
        if (length < 1 || length > PEER_ID_BYTES)
            continue; /* refused by the configuration */
        rules[count] =
            (struct client_rule){.length = (uint8_t)length, .allowed = config->middleware.client_mode != CLIENTS_DENY};
        memcpy(rules[count++].prefix, prefixes->strings[i], length);
    }
    pthread_mutex_lock(&registry->lock);
    free(registry->file_rules);
    registry->file_rules = rules;
    registry->file_rule_count = count;
    registry->rules_changed = true;
    registry->interval_ms = (int64_t)config->database.refresh_interval_s * 1000;
    pthread_mutex_unlock(&registry->lock);
    return 0;
}

struct registry *registry_new(const struct config *config, const struct registry_parts *parts, struct error *error)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    if (!registry) {
        error_set(error, "out of memory");
        return NULL;
    }
    registry->parts = *parts;
    registry->lists.parts = &registry->parts;
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->looked, NULL);
    registry->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (registry->wake_fd < 0) {
        error_set(error, "eventfd: %s", strerror(errno));
        registry_free(registry);
        return NULL;
    }
    if (take_config(registry, config) != 0) {
        error_set(error, "out of memory");
        registry_free(registry);
        return NULL;
    }
    registry->database = database_open(config->database.url, error);
    if (!registry->database) {
        registry_free(registry);
        return NULL;
    }
    return registry;
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    registry_stop(registry);
    database_close(registry->database);
    lists_reset(&registry->lists);
    if (registry->wake_fd >= 0)
        close(registry->wake_fd);
    free(registry->table_rules);
    free(registry->file_rules);
    pthread_cond_destroy(&registry->looked);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

static bool table_has(const struct registry *registry, const struct client_rule *rule)
{
    for (size_t i = 0; i < registry->table_rule_count; i++) {
        const char *prefix = registry->table_rules[i].prefix;
        if (strlen(prefix) == rule->length && memcmp(prefix, rule->prefix, rule->length) == 0)
            return true;
    }
    return false;
}

/* Where both have the same prefix the table, which can be changed while the tracker runs, wins. */
static int put_rules(struct registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    registry->rules_changed = false;
    size_t count = 0;
    struct client_rule *rules =
        reallocarray(NULL, registry->file_rule_count + registry->table_rule_count + 1, sizeof(*rules));
    for (size_t i = 0; rules && i < registry->file_rule_count; i++) {
        if (!table_has(registry, &registry->file_rules[i]))
            rules[count++] = registry->file_rules[i];
    }
    pthread_mutex_unlock(&registry->lock);
    if (!rules)
        return -ENOMEM;
    for (size_t i = 0; i < registry->table_rule_count; i++) {
        const struct client_row *row = &registry->table_rules[i];
        rules[count] = (struct client_rule){.length = (uint8_t)strlen(row->prefix), .allowed = row->allowed};
        memcpy(rules[count].prefix, row->prefix, rules[count].length);
        count++;
    }
    int result = clients_replace(registry->parts.clients, rules, count);
    free(rules);
    return result;
}

static int apply(struct registry *registry)
{
    struct lists *lists = &registry->lists;
    int result = lists_apply(lists, registry->database);
    pthread_mutex_lock(&registry->lock);
    if (lists->has_clients) {
        free(registry->table_rules);
        registry->table_rules = lists->clients;
        registry->table_rule_count = lists->client_count;
        lists->clients = NULL;
    }
    bool rules_changed = registry->rules_changed;
    pthread_mutex_unlock(&registry->lock);
    if (result == 0 && (lists->has_clients || rules_changed))
        result = put_rules(registry);
    return result;
}

static bool has_changes(const struct lists *lists)
{
    return lists->whole || lists->has_clients || lists->has_multipliers ||
           lists->users_put + lists->torrents_put + lists->user_gone_count + lists->torrent_gone_count > 0;
}

/* One look: read whole, then put in force. */
static int look(struct registry *registry, struct error *error)
{
    struct database_reader reader = lists_reader(&registry->lists);
    enum database_result result = database_read(registry->database, &reader, error);
    if (result != DATABASE_OK) {
        registry->is_away = result == DATABASE_UNAVAILABLE && !database_is_refused(registry->database);
        lists_reset(&registry->lists);
        return -1;
    }
    if (apply(registry) != 0) {
        database_forget(registry->database);
        return error_set(error, "out of memory");
    }
    struct lists *lists = &registry->lists;
    if (lists->users_put + lists->torrents_put + lists->user_gone_count + lists->torrent_gone_count > 0)
        log_info("registry", "lists read whole=%s users=%zu torrents=%zu users_gone=%zu torrents_gone=%zu",
                 lists->whole ? "true" : "false", lists->users_put, lists->torrents_put, lists->user_gone_count,
                 lists->torrent_gone_count);
    pthread_mutex_lock(&registry->lock);
    registry->status.changes += has_changes(lists);
    pthread_mutex_unlock(&registry->lock);
    lists_reset(lists);
    return 0;
}

int registry_load(struct registry *registry, char owner_passkey[static DATABASE_PASSKEY_BYTES], struct error *error)
{
    struct user_row owner;
    bool made;
    owner_passkey[0] = '\0';
    registry->is_away = false;
    enum database_result created = database_owner_create(registry->database, &owner, &made, error);
    if (created != DATABASE_OK) {
        registry->is_away = created == DATABASE_UNAVAILABLE && !database_is_refused(registry->database);
        return -1;
    }
    users_thread_register();
    registry->lists.at_once = true;
    int result = look(registry, error);
    registry->lists.at_once = false;
    users_thread_unregister();
    if (result == 0 && made)
        memcpy(owner_passkey, owner.passkey, DATABASE_PASSKEY_BYTES);
    pthread_mutex_lock(&registry->lock);
    registry->status.up = result == 0;
    registry->status.looks += result == 0;
    registry->status.last_look_ms = clock_now_ms();
    pthread_mutex_unlock(&registry->lock);
    return result;
}

bool registry_is_away(const struct registry *registry)
{
    return registry->is_away;
}

int registry_load_from(struct registry *registry, registry_source_fn *source, void *context, const struct error *reason,
                       struct error *error)
{
    struct database_reader reader = lists_reader(&registry->lists);
    users_thread_register();
    int result = reader.begin(reader.context, true);
    if (result == 0)
        result = source(context, &reader, error);
    if (result == 0 && apply(registry) != 0)
        result = error_set(error, "out of memory");
    lists_reset(&registry->lists);
    users_thread_unregister();
    pthread_mutex_lock(&registry->lock);
    strlcpy(registry->status.last_error, reason->text, sizeof(registry->status.last_error));
    pthread_mutex_unlock(&registry->lock);
    return result;
}

int registry_clients(struct registry *registry, struct client_row **rows, size_t *count)
{
    pthread_mutex_lock(&registry->lock);
    *count = registry->table_rule_count;
    *rows = reallocarray(NULL, *count + 1, sizeof(**rows));
    if (*rows && *count > 0)
        memcpy(*rows, registry->table_rules, *count * sizeof(**rows));
    pthread_mutex_unlock(&registry->lock);
    return *rows ? 0 : -ENOMEM;
}

static void note_look(struct registry *registry, uint64_t request, const struct error *error)
{
    pthread_mutex_lock(&registry->lock);
    struct registry_status *status = &registry->status;
    bool was_up = status->up;
    status->up = error == NULL;
    if (error) {
        strlcpy(status->last_error, error->text, sizeof(status->last_error));
    } else {
        status->last_error[0] = '\0';
        status->looks++;
        status->last_look_ms = clock_now_ms();
    }
    registry->done = request;
    bool stopping = registry->stopping;
    pthread_cond_broadcast(&registry->looked);
    pthread_mutex_unlock(&registry->lock);
    if (error && was_up && !stopping)
        log_error("registry", "the lists stay as they are reason=\"%s\"", error->text);
    if (!error && !was_up)
        log_info("registry", "the database answers again");
}

/* Sleeps until something asks for a look or the time is over. */
static void wait_for_reason(struct registry *registry, int64_t wait_ms)
{
    int64_t end_ns = clock_monotonic_ns() + wait_ms * 1000000;
    for (;;) {
        int64_t left_ms = (end_ns - clock_monotonic_ns() + 999999) / 1000000;
        struct pollfd fds[2] = {{.fd = registry->wake_fd, .events = POLLIN},
                                {.fd = database_notify_fd(registry->database), .events = POLLIN}};
        /* What came while the last answer was read lies with the connection, not in the socket. */
        if (left_ms <= 0 || database_notified(registry->database))
            return;
        if (poll(fds, 2, (int)(left_ms < INT32_MAX ? left_ms : INT32_MAX)) < 0 && errno != EINTR)
            return;
        uint64_t count;
        if (fds[0].revents && read(registry->wake_fd, &count, sizeof(count)) > 0)
            return;
    }
}

static void *registry_run(void *argument)
{
    struct registry *registry = argument;
    users_thread_register();
    background_give_way();
    /* Started without the database: it is to be noticed as soon as it is there. */
    int64_t retry_ms = registry->is_away ? RETRY_FIRST_MS : 0;
    for (;;) {
        pthread_mutex_lock(&registry->lock);
        bool stopping = registry->stopping;
        bool asked = registry->asked != registry->done;
        int64_t wait_ms = retry_ms > 0 ? retry_ms : registry->interval_ms;
        pthread_mutex_unlock(&registry->lock);
        if (stopping)
            break;
        if (!asked)
            wait_for_reason(registry, wait_ms);
        pthread_mutex_lock(&registry->lock);
        uint64_t request = registry->asked;
        stopping = registry->stopping;
        pthread_mutex_unlock(&registry->lock);
        if (stopping)
            break;
        struct error error = {{0}};
        bool failed = look(registry, &error) != 0;
        note_look(registry, request, failed ? &error : NULL);
        retry_ms = !failed                        ? 0
                   : retry_ms == 0                ? RETRY_FIRST_MS
                   : retry_ms < RETRY_LAST_MS / 2 ? 2 * retry_ms
                                                  : RETRY_LAST_MS;
        /* An old entry that stays a little longer does no harm. */
        if (!failed)
            (void)database_prune(registry->database, &error);
    }
    users_thread_unregister();
    return NULL;
}

int registry_start(struct registry *registry, struct error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&registry->thread, NULL, registry_run, registry);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return error_set(error, "cannot start the thread registry: %s", strerror(code));
    registry->has_thread = true;
    pthread_setname_np(registry->thread, "registry");
    return 0;
}

static void wake(struct registry *registry)
{
    uint64_t one = 1;
    ssize_t written = write(registry->wake_fd, &one, sizeof(one));
    (void)written; /* a counter that is full wakes as well */
}

int registry_refresh(struct registry *registry, struct error *error)
{
    pthread_mutex_lock(&registry->lock);
    uint64_t request = ++registry->asked;
    wake(registry);
    while (registry->has_thread && registry->done < request && !registry->stopping)
        pthread_cond_wait(&registry->looked, &registry->lock);
    int result = 0;
    if (registry->done < request)
        result = error_set(error, "the tracker is stopping");
    else if (!registry->status.up)
        result = error_set(error, "%s", registry->status.last_error);
    pthread_mutex_unlock(&registry->lock);
    return result;
}

int registry_reload(struct registry *registry, const struct config *config, struct error *error)
{
    if (take_config(registry, config) != 0)
        return error_set(error, "out of memory");
    return registry_refresh(registry, error);
}

void registry_status(struct registry *registry, struct registry_status *status)
{
    pthread_mutex_lock(&registry->lock);
    *status = registry->status;
    pthread_mutex_unlock(&registry->lock);
}

void registry_stop(struct registry *registry)
{
    if (!registry->has_thread)
        return;
    pthread_mutex_lock(&registry->lock);
    registry->stopping = true;
    pthread_cond_broadcast(&registry->looked);
    pthread_mutex_unlock(&registry->lock);
    database_interrupt(registry->database);
    wake(registry);
    pthread_join(registry->thread, NULL);
    registry->has_thread = false;
}
