/* privtrak-bench udp and http: the options of the generators. */
#include <stdio.h>
#include <string.h>

#include "bench/command.h"
#include "bench/load.h"

/* What is given on the command line and not yet what the engine takes. */
struct given {
    struct load load;
    struct endpoint target;
    struct endpoint target6;
    uint64_t users, torrents, peer_seed;
    const char *write_passkeys;
    int families; /* -1: as the targets say */
    bool allow_remote;
};

static void set_defaults(struct given *given, int protocol)
{
    *given = (struct given){
        .users = 1000,
        .torrents = 10000,
        .families = -1,
        .peer_seed = UINT64_MAX,
        .load.settings =
            {
                .protocol = protocol,
                .world = {.seed = 1, .peers = 20000, .seeders = 75},
                .thread_count = 1,
                .lanes = protocol == LOAD_UDP ? 32 : 64,
                .pipeline = 1,
                .retries = 3,
                .timeout_ns = INT64_C(2000000000),
                .numwant = 30,
            },
    };
    given->load.transport = protocol == LOAD_UDP ? &transport_udp : &transport_http;
}

static int check_targets(struct given *given, struct error *error)
{
    struct load_settings *settings = &given->load.settings;
    const struct endpoint *all[2] = {&given->target, &given->target6};
    for (size_t i = 0; i < 2; i++) {
        if (all[i]->length == 0)
            continue;
        if (!given->allow_remote && !endpoint_is_loopback(all[i]))
            return error_set(error, "%s: not a loopback address; --allow-remote permits it",
                             i == 0 ? "--target" : "--target6");
        struct endpoint *place = &settings->targets[all[i]->address.ss_family == AF_INET6];
        if (place->length > 0)
            return error_set(error, "--target6: the same family as --target");
        *place = *all[i];
    }
    bool has4 = settings->targets[0].length > 0, has6 = settings->targets[1].length > 0;
    if (!has4 && !has6)
        return error_set(error, "--target is missing: HOST:PORT of the tracker");
    if ((given->families == FAMILIES_4 && !has4) || (given->families == FAMILIES_6 && !has6) ||
        (given->families == FAMILIES_BOTH && !(has4 && has6)))
        return error_set(error, "--families: no target is given for it (--target, --target6)");
    if (given->families == FAMILIES_4)
        settings->targets[1].length = 0;
    if (given->families == FAMILIES_6)
        settings->targets[0].length = 0;
    return 0;
}

static int check(struct given *given, struct error *error)
{
    struct load_settings *settings = &given->load.settings;
    settings->world.users = (uint32_t)given->users;
    settings->world.torrents = (uint32_t)given->torrents;
    settings->world.peer_seed = given->peer_seed == UINT64_MAX ? settings->world.seed : given->peer_seed;
    if (check_targets(given, error) < 0)
        return -1;
    if (settings->duration_ns == 0 && settings->requests == 0)
        settings->duration_ns = INT64_C(10000000000);
    if (settings->in_flight == 0)
        settings->in_flight = settings->rate > 0 ? 16384 : 1024;
    if (settings->lanes < settings->thread_count)
        settings->lanes = settings->thread_count;
    uint64_t lanes = settings->lanes / settings->thread_count + 1;
    if (settings->world.peers / settings->thread_count < lanes)
        return error_set(error, "--peers: found %ju, allowed at least one for each socket or connection",
                         (uintmax_t)settings->world.peers);
    if (settings->in_flight / settings->thread_count > REQUESTS_MAX || lanes * settings->pipeline > REQUESTS_MAX)
        return error_set(error, "--in-flight, --pipeline: at most %d requests a thread", REQUESTS_MAX);
    if (settings->pipeline > 1 && !settings->keepalive)
        return error_set(error, "--pipeline: only with --keepalive");
    if (settings->resume && !settings->tls)
        return error_set(error, "--resume: only with --tls");
    if (settings->timeout_ns < 1000000)
        return error_set(error, "--timeout: found less than 1ms");
    if (settings->timeout_ns / 1000000 * (int64_t)(settings->retries + 1) > LATE_COPY_RISK_MS)
        return error_set(error, "--timeout times (--retries + 1): allowed up to %d s", LATE_COPY_RISK_MS / 1000);
    return 0;
}

