/* identity: what is told to those whose passkey does not open the door; announces and scrapes say the same. */
#ifndef PRIVTRAK_TRACKER_IDENTITY_H
#define PRIVTRAK_TRACKER_IDENTITY_H

static const char identity_unknown_passkey[] = "unknown passkey";
static const char identity_too_many_unknown[] = "too many unknown passkeys from your address";
static const char identity_disabled[] = "your account is disabled";

#endif
