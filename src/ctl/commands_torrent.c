/* commands_torrent: torrents, by .torrent file or info hash, and who shares them. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/torrent_file.h"

static const struct column list_columns[] = {
    {"INFO HASH", "info_hash", COLUMN_TEXT}, {"STATE", "state", COLUMN_TEXT},
    {"SEEDERS", "seeders", COLUMN_NUMBER},   {"LEECHERS", "leechers", COLUMN_NUMBER},
    {"SNATCHES", "snatches", COLUMN_NUMBER}, {"SIZE", "size", COLUMN_BYTES},
    {"NAME", "name", COLUMN_TEXT},           {NULL, NULL, COLUMN_TEXT},
};

static const struct column columns[] = {
    {"id", "id", COLUMN_TEXT},
    {"info_hash", "info_hash", COLUMN_TEXT},
    {"name", "name", COLUMN_TEXT},
    {"size", "size", COLUMN_BYTES},
    {"state", "state", COLUMN_TEXT},
    {"reason", "reason", COLUMN_TEXT},
    {"upload_percent", "upload_percent", COLUMN_NUMBER},
    {"download_percent", "download_percent", COLUMN_NUMBER},
    {"seeders", "seeders", COLUMN_NUMBER},
    {"leechers", "leechers", COLUMN_NUMBER},
    {"snatches", "snatches", COLUMN_NUMBER},
    {"created_at", "created_at", COLUMN_TIME},
    {"updated_at", "updated_at", COLUMN_TIME},
    {NULL, NULL, COLUMN_TEXT},
};

static const struct column peer_columns[] = {
    {"USER", "user_id", COLUMN_NUMBER},
    {"CLIENT", "client", COLUMN_TEXT},
    {"IPV4", "4", COLUMN_ENDPOINT},
    {"IPV6", "6", COLUMN_ENDPOINT},
    {"SEEDING", "seeding", COLUMN_YES},
    {"UPLOADED", "uploaded", COLUMN_BYTES},
    {"DOWNLOADED", "downloaded", COLUMN_BYTES},
    {"LEFT", "left_bytes", COLUMN_BYTES},
    {"LAST ANNOUNCE", "last_announce", COLUMN_TIME},
    {NULL, NULL, COLUMN_TEXT},
};

static enum exit_code print_torrent(struct ctl *ctl, json_t *torrent)
{
    if (torrent == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(torrent);
    else
        print_object(columns, torrent);
    json_decref(torrent);
    return EXIT_GOOD;
}

static enum exit_code print_list(struct ctl *ctl, json_t *answer, const char *name, const struct column *titles)
{
    if (answer == NULL)
        return EXIT_FAILED;
    if (ctl->wants_json)
        print_json(answer);
    else
        print_table(titles, json_object_get(answer, name));
    json_decref(answer);
    return EXIT_GOOD;
}

static bool is_hash(const char *text)
{
    uint8_t hash[20];
    return hex_decode(hash, sizeof hash, text, strlen(text));
}

/* The info hash that HASH or FILE.torrent stands for; false where that has been told to be none. */
static bool take_hash(char digits[static 41], const char *argument)
{
    struct torrent_file torrent;
    struct error error = {""};
    if (is_hash(argument)) {
        memcpy(digits, argument, 41);
        return true;
    }
    if (torrent_file_read(&torrent, argument, &error) != 0) {
        complain("%s (allowed is a torrent file, or an info hash of 40 hex digits)", error.text);
        return false;
    }
    hex_encode(digits, torrent.info_hash, sizeof torrent.info_hash);
    return true;
}

static void warn_about(const char *path, const struct torrent_file *torrent)
{
    char digits[41];
    hex_encode(digits, torrent->v2_hash, sizeof torrent->v2_hash);
    if (!torrent->is_private)
        complain("%s: note: not marked private: its clients may find peers without this tracker", path);
    if (torrent->is_v2_only)
        complain("%s: note: v2 only: added under the first 20 bytes of its SHA-256, as its clients announce it", path);
    if (torrent->is_hybrid)
        complain("%s: note: hybrid: added under its v1 hash; clients may announce it as %s, too", path, digits);
}

