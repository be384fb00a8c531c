import { expect, test } from 'vitest';
import { listSummaryPages } from '../../src/losant/usage.ts';
import { clientFor, sendJson, startServer } from './server.ts';

test('a figure of a summary that is text is named, and is no figure', async () => {
  const item = {
    resourceType: 'organization',
    resourceId: '5d0000000000000000000001',
    deviceCount: 4,
    notebookMinutesCount: '17',
    payloadBillableCount: null,
    userCount: 'three',
  };
  await using server = await startServer((_, response) =>
    sendJson(response, { items: [item], totalCount: 1 }),
  );
  const { signal } = new AbortController();
  const question = { instanceId: '5c0000000000000000000001', month: '2026-10-01', signal };
  const { value } = await listSummaryPages(clientFor(server), question).next();
  expect(value?.items).toMatchObject([{ figures: { deviceCount: 4 }, unusable: ['notebookMinutesCount'] }]);
});
