import { readNowMs } from '../database/session.ts';
import { readDigest, showDigest } from '../digest/digest.ts';
import { localDayAt } from '../settings/notify-time.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';

/** Prints the digest of today as the worker would send it now, and changes nothing. */
export const digest = defineCommand({
  needs: ['database'],
  options: {},
  async run(context) {
    await using handle = await openSchema(context);
    const day = localDayAt(await readNowMs(handle), context.config.notifyAt);
    const document = await readDigest(handle.db, day);
    return { document, lines: showDigest(document) };
  },
});
