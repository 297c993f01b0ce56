/*
 * identify: finds the user by the passkey. Refuses unknown and disabled ones; whoever
 * tries many unknown passkeys gets one fixed failure and no more work.
 */
#include "middleware/source_rate.h"
#include "middleware/stages.h"
#include "tracker/identity.h"

static void refuse_unknown(struct context *context, struct announce *announce)
{
    const struct rate *limit = &context->config->middleware.identify_rate_limit;
    bool allowed = source_rate_allows(context->unknown_passkeys, &announce->source, limit, context->now_ms);
    announce_refuse(announce, VERDICT_REFUSED, allowed ? identity_unknown_passkey : identity_too_many_unknown, 0);
}

static void identify_one(struct context *context, struct announce *announce)
{
    announce->user =
        users_find_hashed(context->users, announce->hash, announce->user, announce->passkey, announce->passkey_length);
    if (announce->user == NULL && context->config->middleware.users == USERS_ANY) {
        bool made;
        announce->user = users_register(context->users, announce->passkey, announce->passkey_length,
                                        context->config->middleware.max_users, &made);
        if (announce->user == NULL) {
            announce_refuse(announce, VERDICT_REFUSED, "no more users are taken", 0);
            return;
        }
    }
    if (announce->user == NULL)
        refuse_unknown(context, announce);
    else if (!(announce->user->flags & USER_ENABLED))
        announce_refuse(announce, VERDICT_REFUSED, identity_disabled, 0);
}

static void identify_run(struct stage *stage, struct batch *batch)
{
    (void)stage;
    struct context *context = batch->context;
    /* First the table's line, then the record's, so that 64 misses overlap. */
    for (unsigned i = 0; i < batch->count; i++) {
        struct announce *announce = batch->announces[i];
        announce->hash = users_hash(context->users, announce->passkey, announce->passkey_length);
        users_prefetch_bucket(context->users, announce->hash);
    }
    for (unsigned i = 0; i < batch->count; i++)
        batch->announces[i]->user = users_guess(context->users, batch->announces[i]->hash);
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->announces[i]->verdict == VERDICT_ACCEPTED)
            identify_one(context, batch->announces[i]);
}

const struct stage_type stage_identify = {
    .name = "identify",
    .run = identify_run,
};
