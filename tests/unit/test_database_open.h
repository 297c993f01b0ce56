/* A handle of the tracker's on a test's database, whichever kind; included by what is each kind's own. */
#ifndef PRIVTRAK_TESTS_TEST_DATABASE_OPEN_H
#define PRIVTRAK_TESTS_TEST_DATABASE_OPEN_H

static struct database *open_and_connect(const char *url)
{
    struct error error = {{0}};
    struct database *database = database_open(url, &error);
    cr_assert(database, "%s", error.text);
    cr_assert_eq(database_connect(database, &error), DATABASE_OK, "%s", error.text);
    return database;
}

#endif
