/* Tests of hexadecimal digits. */
#include "base/hex.h"

#include <criterion/criterion.h>
#include <string.h>

Test(hex, encode_writes_lower_case_and_a_nul)
{
    static const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
    char text[9];
    memset(text, 'x', sizeof text);
    hex_encode(text, bytes, sizeof bytes);
    cr_expect_str_eq(text, "000fa5ff");
    hex_encode(text, bytes, 0);
    cr_expect_str_eq(text, "");
}

Test(hex, decode_takes_both_cases)
{
    uint8_t bytes[4];
    cr_expect(hex_decode(bytes, 4, "000FA5ff", 8));
    cr_expect_eq(memcmp(bytes, "\x00\x0f\xa5\xff", 4), 0);
    cr_expect(hex_decode(bytes, 0, "", 0));
}

Test(hex, every_byte_comes_back)
{
    for (int i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        uint8_t back = (uint8_t)~byte;
        char text[3];
        hex_encode(text, &byte, 1);
        cr_expect(hex_decode(&back, 1, text, 2));
        cr_expect_eq(byte, back);
    }
}

Test(hex, decode_refuses_other_lengths_and_characters)
{
    uint8_t bytes[2];
    static const char *const bad[] = {"",     "0",     "000",  "00000", "00 0", "000g", "-000",
                                      "0x00", "\0000", "00/0", "00:0",  "00@0", "00`0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(hex_decode(bytes, 2, bad[i], strlen(bad[i])), "%s", bad[i]);
}
