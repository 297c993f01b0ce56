/* Tests of the generators' histogram, and of their choice by weight. */
#include "bench/histogram.h"
#include "bench/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct histogram histogram;

Test(bench_histogram, empty_one_has_only_zeros)
{
    cr_expect_eq(histogram_quantile(&histogram, 0.5), 0);
    cr_expect_eq(histogram_quantile(&histogram, 1), 0);
}

Test(bench_histogram, quantiles_of_small_values_are_exact)
{
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(&histogram, value);
    cr_expect_eq(histogram_quantile(&histogram, 0.5), 50);
    cr_expect_eq(histogram_quantile(&histogram, 0.99), 99);
    cr_expect_eq(histogram_quantile(&histogram, 1), 100);
    cr_expect_eq(histogram_quantile(&histogram, 0), 1);
}

Test(bench_histogram, every_value_is_kept_to_within_one_percent)
{
    for (uint64_t value = 1; value < UINT64_C(1) << 41; value = value * 9 / 8 + 1) {
        memset(&histogram, 0, sizeof histogram);
        histogram_add(&histogram, value);
        histogram_add(&histogram, UINT64_C(1) << 41);
        uint64_t told = histogram_quantile(&histogram, 0.5);
        cr_expect(told >= value && (double)(told - value) <= (double)value / 100, "%ju told as %ju", (uintmax_t)value,
                  (uintmax_t)told);
    }
}

Test(bench_histogram, values_beyond_the_last_bucket_count_and_keep_the_maximum)
{
    histogram_add(&histogram, UINT64_MAX);
    cr_expect_eq(histogram.count, 1);
    cr_expect_eq(histogram.max, UINT64_MAX);
}

Test(bench_histogram, merging_adds_counts_and_keeps_the_larger_maximum)
{
    static struct histogram other;
    histogram_add(&histogram, 10);
    histogram_add(&other, 1000);
    histogram_merge(&histogram, &other);
    cr_expect_eq(histogram.count, 2);
    cr_expect_eq(histogram.max, 1000);
    cr_expect_eq(histogram_quantile(&histogram, 0.5), 10);
}

/* The share of each number after many picks is near its weight. */
static void expect_shares(const double *weights, size_t count)
{
    enum { PICKS = 400000 };
    static uint32_t picked[16];
    struct alias *alias = alias_new(weights, count);
    struct random random;
    double sum = 0;
    cr_assert_not_null(alias);
    random_init(&random, 7);
    memset(picked, 0, sizeof picked);
    for (size_t i = 0; i < PICKS; i++)
        picked[alias_pick(alias, &random)]++;
    for (size_t i = 0; i < count; i++)
        sum += weights[i];
    for (size_t i = 0; i < count; i++) {
        double expected = weights[i] / sum * PICKS;
        cr_expect(fabs(picked[i] - expected) <= 5 * sqrt(expected) + 1, "%zu: %u picks, about %.0f expected", i,
                  picked[i], expected);
    }
    alias_free(alias);
}

Test(bench_alias, picks_follow_the_weights)
{
    expect_shares((const double[]){1}, 1);
    expect_shares((const double[]){1, 1, 1, 1}, 4);
    expect_shares((const double[]){1, 2, 3, 4, 90}, 5);
    expect_shares((const double[]){0, 5, 0, 1e-9, 1000, 3.5}, 6);
}

Test(bench_alias, popularity_has_a_few_favourites_and_a_long_tail)
{
    enum { TORRENTS = 10000, PEERS = 20000 };
    double head = 0, sum = 0;
    for (size_t i = 0; i < TORRENTS; i++) {
        double weight = popularity_weight(i, TORRENTS, PEERS);
        cr_assert(i == 0 || weight <= popularity_weight(i - 1, TORRENTS, PEERS));
        head += i < TORRENTS / 100 ? weight : 0;
        sum += weight;
    }
    cr_expect_float_eq(popularity_weight(0, TORRENTS, PEERS), 0.5 + exp(6.5), 1e-9);
    cr_expect_float_eq(popularity_weight(TORRENTS - 1, TORRENTS, PEERS), 0.5, 1e-9);
    cr_expect(head / sum > 0.7, "the most popular hundredth holds %.2f", head / sum);
}

Test(bench_random, same_seed_gives_the_same_numbers)
{
    struct random a, b, c;
    random_init(&a, 1);
    random_init(&b, 1);
    random_init(&c, 2);
    cr_expect_eq(random_next(&a), random_next(&b));
    cr_expect_neq(random_next(&a), random_next(&c));
}

Test(bench_random, numbers_stay_below_their_limit)
{
    struct random random;
    random_init(&random, 3);
    for (int i = 0; i < 10000; i++) {
        cr_assert_lt(random_below(&random, 7), 7);
        double unit = random_unit(&random);
        cr_assert(unit >= 0 && unit < 1);
    }
    cr_expect_eq(random_below(&random, 1), 0);
}
