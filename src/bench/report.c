/* What a generator prints: a line a second, the sums at the end, and the same as JSON. */
#include "bench/load.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sums over all threads, made once at the end. */
struct result {
    struct load_sums sums;
    struct histogram latency, lateness;
    double seconds;
    double replies_per_second;
    double peers_per_reply;
    double bytes_per_reply;
    uint64_t replies_in_time;
    double cpu_us_per_reply; /* the generator's own */
    uint64_t unresolved;
    struct failure_count failures[FAILURES_MAX];
    size_t failure_count;
};

void report_sum(const struct load *load, struct load_sums *sums)
{
    *sums = (struct load_sums){0};
    for (size_t i = 0; i < load->settings.thread_count; i++) {
        const struct load_counts *counts = &load->threads[i].counts;
        sums->requests += count_of(&counts->requests);
        sums->announces += count_of(&counts->announces);
        sums->scrapes += count_of(&counts->scrapes);
        sums->late_copies += count_of(&counts->late_copies);
        sums->replies += count_of(&counts->replies);
        sums->announce_replies += count_of(&counts->announce_replies);
        sums->failures += count_of(&counts->failures);
        sums->resent += count_of(&counts->resent);
        sums->lost += count_of(&counts->lost);
        sums->stray += count_of(&counts->stray);
        sums->connects += count_of(&counts->connects);
        sums->handshakes += count_of(&counts->handshakes);
        sums->resumed += count_of(&counts->resumed);
        sums->peers += count_of(&counts->peers);
        sums->reply_bytes += count_of(&counts->reply_bytes);
        sums->unsent += count_of(&counts->unsent);
    }
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

void report_progress(const struct load *load, struct load_sums *before, double seconds, double elapsed)
{
    struct load_sums now;
    report_sum(load, &now);
    if (now.requests >= before->requests) /* else the counts began anew meanwhile */
        printf("%6.0f s  %9.0f requests/s  %9.0f replies/s  %7.1f peers/reply  %8ju failures  %6ju resent  %6ju lost\n",
               elapsed, (double)(now.requests - before->requests) / seconds,
               (double)(now.replies - before->replies) / seconds,
               ratio((double)(now.peers - before->peers), (double)(now.announce_replies - before->announce_replies)),
               (uintmax_t)(now.failures - before->failures), (uintmax_t)(now.resent - before->resent),
               (uintmax_t)(now.lost - before->lost));
    *before = now;
}

static void add_failure(struct result *result, const struct failure_count *failure)
{
    size_t i = 0;
    while (i < result->failure_count && strcmp(result->failures[i].text, failure->text) != 0)
        i++;
    if (i == FAILURES_MAX)
        i--;
    else if (i == result->failure_count)
        result->failures[result->failure_count++] = (struct failure_count){0};
    memcpy(result->failures[i].text, failure->text, sizeof failure->text);
    result->failures[i].count += failure->count;
}

static void gather(const struct load *load, struct result *result)
{
    double cpu_ns = 0;
    report_sum(load, &result->sums);
    for (size_t i = 0; i < load->settings.thread_count; i++) {
        const struct load_thread *thread = &load->threads[i];
        histogram_merge(&result->latency, &thread->latency);
        histogram_merge(&result->lateness, &thread->lateness);
        if ((double)thread->run_ns / 1e9 > result->seconds)
            result->seconds = (double)thread->run_ns / 1e9;
        result->replies_in_time += thread->replies_in_time;
        result->unresolved += thread->unresolved + thread->ambiguous;
        cpu_ns += (double)thread->cpu_ns;
        for (size_t j = 0; j < thread->failure_count; j++)
            add_failure(result, &thread->failures[j]);
    }
    result->replies_per_second = ratio((double)result->replies_in_time, result->seconds);
    result->cpu_us_per_reply = ratio(cpu_ns / 1e3, (double)result->replies_in_time);
    result->peers_per_reply = ratio((double)result->sums.peers, (double)result->sums.announce_replies);
    result->bytes_per_reply = ratio((double)result->sums.reply_bytes, (double)result->sums.replies);
}

static const struct {
    const char *name;
    double quantile;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
enum { QUANTILE_COUNT = sizeof quantiles / sizeof quantiles[0] };

static void print_quantiles(const char *name, const struct histogram *histogram)
{
    printf("%s", name);
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        printf(" %s %.1f%s", quantiles[i].name, (double)histogram_quantile(histogram, quantiles[i].quantile) / 1e3,
               i + 1 < QUANTILE_COUNT ? " " : "\n");
}

static json_t *quantiles_json(const struct histogram *histogram)
{
    json_t *json = json_object();
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        json_object_set_new(json, quantiles[i].name,
                            json_real((double)histogram_quantile(histogram, quantiles[i].quantile) / 1e3));
    return json;
}

static void print_usage(const struct load *load, const struct result *result)
{
    for (size_t i = 0; i < load->usage.count; i++) {
        const struct cpu_group *group = &load->usage.groups[i];
        if (group->ns > 0)
            printf("target cpu   %-16s %u threads  %8.3f s  %7.3f us/reply\n", group->name, group->threads,
                   (double)group->ns / 1e9, ratio((double)group->ns / 1e3, (double)result->replies_in_time));
    }
}

static void print_result(const struct load *load, const struct result *result)
{
    const struct load_sums *sums = &result->sums;
    printf("requests     %ju (announces %ju, of them late copies %ju; scrapes %ju)  %s %ju\n",
           (uintmax_t)sums->requests, (uintmax_t)sums->announces, (uintmax_t)sums->late_copies,
           (uintmax_t)sums->scrapes, load->settings.protocol == LOAD_UDP ? "handshakes" : "connections",
           (uintmax_t)sums->connects);
    printf("replies      %ju in %.3f s  %.0f/s  %.1f peers/reply  %.0f bytes/reply\n", (uintmax_t)sums->replies,
           result->seconds, result->replies_per_second, result->peers_per_reply, result->bytes_per_reply);
    if (load->settings.tls)
        printf("tls          %ju handshakes, %ju of them resumed\n", (uintmax_t)sums->handshakes,
               (uintmax_t)sums->resumed);
    printf("losses       %ju sent again, %ju given up, %ju stray answers\n", (uintmax_t)sums->resent,
           (uintmax_t)sums->lost, (uintmax_t)sums->stray);
    if (load->settings.rate > 0)
        printf("schedule     %ju/s wanted, %ju due requests never sent\n", (uintmax_t)load->settings.rate,
               (uintmax_t)sums->unsent);
    printf("failures     %ju\n", (uintmax_t)sums->failures);
    for (size_t i = 0; i < result->failure_count; i++)
        printf("  %9ju  %s\n", (uintmax_t)result->failures[i].count, result->failures[i].text);
    print_quantiles("latency us  ", &result->latency);
    if (load->settings.rate > 0)
        print_quantiles("sent late us", &result->lateness);
    printf("own cpu      %.3f us/reply\n", result->cpu_us_per_reply);
    if (load->has_usage)
        print_usage(load, result);
    if (load->settings.ledger != NULL)
        printf("ledger       %ju announces unresolved\n", (uintmax_t)result->unresolved);
}

static json_t *counts_json(const struct load_sums *sums)
{
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"requests", sums->requests},
        {"announces", sums->announces},
        {"late_copies", sums->late_copies},
        {"scrapes", sums->scrapes},
        {"replies", sums->replies},
        {"announce_replies", sums->announce_replies},
        {"resent", sums->resent},
        {"lost", sums->lost},
        {"stray", sums->stray},
        {"unsent", sums->unsent},
        {"failure_count", sums->failures},
        {"connects", sums->connects},
        {"tls_handshakes", sums->handshakes},
        {"tls_resumed", sums->resumed},
    };
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        json_object_set_new(json, fields[i].name, json_integer((json_int_t)fields[i].value));
    return json;
}