static int write_passkeys(const struct given *given, struct error *error)
{
    struct world world;
    if (given->write_passkeys == NULL)
        return 0;
    if (world_init(&world, &given->load.settings.world, error) < 0)
        return -1;
    FILE *file = fopen(given->write_passkeys, "we");
    for (uint32_t i = 0; file != NULL && i < world.settings.users; i++) {
        struct passkey passkey;
        world_passkey(&world, i, &passkey);
        fprintf(file, "%.*s\n", passkey.length, passkey.text);
    }
    world_clear(&world);
    bool written = file != NULL && ferror(file) == 0;
    if (file == NULL || fclose(file) != 0 || !written)
        return error_set(error, "--write-passkeys %s: it could not be written", given->write_passkeys);
    return 0;
}

static int run_load(struct given *given, const char *usage, int argc, char **argv)
{
    struct load_settings *settings = &given->load.settings;
    bool is_udp = settings->protocol == LOAD_UDP;
    const struct option_entry entries[] = {
        {"target", OPTION_ENDPOINT, &given->target, 0, 0, NULL, "HOST:PORT", "the tracker, over either family"},
        {"target6", OPTION_ENDPOINT, &given->target6, 0, 0, NULL, "[IPV6]:PORT", "the same over the other family"},
        {"families", OPTION_CHOICE, &given->families, 0, 0, "4|6|both", NULL,
         "families to use; both: half of the peers announce over both (as the targets say)"},
        {"allow-remote", OPTION_FLAG, &given->allow_remote, 0, 0, NULL, NULL, "targets other than loopback, too"},
        {"users", OPTION_NUMBER, &given->users, 1, 100000000, NULL, "N", "users, with passkeys of the seed (1000)"},
        {"passkeys", OPTION_TEXT, &settings->world.passkeys, 0, 0, NULL, "FILE", "users by their passkeys, one a line"},
        {"write-passkeys", OPTION_TEXT, &given->write_passkeys, 0, 0, NULL, "FILE", "write all passkeys there first"},
        {"passkey-form", OPTION_CHOICE, &settings->passkey_form, 0, 0, "query|path|announce-path|mixed", NULL,
         "/announce?passkey=P, /P/announce, /announce/P, or all three (query)"},
        {"torrents", OPTION_NUMBER, &given->torrents, 1, 100000000, NULL, "N", "torrents (10000)"},
        {"peers", OPTION_NUMBER, &settings->world.peers, 1, 100000000, NULL, "N", "clients, sessions of users (20000)"},
        {"seeders", OPTION_PERCENT, &settings->world.seeders, 0, 0, NULL, "PERCENT", "of the peers (75)"},
        {"scrape", OPTION_PERCENT, &settings->scrape, 0, 0, NULL, "PERCENT", "of the requests (0)"},
        {"numwant", OPTION_INTEGER, &settings->numwant, (uint64_t)-1, 1000, NULL, "N",
         "-1: leave it to the tracker (30)"},
        {"duration", OPTION_DURATION, &settings->duration_ns, 0, 0, NULL, "TIME", "how long to measure (10s)"},
        {"requests", OPTION_NUMBER, &settings->requests, 1, UINT64_C(1) << 50, NULL, "N", "or after how many to end"},
        {"rate", OPTION_NUMBER, &settings->rate, 0, 100000000, NULL, "N", "requests a second; 0: as answers come (0)"},
        {"fill", OPTION_FLAG, &settings->fill, 0, 0, NULL, NULL, "before measuring, every peer announces once"},
        {"warm-up", OPTION_DURATION, &settings->warm_up_ns, 0, 0, NULL, "TIME", "load that is not measured, before"},
        {is_udp ? "sockets" : "connections", OPTION_NUMBER, &settings->lanes, 1, 8192, NULL, "N",
         is_udp ? "UDP sockets, of all threads (32)" : "TCP connections, of all threads (64)"},
        {is_udp ? "in-flight" : "pipeline", OPTION_NUMBER, is_udp ? &settings->in_flight : &settings->pipeline, 1,
         is_udp ? REQUESTS_MAX : 64, NULL, "N",
         is_udp ? "requests that may wait for an answer (1024; with --rate 16384)"
                : "requests that may wait on a connection (1)"},
        {"timeout", OPTION_DURATION, &settings->timeout_ns, 0, 0, NULL, "TIME", "until a request is sent again (2s)"},
        {"retries", OPTION_NUMBER, &settings->retries, 0, 20, NULL, "N", "how often, until it is given up (3)"},
        {"threads", OPTION_NUMBER, &settings->thread_count, 1, 256, NULL, "N", "threads (1)"},
        {"cpu", OPTION_CPUS, &settings->cpus, 0, 0, NULL, "LIST", "CPUs to pin the threads to, in turn"},
        {"seed", OPTION_NUMBER, &settings->world.seed, 0, INT64_MAX, NULL, "N", "all chance follows from it (1)"},
        {"peer-seed", OPTION_NUMBER, &given->peer_seed, 0, INT64_MAX, NULL, "N",
         "another seed for the clients alone, for a second run with the same users and torrents"},
        {"pid", OPTION_NUMBER, &settings->pid, 1, INT32_MAX, NULL, "PID", "tell that process's CPU time a reply, too"},
        {"ledger", OPTION_TEXT, &settings->ledger, 0, 0, NULL, "FILE", "write what should have been credited, as CSV"},
        {"json", OPTION_TEXT, &settings->json, 0, 0, NULL, "FILE", "write the result there as JSON"},
        {"quiet", OPTION_FLAG, &settings->quiet, 0, 0, NULL, NULL, "no line a second"},
        {is_udp ? "segments" : "keepalive", OPTION_FLAG, is_udp ? &settings->segments : &settings->keepalive, 0, 0,
         NULL, NULL,
         is_udp ? "give the kernel several packets as one: cheaper, but one worker gets all of them"
                : "keep connections; else each request has its own"},
        {is_udp ? NULL : "tls", OPTION_FLAG, &settings->tls, 0, 0, NULL, NULL,
         "HTTPS; certificates are not looked at, each handshake is a full one"},
        {is_udp ? NULL : "resume", OPTION_FLAG, &settings->resume, 0, 0, NULL, NULL,
         "with --tls: resume the connection's last session where there is one"},
        {.name = NULL},
    };
    struct error error = {""};
    int status = options_handle(entries, usage, argc, argv);
    if (status >= 0)
        return status;
    if (check(given, &error) < 0) {
        fprintf(stderr, "privtrak-bench: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (write_passkeys(given, &error) < 0) {
        fprintf(stderr, "privtrak-bench: %s\n", error.text);
        return EXIT_FAILED;
    }
    return load_run(&given->load);
}

static int run_udp(int argc, char **argv)
{
    static struct given given;
    set_defaults(&given, LOAD_UDP);
    return run_load(&given, "udp --target HOST:PORT [OPTION]...", argc, argv);
}

static int run_http(int argc, char **argv)
{
    static struct given given;
    set_defaults(&given, LOAD_HTTP);
    return run_load(&given, "http --target HOST:PORT [OPTION]...", argc, argv);
}

const struct command command_udp = {
    .name = "udp",
    .summary = "simulates a swarm that announces over UDP",
    .run = run_udp,
};

const struct command command_http = {
    .name = "http",
    .summary = "simulates a swarm that announces over HTTP",
    .run = run_http,
};
