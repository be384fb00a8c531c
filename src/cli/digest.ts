import { readDigest, showDigest } from '../digest/digest.ts';
import { localDayAt } from '../settings/notify-time.ts';
import { showInstant } from '../terminal/words.ts';
import { defineCommand } from './command.ts';
import { openSchema, selectInstanceIds } from './database.ts';

/** Prints the digest of today as of the last refresh, and changes nothing. */
export const digest = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    await using handle = await openSchema(context);
    const instanceIds = await selectInstanceIds(context, handle);
    const day = localDayAt(context.hostNow(), context.config.notifyAt);
    const document = await readDigest(handle.db, { instanceIds, day });
    const ages = document.instances.map(({ instanceId, attentionAt }) =>
      attentionAt === null
        ? `Instance ${instanceId}: not known yet.`
        : `Instance ${instanceId}: as of ${showInstant(attentionAt)}.`,
    );
    const remark = document.isDue ? [] : ['Nothing is new, so the worker sends no message today.'];
    return { document, lines: [...showDigest(document), '', ...ages, ...remark] };
  },
});
