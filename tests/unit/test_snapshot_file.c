/* snapshot_file: what was written is read back; what is not whole, byte for byte, is refused. */
#include "daemon/snapshot_file.h"
#include "remove_folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEQ = 77, SESSIONS = 12, MADE_AT_MS = 123456789, FILE_MAX = 4096, VERSION_AT = 18 };

static char parent[64];
static char folder[128];
static char file_path[256];
static uint8_t original[FILE_MAX];
static size_t original_size;

static void set_up(void)
{
    strcpy(parent, "/tmp/privtrak-test-XXXXXX");
    cr_assert_not_null(mkdtemp(parent));
    snprintf(folder, sizeof folder, "%s/snapshot", parent);
}

static void tear_down(void)
{
    remove_folder(parent);
}

TestSuite(snapshot_file, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *const blocks[] = {"the first block", "the second", "x"};

/* A snapshot of three blocks. */
static void write_snapshot(uint64_t seq)
{
    struct error error;
    struct block_file *file = snapshot_file_begin(folder, seq, MADE_AT_MS, &error);
    cr_assert_not_null(file, "%s", error.text);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(block_file_add(file, (const uint8_t *)blocks[i], strlen(blocks[i])), 0);
    cr_assert_eq(block_file_finish(file, SESSIONS, &error), 0, "%s", error.text);
}

struct met {
    int count;
    int wrong;
    int result;
};

static int meet_block(void *context, const uint8_t *data, size_t size)
{
    struct met *met = context;
    if (met->count >= 3 || size != strlen(blocks[met->count]) || memcmp(data, blocks[met->count], size) != 0)
        met->wrong++;
    met->count++;
    return met->result;
}

static struct error read_error;

static int read_into(struct met *met, uint64_t seq, int64_t *made_at_ms, uint64_t *sessions)
{
    return snapshot_file_read(folder, seq, meet_block, met, made_at_ms, sessions, &read_error);
}

static int read_snapshot(uint64_t seq)
{
    struct met met = {.count = 0};
    int64_t made_at_ms;
    uint64_t sessions;
    int result = read_into(&met, seq, &made_at_ms, &sessions);
    cr_expect_eq(met.wrong, 0, "a damaged block was given out");
    return result;
}

static void load_original(void)
{
    write_snapshot(SEQ);
    snprintf(file_path, sizeof file_path, "%s/%020d.snapshot", folder, SEQ);
    FILE *stream = fopen(file_path, "rb");
    cr_assert_not_null(stream);
    original_size = fread(original, 1, sizeof original, stream);
    fclose(stream);
    cr_assert(original_size > 0 && original_size < sizeof original);
}

static void store(const uint8_t *data, size_t size)
{
    FILE *stream = fopen(file_path, "wb");
    cr_assert_not_null(stream);
    cr_assert_eq(fwrite(data, 1, size, stream), size);
    cr_assert_eq(fclose(stream), 0);
}

Test(snapshot_file, blocks_come_back_in_order_with_what_the_header_says)
{
    write_snapshot(SEQ);
    struct met met = {.count = 0};
    int64_t made_at_ms = 0;
    uint64_t sessions = 0;
    cr_assert_eq(read_into(&met, SEQ, &made_at_ms, &sessions), 0, "%s", read_error.text);
    cr_expect_eq(met.count, 3);
    cr_expect_eq(met.wrong, 0);
    cr_expect_eq(made_at_ms, MADE_AT_MS);
    cr_expect_eq(sessions, SESSIONS);
}

Test(snapshot_file, snapshot_without_sessions_is_whole)
{
    struct error error;
    struct block_file *file = snapshot_file_begin(folder, 5, MADE_AT_MS, &error);
    cr_assert_eq(block_file_finish(file, 0, &error), 0);
    cr_expect_eq(read_snapshot(5), 0);
}

Test(snapshot_file, block_that_is_not_taken_ends_the_reading)
{
    write_snapshot(SEQ);
    struct met met = {.result = -1};
    int64_t made_at_ms;
    uint64_t sessions;
    cr_expect_eq(read_into(&met, SEQ, &made_at_ms, &sessions), -1);
    cr_expect_eq(met.count, 1);
}

Test(snapshot_file, every_truncation_is_refused)
{
    load_original();
    for (size_t size = 0; size < original_size; size++) {
        store(original, size);
        cr_assert_eq(read_snapshot(SEQ), -1, "%zu bytes of %zu", size, original_size);
    }
}

Test(snapshot_file, every_flipped_bit_is_refused)
{
    load_original();
    static uint8_t damaged[FILE_MAX];
    /* The time that it was made at begins at byte 30 of the header, and is covered by the sum at the end. */
    for (size_t bit = 0; bit < original_size * 8; bit++) {
        memcpy(damaged, original, original_size);
        damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
        store(damaged, original_size);
        cr_assert_eq(read_snapshot(SEQ), -1, "bit %zu of byte %zu", bit % 8, bit / 8);
    }
}

Test(snapshot_file, bytes_behind_the_end_are_refused)
{
    load_original();
    original[original_size] = 0;
    store(original, original_size + 1);
    cr_expect_eq(read_snapshot(SEQ), -1);
}

Test(snapshot_file, another_version_is_refused_by_its_number)
{
    load_original();
    original[VERSION_AT] = SNAPSHOT_VERSION + 1;
    store(original, original_size);
    cr_expect_eq(read_snapshot(SEQ), -1);
    cr_expect_not_null(strstr(read_error.text, "version"), "%s", read_error.text);
}

Test(snapshot_file, name_that_does_not_fit_the_contents_is_refused)
{
    load_original();
    snprintf(file_path, sizeof file_path, "%s/%020d.snapshot", folder, SEQ + 1);
    store(original, original_size);
    cr_expect_eq(read_snapshot(SEQ + 1), -1);
}

Test(snapshot_file, missing_one_is_told)
{
    cr_expect_eq(read_snapshot(SEQ), -1);
    cr_expect(read_error.text[0] != '\0');
}

Test(snapshot_file, list_is_newest_first)
{
    write_snapshot(9);
    write_snapshot(1000);
    write_snapshot(77);
    uint64_t seqs[8];
    cr_assert_eq(snapshot_file_list(folder, seqs, 8), 3);
    cr_expect_eq(seqs[0], 1000);
    cr_expect_eq(seqs[1], 77);
    cr_expect_eq(seqs[2], 9);
    cr_expect_eq(snapshot_file_list(folder, seqs, 1), 1);
    cr_expect_eq(seqs[0], 1000);
}

Test(snapshot_file, missing_folder_lists_none)
{
    uint64_t seqs[8];
    cr_expect_eq(snapshot_file_list(folder, seqs, 8), 0);
    snapshot_file_trim(folder);
}

Test(snapshot_file, newest_two_are_kept)
{
    for (uint64_t seq = 1; seq <= 5; seq++)
        write_snapshot(seq);
    snapshot_file_trim(folder);
    uint64_t seqs[8];
    cr_assert_eq(snapshot_file_list(folder, seqs, 8), SNAPSHOTS_KEPT);
    cr_expect_eq(seqs[0], 5);
    cr_expect_eq(seqs[1], 4);
}

static bool exists(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

Test(snapshot_file, half_written_one_is_not_listed_and_trimmed_away)
{
    write_snapshot(1);
    struct error error;
    struct block_file *file = snapshot_file_begin(folder, 2, MADE_AT_MS, &error);
    uint64_t seqs[8];
    cr_expect_eq(snapshot_file_list(folder, seqs, 8), 1);
    cr_expect(exists("00000000000000000002.snapshot.new"));
    snapshot_file_trim(folder);
    cr_expect_not(exists("00000000000000000002.snapshot.new"));
    block_file_cancel(file);
}

Test(snapshot_file, cancelled_one_leaves_nothing)
{
    struct error error;
    struct block_file *file = snapshot_file_begin(folder, 2, MADE_AT_MS, &error);
    block_file_cancel(file);
    cr_expect_not(exists("00000000000000000002.snapshot"));
    cr_expect_not(exists("00000000000000000002.snapshot.new"));
}

Test(snapshot_file, other_files_of_the_folder_are_left_alone)
{
    write_snapshot(1);
    char path[300];
    snprintf(path, sizeof path, "%s/notes.txt", folder);
    fclose(fopen(path, "w"));
    snapshot_file_trim(folder);
    uint64_t seqs[8];
    cr_expect_eq(snapshot_file_list(folder, seqs, 8), 1);
    cr_expect(exists("notes.txt"));
}

Test(snapshot_file, folder_that_cannot_be_made_is_told)
{
    struct error error;
    cr_expect_null(snapshot_file_begin("/nonexistent/deeper/folder", 1, MADE_AT_MS, &error));
    cr_expect(error.text[0] != '\0');
}

Test(snapshot_file, block_that_is_too_long_is_not_written)
{
    struct error error;
    struct block_file *file = snapshot_file_begin(folder, 2, MADE_AT_MS, &error);
    cr_expect_lt(block_file_add(file, original, (size_t)65 << 20), 0);
    block_file_cancel(file);
}
