/*
 * accounts: user_torrents and parked_deltas, for reading.
 */
#include "base/hex.h"
#include "database/backend.h"

#define ACCOUNT_COLUMNS                                                                               \
    "a.user_id, a.torrent_id, u.passkey, t.info_hash, a.uploaded, a.downloaded, a.raw_uploaded, "     \
    "a.raw_downloaded, a.seed_time, a.leech_time, a.left_bytes, a.seeding, a.active, a.snatched_at, " \
    "a.first_announce, a.last_announce FROM user_torrents a JOIN users u ON u.id = a.user_id "        \
    "JOIN torrents t ON t.id = a.torrent_id "

static void account_row_read(struct user_torrent_row *row, const struct sql_value *columns)
{
    row->user_id = sql_as_integer(&columns[0]);
    row->torrent_id = sql_as_integer(&columns[1]);
    sql_copy_text(row->passkey, sizeof(row->passkey), &columns[2]);
    if (columns[3].type != SQL_TEXT || !hex_decode(row->info_hash, INFO_HASH_BYTES, columns[3].text, columns[3].length))
        memset(row->info_hash, 0, sizeof(row->info_hash));
    row->uploaded = (uint64_t)sql_as_integer(&columns[4]);
    row->downloaded = (uint64_t)sql_as_integer(&columns[5]);
    row->raw_uploaded = (uint64_t)sql_as_integer(&columns[6]);
    row->raw_downloaded = (uint64_t)sql_as_integer(&columns[7]);
    row->seed_time = sql_as_integer(&columns[8]);
    row->leech_time = sql_as_integer(&columns[9]);
    row->left_bytes = (uint64_t)sql_as_integer(&columns[10]);
    row->seeding = (uint32_t)sql_as_integer(&columns[11]);
    row->active = (uint32_t)sql_as_integer(&columns[12]);
    row->snatched_at = sql_as_integer(&columns[13]);
    row->first_announce = sql_as_integer(&columns[14]);
    row->last_announce = sql_as_integer(&columns[15]);
}

struct account_list {
    struct user_torrent_row *rows;
    size_t count;
    size_t limit;
};

static int append_account(void *context, const struct sql_value *columns)
{
    struct account_list *list = context;
    if (list->count < list->limit)
        account_row_read(&list->rows[list->count++], columns);
    return 0;
}

/* A text of its own for each filter, so that each finds its index. */
static const char *list_text(const struct user_torrent_filter *filter)
{
    if (filter->user_id != 0 && filter->torrent_id != 0)
        return "SELECT " ACCOUNT_COLUMNS "WHERE a.user_id = $4 AND a.torrent_id = $5 AND "
               "(a.user_id, a.torrent_id) > ($1, $2) ORDER BY a.user_id, a.torrent_id LIMIT $3";
    if (filter->user_id != 0)
        return "SELECT " ACCOUNT_COLUMNS "WHERE a.user_id = $4 AND (a.user_id, a.torrent_id) > ($1, $2) "
               "ORDER BY a.user_id, a.torrent_id LIMIT $3";
    if (filter->torrent_id != 0)
        return "SELECT " ACCOUNT_COLUMNS "WHERE a.torrent_id = $4 AND (a.user_id, a.torrent_id) > ($1, $2) "
               "ORDER BY a.user_id, a.torrent_id LIMIT $3";
    return "SELECT " ACCOUNT_COLUMNS "WHERE a.user_id >= $1 AND (a.user_id, a.torrent_id) > ($1, $2) "
           "ORDER BY a.user_id, a.torrent_id LIMIT $3";
}

enum database_result database_user_torrent_list(struct database *database, const struct user_torrent_filter *filter,
                                                size_t limit, struct user_torrent_row *rows, size_t *count,
                                                struct error *error)
{
    struct account_list list = {.rows = rows, .limit = limit};
    struct sql_value values[5] = {sql_integer(filter->after_user), sql_integer(filter->after_torrent),
                                  sql_integer((int64_t)limit)};
    size_t value_count = 3;
    if (filter->user_id != 0)
        values[value_count++] = sql_integer(filter->user_id);
    if (filter->torrent_id != 0)
        values[value_count++] = sql_integer(filter->torrent_id);
    struct sql_query query = {.text = list_text(filter),
                              .values = values,
                              .value_count = value_count,
                              .row = append_account,
                              .context = &list};
    enum database_result result = database_query(database, &query, error);
    *count = list.count;
    return result;
}

struct account_each {
    database_user_torrent_fn *each;
    void *context;
};

static int give_account(void *context, const struct sql_value *columns)
{
    const struct account_each *each = context;
    struct user_torrent_row row;
    account_row_read(&row, columns);
    return each->each(each->context, &row);
}

enum database_result database_user_torrent_each(struct database *database, database_user_torrent_fn *each,
                                                void *context, struct error *error)
{
    struct account_each all = {.each = each, .context = context};
    struct sql_query query = {
        .text = "SELECT " ACCOUNT_COLUMNS "ORDER BY a.user_id, a.torrent_id", .row = give_account, .context = &all};
    return database_query(database, &query, error);
}

struct parked_list {
    struct parked_row *rows;
    size_t count;
    size_t limit;
};

static int append_parked(void *context, const struct sql_value *columns)
{
    struct parked_list *list = context;
    if (list->count >= list->limit)
        return 0;
    struct parked_row *row = &list->rows[list->count++];
    row->id = sql_as_integer(&columns[0]);
    row->seq = (uint64_t)row->id;
    sql_copy_text(row->reason, sizeof(row->reason), &columns[1]);
    sql_copy_text(row->record, sizeof(row->record), &columns[2]);
    return 0;
}

enum database_result database_parked_list(struct database *database, int64_t after, size_t limit,
                                          struct parked_row *rows, size_t *count, struct error *error)
{
    struct parked_list list = {.rows = rows, .limit = limit};
    struct sql_value values[] = {sql_integer(after), sql_integer((int64_t)limit)};
    struct sql_query query = {.text =
                                  "SELECT seq, reason, record FROM parked_deltas WHERE seq > $1 ORDER BY seq LIMIT $2",
                              .values = values,
                              .value_count = 2,
                              .row = append_parked,
                              .context = &list};
    enum database_result result = database_query(database, &query, error);
    *count = list.count;
    return result;
}
