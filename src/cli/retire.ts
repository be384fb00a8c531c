import { SettingsError } from '../errors.ts';
import { forgetAttention } from '../ledger/attention.ts';
import { syncTracks } from '../ledger/expected.ts';
import { recordRetirement, requireInstance } from '../ledger/instances.ts';
import { acquireLease, releaseLease } from '../ledger/lease.ts';
import { readClock } from '../loading/context.ts';
import { idText } from '../settings/kinds.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { requiredOption } from './options.ts';

export const retire = defineCommand({
  needs: ['database'],
  role: 'losant_usage_writer',
  options: {
    instance: requiredOption('ID', 'the instance; yesterday becomes its last expected day', idText('instance')),
  },
  async run(context, { instance: instanceId }) {
    const { config } = context;
    if (config.instances.some((each) => each.instanceId === instanceId)) {
      throw new SettingsError(`--instance ${instanceId}: this instance is still in the settings`, {
        hint: 'remove it from the settings first, and restart the worker',
      });
    }
    await using handle = await openSchema(context, 'writes');
    const { db } = handle;
    const now = await readClock(context, handle);
    await requireInstance(db, instanceId);
    // A run in progress would continue the tracks and pin the API again.
    const lease = await acquireLease(db, { instanceId, runId: context.newId(), host: context.host });
    try {
      const ledger = { db, instanceId, policy: config.policy, now, lease };
      await recordRetirement(ledger);
      await syncTracks(ledger, { streams: [], selection: [] });
      await forgetAttention(db, instanceId);
    } finally {
      await releaseLease(db, lease);
    }
    const lines = [`Instance ${instanceId} is retired; yesterday is its last expected day. Its data stays.`];
    return { document: { instanceId }, lines };
  },
});
