/*
 * dashboard: see dashboard.h. The page is a file of its own, so that it can be
 * read and edited as one. The assembler puts it into the program; it looks for
 * it from the repository's root, where make runs the compiler.
 */
#include "admin/dashboard.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern const char dashboard_html[];
extern const char dashboard_html_end[];

__asm__(".pushsection .rodata\n"
        ".global dashboard_html\n"
        ".hidden dashboard_html\n"
        ".global dashboard_html_end\n"
        ".hidden dashboard_html_end\n"
        "dashboard_html:\n"
        ".incbin \"src/admin/dashboard.html\"\n"
        "dashboard_html_end:\n"
        ".byte 0\n"
        ".popsection\n");

const char *dashboard_page(size_t *length)
{
    *length = (size_t)((uintptr_t)dashboard_html_end - (uintptr_t)dashboard_html);
    return dashboard_html;
}

enum { SOURCE_BYTES = 80 };

/* The CSP source of what stands between the two marks: 'sha256-…'. */
static void hash_between(char source[static SOURCE_BYTES], const char *begin_mark, const char *end_mark)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char encoded[64];
    const char *begin = strstr(dashboard_html, begin_mark);
    const char *end = begin != NULL ? strstr(begin, end_mark) : NULL;
    (void)snprintf(source, SOURCE_BYTES, "'none'");
    if (end == NULL)
        return;
    begin += strlen(begin_mark);
    if (EVP_Digest(begin, (size_t)(end - begin), digest, NULL, EVP_sha256(), NULL) != 1)
        return;
    (void)EVP_EncodeBlock(encoded, digest, 32);
    (void)snprintf(source, SOURCE_BYTES, "'sha256-%s'", (const char *)encoded);
}

const char *dashboard_policy(void)
{
    static char policy[512];
    char script[SOURCE_BYTES];
    char style[SOURCE_BYTES];
    if (policy[0] != '\0')
        return policy;
    hash_between(script, "<script>", "</script>");
    hash_between(style, "<style>", "</style>");
    (void)snprintf(policy, sizeof policy,
                   "default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; "
                   "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                   script, style);
    return policy;
}
