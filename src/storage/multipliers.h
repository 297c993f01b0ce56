/*
 * multipliers: the site-wide percentages. Written by the registry and the
 * operator, read by every worker with relaxed loads.
 */
#ifndef PRIVTRAK_STORAGE_MULTIPLIERS_H
#define PRIVTRAK_STORAGE_MULTIPLIERS_H

#include <stdint.h>

struct multipliers {
    uint32_t upload_percent;   /* 100 until changed */
    uint32_t download_percent; /* 100 until changed */
    int64_t until_s;           /* 0: for good; else Unix seconds, and 100 and 100 from then on */
};

#endif
