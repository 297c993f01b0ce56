/* A MariaDB that is killed and comes back while batches are on their way. */
#define PRIVTRAK_TEST_MARIADB

/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "test_database_restart.c"