static json_t *usage_json(const struct load *load, const struct result *result)
{
    json_t *json = json_object();
    for (size_t i = 0; i < load->usage.count; i++) {
        const struct cpu_group *group = &load->usage.groups[i];
        json_t *one = json_object();
        json_object_set_new(one, "threads", json_integer(group->threads));
        json_object_set_new(one, "seconds", json_real((double)group->ns / 1e9));
        json_object_set_new(one, "us_per_reply",
                            json_real(ratio((double)group->ns / 1e3, (double)result->replies_in_time)));
        json_object_set_new(json, group->name, one);
    }
    return json;
}

static json_t *settings_json(const struct load *load)
{
    const struct load_settings *settings = &load->settings;
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"users", load->world.settings.users},
        {"torrents", settings->world.torrents},
        {"peers", settings->world.peers},
        {"threads", settings->thread_count},
        {"lanes", settings->lanes},
        {"in_flight", settings->in_flight},
        {"pipeline", settings->pipeline},
        {"rate", settings->rate},
        {"seed", settings->world.seed},
    };
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        json_object_set_new(json, fields[i].name, json_integer((json_int_t)fields[i].value));
    json_object_set_new(json, "numwant", json_integer((json_int_t)settings->numwant));
    json_object_set_new(json, "keepalive", json_boolean(settings->keepalive));
    json_object_set_new(json, "seeders", json_real(settings->world.seeders));
    json_object_set_new(json, "scrape", json_real(settings->scrape));
    return json;
}

static int write_json(const struct load *load, const struct result *result, struct error *error)
{
    json_t *json = counts_json(&result->sums);
    json_object_set_new(json, "protocol", json_string(load->transport->name));
    json_object_set_new(json, "settings", settings_json(load));
    json_object_set_new(json, "seconds", json_real(result->seconds));
    json_object_set_new(json, "replies_per_second", json_real(result->replies_per_second));
    json_object_set_new(json, "peers_per_reply", json_real(result->peers_per_reply));
    json_object_set_new(json, "bytes_per_reply", json_real(result->bytes_per_reply));
    json_object_set_new(json, "own_cpu_us_per_reply", json_real(result->cpu_us_per_reply));
    json_object_set_new(json, "unresolved", json_integer((json_int_t)result->unresolved));
    json_t *failures = json_object();
    for (size_t i = 0; i < result->failure_count; i++)
        json_object_set_new(failures, result->failures[i].text, json_integer((json_int_t)result->failures[i].count));
    json_object_set_new(json, "failures", failures);
    json_object_set_new(json, "latency_us", quantiles_json(&result->latency));
    if (load->settings.rate > 0)
        json_object_set_new(json, "sent_late_us", quantiles_json(&result->lateness));
    if (load->has_usage)
        json_object_set_new(json, "target_cpu", usage_json(load, result));
    int code = json_dump_file(json, load->settings.json, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(json);
    return code == 0 ? 0 : error_set(error, "--json %s: it could not be written", load->settings.json);
}

int report_end(const struct load *load, struct error *error)
{
    struct result *result = calloc(1, sizeof *result);
    if (result == NULL)
        return error_set(error, "out of memory");
    gather(load, result);
    print_result(load, result);
    int code = load->settings.json == NULL ? 0 : write_json(load, result, error);
    free(result);
    return code;
}
