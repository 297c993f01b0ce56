/* The ledger file: what every user should have been credited on every torrent, from the model of all threads. */
#include "bench/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "bench/ledger_file.h"

static void write_account(FILE *file, const struct world *world, const struct account *account)
{
    struct passkey passkey;
    uint8_t info_hash[INFO_HASH_BYTES];
    char digits[2 * INFO_HASH_BYTES + 1];
    world_passkey(world, account->user, &passkey);
    world_info_hash(world, account->torrent, info_hash);
    hex_encode(digits, info_hash, sizeof info_hash);
    fprintf(file, "%.*s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRId64 ",%" PRId64 ",%d,%" PRIu64 "\n",
            passkey.length, passkey.text, digits, account->uploaded, account->downloaded, account->raw_uploaded,
            account->raw_downloaded, account->seed_time_ms / 1000, account->leech_time_ms / 1000, account->snatched,
            account->credits);
}

int ledger_write(const struct load *load, struct error *error)
{
    const char *name = load->settings.ledger;
    FILE *file = fopen(name, "we");
    if (file == NULL)
        return error_set(error, "--ledger %s: %s", name, strerror(errno));
    fprintf(file, "%s\n", LEDGER_HEADER);
    for (size_t i = 0; i < load->settings.thread_count; i++) {
        const struct accounting *accounting = load->threads[i].accounting;
        for (size_t j = 0; j < accounting_count(accounting); j++)
            write_account(file, &load->world, accounting_at(accounting, j));
    }
    bool written = ferror(file) == 0;
    if (fclose(file) != 0 || !written)
        return error_set(error, "--ledger %s: it could not be written whole", name);
    return 0;
}
