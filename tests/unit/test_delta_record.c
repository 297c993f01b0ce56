/* The bytes of a record in the journal. */
#include <criterion/criterion.h>

#include "delta_maker.h"
#include "deltas/record.h"

Test(record, any_delta_comes_back_as_it_was)
{
    uint64_t random = 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[RECORD_BYTES_MAX];
        struct delta delta = maker_wild(&random);
        struct delta again;
        int64_t frame_ms = (int64_t)maker_number(&random, INT64_MAX);
        size_t size = (size_t)(record_encode(bytes, &delta, frame_ms) - bytes);
        cr_assert_leq(size, sizeof(bytes));
        cr_assert_eq(record_decode(&again, bytes, size, frame_ms), size);
        /* Padding too: the maker and the decoder begin with zeros. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
        cr_assert_eq(memcmp(&delta, &again, sizeof(delta)), 0, "delta %d differs", i);
    }
}

Test(record, the_largest_delta_fits)
{
    struct delta delta;
    uint8_t bytes[RECORD_BYTES_MAX];
    memset(&delta, 0xff, sizeof(delta));
    delta.event = EVENT_EXPIRED;
    delta.active = true;
    delta.credited_uploaded = delta.credited_downloaded = UINT64_MAX - 1;
    delta.session.left = delta.user_left = UINT64_MAX - 1;
    delta.session.last_announce_ms = INT64_MIN;
    delta.time_ms = INT64_MAX;
    delta.session.address4.family = 4;
    delta.session.address6.family = 6;
    delta.source.family = 6;
    delta.source.port = 1;
    delta.passkey_length = PASSKEY_MAX;
    cr_assert_leq((size_t)(record_encode(bytes, &delta, INT64_MIN) - bytes), sizeof(bytes));
}

Test(record, a_typical_delta_has_at_most_120_bytes)
{
    uint64_t random = 42;
    size_t total = 0;
    for (int i = 0; i < 1000; i++) {
        uint8_t bytes[RECORD_BYTES_MAX];
        struct delta delta = maker_typical(&random, 1763885000000 + i);
        total += (size_t)(record_encode(bytes, &delta, 1763885000000) - bytes);
    }
    cr_assert_leq(total, 120 * 1000, "%zu bytes each", total / 1000);
}

Test(record, a_cut_record_is_none)
{
    uint64_t random = 7;
    for (int i = 0; i < 500; i++) {
        uint8_t bytes[RECORD_BYTES_MAX];
        struct delta delta = maker_wild(&random);
        struct delta again;
        size_t size = (size_t)(record_encode(bytes, &delta, 0) - bytes);
        for (size_t cut = 0; cut < size; cut++) {
            /* In memory of just that size, so that a sanitizer sees a read behind it. */
            uint8_t *part = malloc(cut + 1);
            memcpy(part, bytes, cut);
            cr_assert_eq(record_decode(&again, part, cut, 0), 0, "of %zu bytes %zu were enough", size, cut);
            free(part);
        }
    }
}

Test(record, random_bytes_are_read_within_their_bounds)
{
    uint64_t random = 99;
    for (int i = 0; i < 100000; i++) {
        size_t size = maker_random(&random) % 200;
        uint8_t *bytes = malloc(size + 1);
        struct delta delta;
        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)maker_random(&random);
        cr_assert_leq(record_decode(&delta, bytes, size, 0), size);
        free(bytes);
    }
}

Test(record, overlong_numbers_are_refused)
{
    uint64_t random = 3;
    struct delta delta = maker_typical(&random, 0);
    struct delta again;
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t size = (size_t)(record_encode(bytes, &delta, 0) - bytes);
    /* The time, a single zero byte, as eleven bytes. */
    uint8_t longer[RECORD_BYTES_MAX + 16];
    memcpy(longer, bytes, 3);
    memset(longer + 3, 0x80, 10);
    longer[13] = 0;
    memcpy(longer + 14, bytes + 4, size - 4);
    cr_assert_eq(bytes[3], 0);
    cr_assert_eq(record_decode(&again, longer, size + 10, 0), 0);
}
