/* hex: bytes to lower-case hexadecimal digits and back. */
#ifndef PRIVTRAK_BASE_HEX_H
#define PRIVTRAK_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * size digits and a NUL into `text`. */
void hex_encode(char *text, const uint8_t *bytes, size_t size);

/*
 * Reads exactly 2 * size digits of either case. Returns false, with `bytes`
 * undefined, where `length` is another or a character is no digit.
 */
bool hex_decode(uint8_t *bytes, size_t size, const char *text, size_t length);

#endif
