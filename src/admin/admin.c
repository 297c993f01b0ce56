/* admin: see admin.h. */
#include "admin/admin.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/backend.h"
#include "admin/dashboard.h"
#include "admin/listen.h"
#include "admin/server.h"
#include "admin/token.h"
#include "base/clock.h"
#include "base/log.h"

enum { DRAIN_TIMEOUT_MS = 2000, DRAIN_STEP_MS = 5 };

struct admin {
    struct backend backend;
    struct event_base *base;
    struct event *stop; /* made active by admin_stop */
    struct server *tcp;
    struct server *local;
    struct local_socket socket;
    int *files; /* listening TCP sockets */
    size_t file_count;
    bool is_running;
    pthread_t thread;
};

static void free_admin(struct admin *admin)
{
    server_free(admin->tcp);
    server_free(admin->local);
    for (size_t i = 0; i < admin->file_count; i++)
        (void)close(admin->files[i]);
    free(admin->files);
    local_socket_close(&admin->socket);
    if (admin->stop != NULL)
        event_free(admin->stop);
    if (admin->base != NULL)
        event_base_free(admin->base);
    if (admin->backend.database != NULL)
        database_close(admin->backend.database);
    (void)pthread_mutex_destroy(&admin->backend.busy);
    sodium_memzero(admin->backend.token, sizeof admin->backend.token);
    free(admin);
}

static void end_loop(evutil_socket_t file, short what, void *context)
{
    (void)file;
    (void)what;
    (void)event_base_loopbreak(context);
}

static int open_loop(struct admin *admin, struct error *error)
{
    if (evthread_use_pthreads() != 0)
        return error_set(error, "admin: libevent has no threads");
    admin->base = event_base_new();
    if (admin->base == NULL)
        return error_set(error, "admin: no event loop: %s", strerror(errno));
    admin->stop = event_new(admin->base, -1, EV_PERSIST, end_loop, admin->base);
    admin->tcp = server_new(admin->base, &admin->backend, false);
    admin->local = server_new(admin->base, &admin->backend, true);
    if (admin->stop == NULL || admin->tcp == NULL || admin->local == NULL)
        return error_set(error, "admin: out of memory");
    return 0;
}

static int listen_local(struct admin *admin, const struct config *config, struct error *error)
{
    if (local_socket_open(&admin->socket, config->admin.socket, error) != 0)
        return -1;
    return server_add(admin->local, admin->socket.file) == 0 ? 0 : error_set(error, "admin: out of memory");
}

static int listen_all(struct admin *admin, const struct listen_list *list, struct error *error)
{
    admin->files = calloc(list->count + 1, sizeof *admin->files);
    if (admin->files == NULL)
        return error_set(error, "admin: out of memory");
    for (size_t i = 0; i < list->count; i++) {
        int file = listen_tcp(&list->addresses[i], error);
        if (file < 0 && list->by_default && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
            log_warning("admin", "left out: %s", error->text);
            continue;
        }
        if (file < 0)
            return -1;
        admin->files[admin->file_count++] = file;
        if (server_add(admin->tcp, file) != 0)
            return error_set(error, "admin.listen: too many addresses");
    }
    return 0;
}

struct admin *admin_open(const struct config *config, const struct admin_parts *parts, struct error *error)
{
    struct error reason = {""};
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        (void)error_set(error, "admin: out of memory");
        return NULL;
    }
    admin->socket = (struct local_socket){.file = -1, .directory = -1};
    admin->backend.parts = *parts;
    admin->backend.started_ns = clock_monotonic_ns();
    atomic_init(&admin->backend.metrics_need_token, config->admin.metrics_need_token);
    atomic_init(&admin->backend.is_draining, false);
    (void)pthread_mutex_init(&admin->backend.busy, NULL);
    (void)dashboard_policy();
    /* The socket first: where another tracker runs on this state, nothing of it is touched. */
    if (open_loop(admin, &reason) == 0 && listen_local(admin, config, &reason) == 0 &&
        listen_all(admin, &config->admin.listen, &reason) == 0 &&
        token_load(config->admin.token_file, admin->backend.token, &reason) == 0) {
        admin->backend.database = database_open(config->database.url, &reason);
        if (admin->backend.database != NULL)
            return admin;
    }
    (void)error_set(error, "%s", reason.text);
    free_admin(admin);
    return NULL;
}

static void *run(void *context)
{
    struct admin *admin = context;
    users_thread_register();
    (void)event_base_loop(admin->base, EVLOOP_NO_EXIT_ON_EMPTY);
    users_thread_unregister();
    return NULL;
}

int admin_start(struct admin *admin, struct error *error)
{
    int failure = pthread_create(&admin->thread, NULL, run, admin);
    if (failure != 0)
        return error_set(error, "admin: no thread: %s", strerror(failure));
    (void)pthread_setname_np(admin->thread, "admin");
    admin->is_running = true;
    return 0;
}

void admin_reload(struct admin *admin, const struct config *config)
{
    atomic_store(&admin->backend.metrics_need_token, config->admin.metrics_need_token);
}

void admin_drain(struct admin *admin)
{
    atomic_store(&admin->backend.is_draining, true);
    database_interrupt(admin->backend.database);
    for (int waited = 0; waited < DRAIN_TIMEOUT_MS; waited += DRAIN_STEP_MS) {
        if (pthread_mutex_trylock(&admin->backend.busy) == 0) {
            (void)pthread_mutex_unlock(&admin->backend.busy);
            return;
        }
        (void)usleep(DRAIN_STEP_MS * 1000);
    }
    log_warning("admin", "a call of the operator's has not ended yet");
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL)
        return;
    if (admin->is_running) {
        database_interrupt(admin->backend.database);
        event_active(admin->stop, EV_TIMEOUT, 1);
        (void)pthread_join(admin->thread, NULL);
    }
    free_admin(admin);
}
