/* bytes: what was put is got back, and a reader never goes past its end. */
#include "base/bytes.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct bytes bytes;

static void tear_down(void)
{
    bytes_clear(&bytes);
}

TestSuite(bytes, .fini = tear_down, .timeout = 60);

static struct reader reader_of(size_t size)
{
    return (struct reader){.at = bytes.data, .end = bytes.data + size};
}

Test(bytes, numbers_of_all_widths_come_back)
{
    bytes_put_u8(&bytes, 0xab);
    bytes_put_u16(&bytes, 0x1234);
    bytes_put_u32(&bytes, 0xdeadbeef);
    bytes_put_varint(&bytes, 300);
    bytes_put(&bytes, "xyz", 3);
    struct reader reader = reader_of(bytes.length);
    char text[3];
    cr_expect_eq(reader_get_u8(&reader), 0xab);
    cr_expect_eq(reader_get_u16(&reader), 0x1234);
    cr_expect_eq(reader_get_u32(&reader), 0xdeadbeef);
    cr_expect_eq(reader_get_varint(&reader), 300);
    reader_get(&reader, text, 3);
    cr_expect_arr_eq(text, "xyz", 3);
    cr_expect(reader_is_at_end(&reader));
    cr_expect_not(reader.failed);
}

Test(bytes, nothing_may_come_from_nowhere)
{
    bytes_put(&bytes, NULL, 0);
    cr_expect_eq(bytes.length, 0);
    bytes_put_u8(&bytes, 7);
    bytes_put(&bytes, NULL, 0);
    cr_expect_eq(bytes.length, 1);
    cr_expect_not(bytes.failed);
}

Test(bytes, numbers_are_little_endian)
{
    bytes_put_u16(&bytes, 0x0102);
    bytes_put_u32(&bytes, 0x03040506);
    bytes_put_varint(&bytes, 300);
    const uint8_t wanted[] = {0x02, 0x01, 0x06, 0x05, 0x04, 0x03, 0xac, 0x02};
    cr_assert_eq(bytes.length, sizeof wanted);
    cr_expect_arr_eq(bytes.data, wanted, sizeof wanted);
}

Test(bytes, varints_at_every_border_come_back)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        bytes.length = 0;
        uint64_t border = UINT64_C(1) << shift;
        bytes_put_varint(&bytes, border);
        bytes_put_varint(&bytes, border - 1);
        struct reader reader = reader_of(bytes.length);
        cr_assert_eq(reader_get_varint(&reader), border);
        cr_assert_eq(reader_get_varint(&reader), border - 1);
        cr_assert(reader_is_at_end(&reader) && !reader.failed);
    }
    bytes.length = 0;
    bytes_put_varint(&bytes, UINT64_MAX);
    cr_expect_eq(bytes.length, 10);
    struct reader reader = reader_of(bytes.length);
    cr_expect_eq(reader_get_varint(&reader), UINT64_MAX);
}

Test(bytes, varint_without_an_end_is_refused)
{
    for (int i = 0; i < 20; i++)
        bytes_put_u8(&bytes, 0x80);
    struct reader reader = reader_of(bytes.length);
    cr_expect_eq(reader_get_varint(&reader), 0);
    cr_expect(reader.failed);
}

Test(bytes, varint_beyond_sixty_four_bits_is_refused)
{
    for (int i = 0; i < 9; i++)
        bytes_put_u8(&bytes, 0xff);
    bytes_put_u8(&bytes, 0x02);
    struct reader reader = reader_of(bytes.length);
    cr_expect_eq(reader_get_varint(&reader), 0);
    cr_expect(reader.failed);
}

Test(bytes, reading_past_the_end_fails_for_good_and_gives_zero)
{
    bytes_put_u8(&bytes, 1);
    bytes_put_u8(&bytes, 2);
    struct reader reader = reader_of(1);
    cr_expect_eq(reader_get_u16(&reader), 0);
    cr_expect(reader.failed);
    cr_expect_eq(reader_get_u8(&reader), 0, "although a byte is left");
    cr_expect(reader_is_at_end(&reader));
}

Test(bytes, buffer_grows_over_many_writes)
{
    for (uint32_t i = 0; i < 100000; i++)
        bytes_put_u32(&bytes, i);
    cr_assert_eq(bytes.length, 400000);
    struct reader reader = reader_of(bytes.length);
    for (uint32_t i = 0; i < 100000; i++)
        cr_assert_eq(reader_get_u32(&reader), i);
}

Test(bytes, cleared_buffer_is_as_new)
{
    bytes_put_u8(&bytes, 1);
    bytes_clear(&bytes);
    cr_expect_null(bytes.data);
    cr_expect_eq(bytes.length, 0);
    bytes_put_u8(&bytes, 2);
    cr_expect_eq(bytes.data[0], 2);
}