/* What the file says; the operator's own fields come on top. */
static json_t *body_of(const char *argument, struct torrent_file *torrent)
{
    struct error error = {""};
    char digits[41];
    if (is_hash(argument))
        return json_pack("{s:s}", "info_hash", argument);
    if (torrent_file_read(torrent, argument, &error) != 0) {
        complain("%s", error.text);
        return NULL;
    }
    hex_encode(digits, torrent->info_hash, sizeof torrent->info_hash);
    return json_pack("{s:s, s:s, s:I}", "info_hash", digits, "name", torrent->name, "size", (json_int_t)torrent->size);
}

static enum exit_code add(struct ctl *ctl, int argc, char **argv)
{
    json_t *fields = json_object();
    if (!read_fields(fields, argc - 1, argv + 1)) {
        json_decref(fields);
        return EXIT_USAGE;
    }
    struct torrent_file torrent;
    json_t *body = body_of(argv[0], &torrent);
    if (body == NULL) {
        json_decref(fields);
        return EXIT_FAILED;
    }
    (void)json_object_update(body, fields);
    json_decref(fields);
    enum exit_code result = print_torrent(ctl, call_api(ctl, "POST", "/api/v1/torrents", body));
    if (result == EXIT_GOOD && !is_hash(argv[0]))
        warn_about(argv[0], &torrent); /* a failure is one line */
    return result;
}

static enum exit_code list(struct ctl *ctl, int argc, char **argv)
{
    char *encoded = encode(argc > 0 ? argv[0] : "");
    char *query = argc > 0 ? form("search=%s", encoded) : form("%s", "");
    json_t *answer = call_list(ctl, "/api/v1/torrents", query, "torrents");
    free(query);
    free(encoded);
    return print_list(ctl, answer, "torrents", list_columns);
}

static enum exit_code call_torrent(struct ctl *ctl, const char *method, const char *argument, json_t *body)
{
    char digits[41];
    if (!take_hash(digits, argument)) {
        json_decref(body);
        return EXIT_FAILED;
    }
    char *path = form("/api/v1/torrents/%s", digits);
    enum exit_code result = print_torrent(ctl, call_api(ctl, method, path, body));
    free(path);
    return result;
}

static enum exit_code show(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return call_torrent(ctl, "GET", argv[0], NULL);
}

static enum exit_code set(struct ctl *ctl, int argc, char **argv)
{
    json_t *body = json_object();
    if (!read_fields(body, argc - 1, argv + 1)) {
        json_decref(body);
        return EXIT_USAGE;
    }
    return call_torrent(ctl, "PATCH", argv[0], body);
}

static enum exit_code remove_torrent(struct ctl *ctl, int argc, char **argv)
{
    char digits[41];
    if (!take_hash(digits, argv[0]))
        return EXIT_FAILED;
    json_t *body = argc > 1 ? json_pack("{s:s}", "reason", argv[1]) : json_object();
    if (body == NULL)
        return fail_usage("the reason is no UTF-8");
    char *path = form("/api/v1/torrents/%s", digits);
    json_t *answer = call_api(ctl, "DELETE", path, body);
    free(path);
    json_decref(answer);
    return answer != NULL ? EXIT_GOOD : EXIT_FAILED;
}

static enum exit_code peers(struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    char digits[41];
    if (!take_hash(digits, argv[0]))
        return EXIT_FAILED;
    char *path = form("/api/v1/torrents/%s/peers", digits);
    json_t *answer = call_list(ctl, path, "", "peers");
    free(path);
    return print_list(ctl, answer, "peers", peer_columns);
}

const struct command commands_torrent[] = {
    {"torrent add", "FILE|HASH [FIELD=VALUE…]", "make a torrent known: a .torrent file or an info hash", 1, -1, add},
    {"torrent list", "[SEARCH]", "list torrents, or those whose name holds SEARCH", 0, 1, list},
    {"torrent show", "FILE|HASH", "show one torrent", 1, 1, show},
    {"torrent set", "FILE|HASH FIELD=VALUE…", "change name, size, state, reason, upload_percent, download_percent", 2,
     -1, set},
    {"torrent remove", "FILE|HASH [REASON]", "mark it deleted; clients are told the reason", 1, 2, remove_torrent},
    {"peers", "FILE|HASH", "list the sessions in a torrent's swarm", 1, 1, peers},
    {.name = NULL},
};
